package quickbooks

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
)

const (
	// priceDigits is how many decimal places the books keep of a unit price.
	priceDigits = 7
	// What the books take of a memo and of a description, in characters.
	noteMax        = 4000
	descriptionMax = 4000
)

// Encode is pure: equal input, equal bytes.
func (t *target) Encode(d connector.Draft) (connector.Encoded, error) {
	switch {
	case d.Effect == connector.Void:
		return encodeVoid(d)
	case d.Part.Party != nil:
		return encodeCustomer(d)
	case d.Part.Item != nil:
		return encodeItem(d)
	case d.Part.Invoice != nil:
		return t.encodeInvoice(d)
	}
	return connector.Encoded{}, fault.New(fault.Rejected, "QuickBooks takes customers, items and invoices, not a part of kind %s", d.Part.Kind)
}

func encodeVoid(d connector.Draft) (connector.Encoded, error) {
	if d.Current == nil {
		return connector.Encoded{}, fault.New(fault.Internal, "a void needs the document as it is")
	}
	return freeze(map[string]any{"Id": d.Current.Ref.ID, "SyncToken": d.Current.Version, "sparse": true}, map[string]string{"customer": d.Current.Customer.String()})
}

func encodeCustomer(d connector.Draft) (connector.Encoded, error) {
	p := d.Part.Party
	name := strings.TrimSpace(p.DisplayName)
	if name == "" {
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "display_name", Text: "a customer needs a name"}
	}
	notes := d.Mark
	if len(p.Assumed) > 0 {
		notes += " · assumed: " + strings.Join(p.Assumed, "; ")
	}
	body := map[string]any{"DisplayName": name, "Notes": cut(notes, noteMax)}
	put(body, "CompanyName", p.LegalName)
	put(body, "GivenName", p.GivenName)
	put(body, "FamilyName", p.FamilyName)
	if p.Email != "" {
		body["PrimaryEmailAddr"] = map[string]string{"Address": p.Email}
	}
	if p.Phone != "" {
		body["PrimaryPhone"] = map[string]string{"FreeFormNumber": p.Phone}
	}
	if p.Currency != "" {
		body["CurrencyRef"] = reference{Value: p.Currency}
	}
	if p.Billing != nil {
		body["BillAddr"] = address(p.Billing)
	}
	return freeze(body, map[string]string{"name": name, "email": p.Email, "currency": p.Currency})
}

func address(a *document.Address) map[string]any {
	out := map[string]any{}
	for i, l := range a.Lines {
		if i < 5 {
			put(out, "Line"+strconv.Itoa(i+1), l)
		}
	}
	put(out, "City", a.City)
	put(out, "PostalCode", a.PostalCode)
	put(out, "CountrySubDivisionCode", a.Subdivision)
	put(out, "Country", a.Country)
	return out
}

func encodeItem(d connector.Draft) (connector.Encoded, error) {
	it := d.Part.Item
	name := strings.TrimSpace(it.Name)
	if name == "" {
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "name", Text: "an item needs a name"}
	}
	account, ok := d.Symbol("account", it.Account)
	if !ok {
		return connector.Encoded{}, unresolved("account", it.Account)
	}
	description := it.Description
	if description == "" {
		description = name
	}
	body := map[string]any{
		"Name": name, "Type": "Service", "IncomeAccountRef": reference{Value: account},
		"Description": cut(description, descriptionMax-20) + " · " + d.Mark,
	}
	put(body, "Sku", it.SKU)
	if !it.Price.IsZero() {
		body["UnitPrice"] = json.Number(it.Price.String())
	}
	return freeze(body, map[string]string{"name": name})
}

func (t *target) encodeInvoice(d connector.Draft) (connector.Encoded, error) {
	v := d.Part.Invoice
	customer, ok := d.Linked(document.Need{Ref: v.Customer, Kind: document.CustomerKind, Part: v.CustomerPart})
	if !ok {
		return connector.Encoded{}, &fault.Error{Kind: fault.NotFound, Field: "customer", Text: v.Customer + " has no customer in the books yet"}
	}
	o := &object{
		CustomerRef: &reference{Value: customer.ID}, CurrencyRef: &reference{Value: v.Currency},
		TxnDate: v.IssueDate, DueDate: v.DueDate, PONumber: v.PurchaseOrder, PrivateNote: cut(strings.TrimSpace(d.Mark+" · "+v.Note), noteMax),
	}
	taxable := false
	for i := range v.Lines {
		l, err := encodeLine(d, &v.Lines[i], i)
		if err != nil {
			return connector.Encoded{}, err
		}
		o.Lines = append(o.Lines, l)
		taxable = taxable || !isUSCode(l.Sale.TaxCodeRef.Value)
	}
	fields, err := t.invoiceFields(o)
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return freeze(invoiceBody(d, o, taxable), fields)
}

func invoiceBody(d connector.Draft, o *object, global bool) map[string]any {
	body := map[string]any{
		"CustomerRef": o.CustomerRef, "CurrencyRef": o.CurrencyRef, "TxnDate": o.TxnDate, "PrivateNote": o.PrivateNote, "Line": o.Lines,
	}
	put(body, "DueDate", o.DueDate)
	put(body, "PONumber", o.PONumber)
	if global { // companies outside the US say whether amounts include tax
		body["GlobalTaxCalculation"] = "TaxExcluded"
	}
	if d.Effect == connector.Update && d.Current != nil {
		body["Id"], body["SyncToken"], body["sparse"] = d.Current.Ref.ID, d.Current.Version, true
	}
	return body
}

// isUSCode: US companies know two tax codes of lines, by these literal ids.
func isUSCode(id string) bool { return id == "TAX" || id == "NON" }

func encodeLine(d connector.Draft, l *document.Line, i int) (line, error) {
	item, ok := d.Linked(document.Need{Ref: l.Item, Kind: document.ItemKind, Part: "item"})
	if !ok {
		return line{}, &fault.Error{Kind: fault.NotFound, Field: "item", Text: l.Item + " has no item in the books yet"}
	}
	code, ok := d.Symbol("tax", l.Tax)
	if !ok {
		return line{}, unresolved("tax", l.Tax)
	}
	quantity, price, terms := terms(l)
	out := line{
		DetailType: "SalesItemLineDetail", Amount: json.Number(l.Net.Decimal().String()), Description: cut(strings.TrimSpace(l.Description+terms), descriptionMax),
		Sale: &saleDetail{
			ItemRef: reference{Value: item.ID}, Qty: json.Number(quantity.String()), UnitPrice: json.Number(price.String()), TaxCodeRef: &reference{Value: code},
		},
	}
	if d.Current != nil { // the books replace all lines; one that stays keeps its id
		out.ID = d.Current.Fields["line."+strconv.Itoa(i+1)+".id"]
	}
	return out, nil
}

// terms returns a quantity and a price whose product is the line's net, since
// the books refuse any other amount. Where no price in 7 digits does, the line
// is 1 × its net, and the terms stand in the description.
func terms(l *document.Line) (quantity, price money.Decimal, said string) {
	product := new(big.Rat).Mul(l.Quantity.Rat(), l.Price.Rat())
	if l.Price.Scale <= priceDigits && product.Cmp(l.Net.Rat()) == 0 {
		return l.Quantity, l.Price, ""
	}
	if l.Quantity.Sign() != 0 {
		unit := new(big.Rat).Quo(l.Net.Rat(), l.Quantity.Rat())
		if p, ok := money.DecimalOf(unit, priceDigits); ok {
			return l.Quantity, p, ""
		}
	}
	return money.Int(1), l.Net.Decimal(), " (" + l.Quantity.String() + " × " + l.Price.String() + ")"
}

func unresolved(kind, symbol string) error {
	return &fault.Error{Kind: fault.Unresolved, Field: kind, Text: "symbol " + kind + ":" + symbol + " is not bound to a name that the books have"}
}

func freeze(body map[string]any, fields map[string]string) (connector.Encoded, error) {
	b, err := json.Marshal(body) // keys come out sorted: equal input, equal bytes
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return connector.Encoded{Body: b, Fields: fields}, nil
}

func put(m map[string]any, key, value string) {
	if value != "" {
		m[key] = value
	}
}

// cut shortens s to at most n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
