package sandbox

import (
	"fmt"
	"math/big"
)

// saleLine is an item line as the totals see it.
type saleLine struct {
	fields    fields
	detail    fields
	amount    *big.Rat // net
	inclusive *big.Rat // gross, with TaxInclusive
	code      string
}

// checkLines judges the lines and gives them ids. The vendor's own subtotal
// line, sent back by a client, is dropped and written anew.
func (x *call) checkLines(was, now fields) ([]saleLine, error) {
	list, ok := now["Line"].([]any)
	if !ok || len(list) == 0 {
		return nil, missing("Line")
	}
	used := lineIDs(was)
	var out []any
	var sales []saleLine
	for _, v := range list {
		line, ok := v.(fields)
		if !ok {
			return nil, invalidProperty("Line")
		}
		if err := known(line, x.c.schema["Line"]); err != nil {
			return nil, err
		}
		kind := text(line, "DetailType")
		if kind == "SubTotalLineDetail" {
			continue
		}
		sale, err := x.checkLine(kind, line)
		if err != nil {
			return nil, err
		}
		if sale != nil {
			sales = append(sales, *sale)
		}
		if id := text(line, "Id"); id == "" || was == nil || !used[id] {
			line["Id"] = lineID(used)
		}
		out = append(out, line)
		line["LineNum"] = num(big.NewRat(int64(len(out)), 1))
	}
	if len(out) == 0 {
		return nil, missing("Line")
	}
	now["Line"] = out
	return sales, nil
}

func lineIDs(was fields) map[string]bool {
	used := map[string]bool{}
	list, _ := was["Line"].([]any)
	for _, v := range list {
		if line, ok := v.(fields); ok {
			used[text(line, "Id")] = true
		}
	}
	return used
}

// checkLine judges one line; it answers a saleLine for an item line.
func (x *call) checkLine(kind string, line fields) (*saleLine, error) {
	if err := within(line, "Description", 4000); err != nil {
		return nil, err
	}
	switch kind {
	case "SalesItemLineDetail":
		return x.checkSale(line)
	case "DiscountLineDetail":
		return nil, x.checkDiscount(line)
	case "DescriptionOnly":
		setDefault(line, "DescriptionLineDetail", fields{})
		return nil, nil
	case "":
		return nil, missing("Line.DetailType")
	case "GroupLineDetail", "TaxLineDetail":
		return nil, unsupported(kind)
	}
	return nil, badEnum("DetailType", kind)
}

func (x *call) checkSale(line fields) (*saleLine, error) {
	amount, sent, err := decimal(line, "Amount")
	if err != nil {
		return nil, err
	}
	if !sent {
		return nil, missing("Line.Amount")
	}
	detail, ok := line["SalesItemLineDetail"].(fields)
	if !ok {
		return nil, missing("Line.SalesItemLineDetail")
	}
	if err := known(detail, x.c.schema["SalesItemLineDetail"]); err != nil {
		return nil, err
	}
	if err := x.itemRef(detail); err != nil {
		return nil, err
	}
	if err := x.checkProduct(amount, line, detail); err != nil {
		return nil, err
	}
	gross, _, err := decimal(detail, "TaxInclusiveAmt")
	if err != nil {
		return nil, err
	}
	amount = x.round(amount)
	line["Amount"] = num(amount)
	return &saleLine{fields: line, detail: detail, amount: amount, inclusive: gross, code: ref(detail, "TaxCodeRef")}, nil
}

// checkProduct holds Amount to Qty × UnitPrice where both are said.
func (x *call) checkProduct(amount *big.Rat, line, detail fields) error {
	qty, hasQty, err := decimal(detail, "Qty")
	if err != nil {
		return err
	}
	price, hasPrice, err := decimal(detail, "UnitPrice")
	if err != nil {
		return err
	}
	if hasQty && hasPrice && x.round(mul(qty, price)).Cmp(amount) != 0 {
		return wrongAmount(text(line, "Amount"))
	}
	return nil
}

func (x *call) itemRef(detail fields) error {
	id := ref(detail, "ItemRef")
	if id == "" {
		return missing("Line.SalesItemLineDetail.ItemRef")
	}
	o := x.tx.Get("item", id)
	if o == nil {
		return badRef("Items", "ItemRef", id)
	}
	item := x.tx.Data(o)
	if o.Deleted || !flag(item, "Active") {
		return inactive()
	}
	detail["ItemRef"] = refTo(id, text(item, "Name"))
	if account := item["IncomeAccountRef"]; account != nil {
		setDefault(detail, "ItemAccountRef", account)
	}
	return nil
}

func (x *call) checkDiscount(line fields) error {
	detail, ok := line["DiscountLineDetail"].(fields)
	if !ok {
		return missing("Line.DiscountLineDetail")
	}
	if err := known(detail, x.c.schema["DiscountLineDetail"]); err != nil {
		return err
	}
	if !flag(detail, "PercentBased") {
		if _, sent, err := decimal(line, "Amount"); err != nil || !sent {
			return missing("Line.Amount")
		}
	}
	return x.accountRef(detail, "DiscountAccountRef", false)
}

// subtotal is the sum of the item lines and of the discounts.
func (x *call) subtotal(now fields, sales []saleLine) (sum, discount *big.Rat, err error) {
	sum, discount = new(big.Rat), new(big.Rat)
	if text(now, "GlobalTaxCalculation") == taxInclusive {
		if err := x.netOfTax(sales); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range sales {
		sum.Add(sum, s.amount)
	}
	for _, v := range now["Line"].([]any) {
		line, _ := v.(fields)
		if text(line, "DetailType") != "DiscountLineDetail" {
			continue
		}
		amount := stored(line, "Amount")
		if flag(line, "DiscountLineDetail", "PercentBased") {
			amount = percent(sum, stored(line, "DiscountLineDetail", "DiscountPercent"))
		}
		amount = x.round(amount)
		line["Amount"] = num(amount)
		discount.Add(discount, amount)
	}
	return sum, discount, nil
}

// lineID gives a line without a known id the next free one.
func lineID(used map[string]bool) string {
	for n := 1; ; n++ {
		if id := fmt.Sprint(n); !used[id] {
			used[id] = true
			return id
		}
	}
}
