package mapping

import (
	"math/big"
	"strconv"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// priceDigits is how many decimal places prices and quantities have in the books.
const priceDigits = 7

// invoice: the lines are what counts, their sum is the net. The target
// computes the tax, so tax and gross stay unknown here.
func (b *builder) invoice(s *scope, p *part, out *document.Part) *refusal {
	v := &document.Invoice{}
	var why *refusal
	if v.IssueDate, why = b.day(s, p.fields, "issue_date"); why != nil {
		return why
	}
	if v.DueDate, why = b.day(s, p.fields, "due_date"); why != nil {
		return why
	}
	if v.Currency, why = b.currency(s, p.fields); why != nil {
		return why
	}
	if why = s.texts(p.fields, map[string]*string{"note": &v.Note, "purchase_order": &v.PurchaseOrder}); why != nil {
		return why
	}
	if v.ShipTo, why = b.address(s, p.fields, "ship_"); why != nil {
		return why
	}
	customer := b.made[p.customer]
	if len(customer) != 1 {
		return &refusal{kind: exception.Mapping, rule: p.name + ".customer", detail: "the invoice is to be issued, and its customer part is left out"}
	}
	v.Customer, v.CustomerPart = customer[0].Ref, customer[0].Part
	if why = b.lines(p, v); why != nil {
		return why
	}
	out.Invoice = v
	return b.total(p, v)
}

func (b *builder) day(s *scope, from *block, name string) (string, *refusal) {
	day, why := s.trim(from, name, true)
	if why != nil {
		return "", why
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return "", refused(from.rules[name], &refusal{kind: exception.Validation, detail: "gives no day between the years 1 and 9999"})
	}
	return day, nil
}

func (b *builder) lines(p *part, v *document.Invoice) *refusal {
	items, why := b.items(p.lines.each)
	if why != nil {
		return why
	}
	subjects := b.subjects[p.lines.item]
	if len(items) == 0 && p.lines.otherwise != nil {
		return b.onlyLine(p, v, subjects)
	}
	if len(items) == 0 || len(items) != len(subjects) {
		return &refusal{kind: exception.Mapping, rule: p.name + ".lines", detail: "the invoice is to be issued, and has no lines or its items are left out"}
	}
	for i, item := range items {
		line, why := b.line(b.with(p.lines.each.item, item), p.lines.fields, v.Currency)
		if why != nil {
			return why.at(i)
		}
		line.Item = subjects[i]
		v.Lines = append(v.Lines, line)
	}
	return nil
}

// onlyLine stands for the record's amount; without one there is nothing to bill.
func (b *builder) onlyLine(p *part, v *document.Invoice, subjects []string) *refusal {
	if len(subjects) != 1 {
		return &refusal{kind: exception.Mapping, rule: p.name + ".lines", detail: "the invoice is to be issued, and its item is left out"}
	}
	line, why := b.line(b.scope, p.lines.otherwise, v.Currency)
	if why != nil {
		return why
	}
	if line.Net.Minor <= 0 {
		return refused(p.lines.otherwise.rules["price"], &refusal{kind: exception.Amount, detail: "is not above zero, and there are no lines"})
	}
	line.Item = subjects[0]
	if len(p.lines.split) > 0 {
		return b.split(p, v, line)
	}
	v.Lines = append(v.Lines, line)
	return nil
}

// split puts a line's amount on several, to the last unit of its currency: the
// shares add up to it, and none is off by a whole unit.
func (b *builder) split(p *part, v *document.Invoice, whole document.Line) *refusal {
	weights := make([]int64, len(p.lines.split))
	for i, s := range p.lines.split {
		weights[i] = s.weight
	}
	shares, err := money.Spread(whole.Net.Minor, weights)
	if err != nil {
		return &refusal{kind: exception.Mapping, rule: p.name + ".lines.split", detail: err.Error()}
	}
	for i, minor := range shares {
		if minor == 0 {
			continue
		}
		l := whole
		l.ID = whole.ID + "-" + strconv.Itoa(i+1)
		l.Net, l.Allowance = money.Amount{Minor: minor, Currency: whole.Net.Currency}, money.Amount{}
		l.Quantity, l.Price = money.Int(1), l.Net.Decimal()
		if r := p.lines.split[i].description; r != nil {
			text, why := b.scope.text(r)
			if why != nil {
				return why
			}
			l.Description = text
		}
		v.Lines = append(v.Lines, l)
	}
	return nil
}

// total: an invoice may come to zero, never below; the other direction is
// another kind of document.
func (b *builder) total(p *part, v *document.Invoice) *refusal {
	sum := money.Amount{Currency: v.Currency}
	for _, l := range v.Lines {
		var err error
		if sum, err = sum.Add(l.Net); err != nil {
			return refused(p.lines.fields.rules["price"], &refusal{kind: exception.Amount, detail: "adds up to more than an amount can hold"})
		}
	}
	if sum.Minor < 0 {
		return refused(p.lines.fields.rules["price"], &refusal{kind: exception.Amount, detail: "comes to a total below zero: that is a credit note"})
	}
	v.Totals = document.Totals{Lines: sum, Net: sum}
	return nil
}

// terms are what a source's line says about its price.
type terms struct {
	quantity, price, each, percent money.Decimal
}

func (b *builder) line(s *scope, from *block, currency string) (document.Line, *refusal) {
	l := document.Line{Unit: from.symbols["unit"], Tax: from.symbols["tax"], Account: from.symbols["account"]}
	var why *refusal
	if l.ID, why = s.trim(from, "id", true); why != nil {
		return l, why
	}
	if l.Description, why = s.trim(from, "description", true); why != nil {
		return l, why
	}
	own, why := s.trim(from, "currency", false)
	if why != nil {
		return l, why
	}
	if own != "" && own != currency {
		return l, refused(from.rules["currency"], &refusal{kind: exception.Currency, detail: "is another currency than the document's"})
	}
	t, why := s.terms(from)
	if why != nil {
		return l, why
	}
	return l, t.apply(&l, from, currency)
}

// terms reads quantity, price and discounts and refuses what no invoice can say.
func (s *scope) terms(from *block) (t terms, why *refusal) {
	into := map[string]*money.Decimal{"quantity": &t.quantity, "price": &t.price, "discount_each": &t.each, "discount_percent": &t.percent}
	for _, name := range sortedKeys(into) { // in one order: the first refusal is what a person reads
		d, present, why := s.number(from.rules[name])
		if why != nil {
			return t, why
		}
		if !present && (name == "quantity" || name == "price") {
			return t, refused(from.rules[name], &refusal{kind: exception.Validation, detail: "has no value"})
		}
		*into[name] = d
	}
	refuse := func(name, detail string) *refusal {
		return refused(from.rules[name], &refusal{kind: exception.Amount, detail: detail})
	}
	switch {
	case t.price.Sign() < 0: // BR-27 of EN 16931-1
		return t, refuse("price", "is below zero: a returned line has a negative quantity")
	case t.each.Sign() < 0:
		return t, refuse("discount_each", "is a discount below zero")
	case t.percent.Sign() < 0:
		return t, refuse("discount_percent", "is a discount below zero")
	case t.each.Rat().Cmp(t.price.Rat()) > 0:
		return t, refuse("discount_each", "is a discount above the price")
	case t.percent.Rat().Cmp(big.NewRat(100, 1)) > 0:
		return t, refuse("discount_percent", "is a discount above 100 %")
	case t.each.Sign() > 0 && t.percent.Sign() > 0:
		return t, refuse("discount_each", "is a discount beside another one in percent: leave one of them")
	}
	return t, nil
}

// apply computes the line: the extension and the discount are rounded each on
// its own, the price keeps its digits.
func (t terms) apply(l *document.Line, from *block, currency string) *refusal {
	extension, err := money.Extension(t.quantity, t.price, currency)
	if err != nil {
		return refused(from.rules["price"], &refusal{kind: exception.Amount, detail: "times the quantity is more than an amount can hold"})
	}
	off, err := t.discount(extension, currency)
	if err != nil {
		return refused(from.rules["price"], &refusal{kind: exception.Amount, detail: "with its discount is more than an amount can hold"})
	}
	l.Quantity, l.Price, l.Net = t.quantity, t.price, extension
	if off.Minor != 0 {
		l.Allowance = off
		l.Net = money.Amount{Minor: extension.Minor - off.Minor, Currency: currency}
	}
	t.unit(l, currency)
	return nil
}

func (t terms) discount(extension money.Amount, currency string) (money.Amount, error) {
	if !t.each.IsZero() {
		return money.Extension(t.quantity, t.each, currency)
	}
	return money.PercentOf(extension, t.percent)
}

// unit finds the price that quantity and net agree on. The source's own price
// stays where the books hold its digits; only a discount changes it. Where there
// is none that they hold, the line is sold once, and says its terms in words.
func (t terms) unit(l *document.Line, currency string) {
	quantity, fits := money.DecimalOf(t.quantity.Rat(), priceDigits)
	if fits && l.Allowance.Minor == 0 {
		if price, exact := money.DecimalOf(t.price.Rat(), priceDigits); exact {
			l.Quantity, l.Price = quantity, price
			return
		}
	}
	if fits && l.Allowance.Minor != 0 && !quantity.IsZero() {
		if price, exact := money.DecimalOf(new(big.Rat).Quo(l.Net.Rat(), quantity.Rat()), priceDigits); exact {
			l.Quantity, l.Price = quantity, price
			return
		}
	}
	l.Description += " (" + t.String(currency) + ")"
	l.Quantity, l.Price = money.Int(1), l.Net.Decimal()
	if l.Net.Minor < 0 {
		l.Quantity, l.Price = money.Int(-1), l.Net.Neg().Decimal()
	}
}

// String is "3 × 19.99 EUR less 10 %".
func (t terms) String(currency string) string {
	s := t.quantity.String() + " × " + t.price.String() + " " + currency
	switch {
	case !t.percent.IsZero():
		s += " less " + t.percent.String() + " %"
	case !t.each.IsZero():
		s += " less " + t.each.String() + " " + currency + " each"
	}
	return s
}
