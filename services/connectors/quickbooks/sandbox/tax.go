package sandbox

import (
	"math/big"
)

// The ways a document outside the US carries its tax.
const (
	taxExcluded   = "TaxExcluded"
	taxInclusive  = "TaxInclusive"
	notApplicable = "NotApplicable"
)

// rate is one tax rate of a code.
type rate struct {
	id      string
	percent *big.Rat
}

// band collects what was taxed at one rate.
type band struct {
	rate     rate
	net, tax *big.Rat
}

// taxes computes the tax of each line at each rate, rounded half up per line,
// and writes the document's tax detail.
func (x *call) taxes(now fields, sales []saleLine, sum, discount *big.Rat) (*big.Rat, error) {
	mode := text(now, "GlobalTaxCalculation")
	if !x.preset.US {
		if mode == "" {
			mode = taxExcluded
			now["GlobalTaxCalculation"] = mode
		}
		if mode != taxExcluded && mode != taxInclusive && mode != notApplicable {
			return nil, badEnum("GlobalTaxCalculation", mode)
		}
		if mode == taxInclusive && discount.Sign() != 0 {
			return nil, business("A discount cannot be combined with amounts that include tax")
		}
	}
	var bands []*band
	after, said := now["ApplyTaxAfterDiscount"].(bool)
	if !said {
		after = !x.preset.US
	}
	for _, s := range sales {
		rates, err := x.ratesOf(now, mode, s)
		if err != nil {
			return nil, err
		}
		base := s.amount
		if after && discount.Sign() != 0 && sum.Sign() != 0 {
			base = sub(base, new(big.Rat).Quo(mul(base, discount), sum))
		}
		bands = x.addLine(bands, rates, s, mode, base)
	}
	return x.taxDetail(now, bands), nil
}

// addLine puts a line into the bands of its rates.
func (x *call) addLine(bands []*band, rates []rate, s saleLine, mode string, base *big.Rat) []*band {
	for _, r := range rates {
		tax := x.round(percent(base, r.percent))
		if mode == taxInclusive {
			tax = sub(s.inclusive, s.amount)
		}
		bands = addBand(bands, r, x.round(base), tax)
	}
	return bands
}

func addBand(bands []*band, r rate, net, tax *big.Rat) []*band {
	for _, b := range bands {
		if b.rate.id == r.id {
			b.net.Add(b.net, net)
			b.tax.Add(b.tax, tax)
			return bands
		}
	}
	return append(bands, &band{rate: r, net: new(big.Rat).Set(net), tax: new(big.Rat).Set(tax)})
}

// ratesOf are the rates a line is taxed at.
func (x *call) ratesOf(now fields, mode string, s saleLine) ([]rate, error) {
	if x.preset.US {
		return x.ratesUS(now, s)
	}
	if mode == notApplicable {
		return nil, nil
	}
	if s.code == "" {
		return nil, business("Make sure all your transactions have a %s rate before you save.", x.preset.TaxTerm)
	}
	return x.codeRates(s.code, "Line.SalesItemLineDetail.TaxCodeRef")
}

// ratesUS: lines only say whether they are taxed; the document names the code.
// Automated sales tax is off, so a document without a code has no tax.
func (x *call) ratesUS(now fields, s saleLine) ([]rate, error) {
	switch s.code {
	case "", "NON":
		s.detail["TaxCodeRef"] = refTo("NON", "")
		return nil, nil
	case "TAX":
	default:
		return nil, badRef("TaxCode", "Line.SalesItemLineDetail.TaxCodeRef", s.code)
	}
	code := text(now, "TxnTaxDetail", "TxnTaxCodeRef", "value")
	if code == "" {
		return nil, nil
	}
	return x.codeRates(code, "TxnTaxDetail.TxnTaxCodeRef")
}

func (x *call) codeRates(code, element string) ([]rate, error) {
	o := x.tx.Get("taxcode", code)
	if o == nil || code == "TAX" || code == "NON" {
		return nil, badRef("TaxCode", element, code)
	}
	var out []rate
	list, _ := at(x.tx.Data(o), "SalesTaxRateList", "TaxRateDetail").([]any)
	for _, v := range list {
		detail, _ := v.(fields)
		id := ref(detail, "TaxRateRef")
		if o := x.tx.Get("taxrate", id); o != nil {
			out = append(out, rate{id: id, percent: stored(x.tx.Data(o), "RateValue")})
		}
	}
	return out, nil
}

// netOfTax takes the net amount of each line out of the gross one it must say.
func (x *call) netOfTax(sales []saleLine) error {
	for i, s := range sales {
		if s.detail["TaxInclusiveAmt"] == nil {
			return missing("Line.SalesItemLineDetail.TaxInclusiveAmt")
		}
		if s.code == "" {
			return business("Make sure all your transactions have a %s rate before you save.", x.preset.TaxTerm)
		}
		rates, err := x.codeRates(s.code, "Line.SalesItemLineDetail.TaxCodeRef")
		if err != nil {
			return err
		}
		factor := big.NewRat(1, 1)
		for _, r := range rates {
			factor.Add(factor, percent(big.NewRat(1, 1), r.percent))
		}
		net := x.round(new(big.Rat).Quo(s.inclusive, factor))
		if d := sub(net, s.amount); d.Abs(d).Cmp(big.NewRat(1, 100)) > 0 {
			return business("Amount %s is not what %s holds without tax: %s", num(s.amount), num(s.inclusive), num(net))
		}
		sales[i].amount = net
		s.fields["Amount"] = num(net)
	}
	return nil
}

// taxDetail writes the document's tax lines and sums them.
func (x *call) taxDetail(now fields, bands []*band) *big.Rat {
	total := new(big.Rat)
	out := fields{}
	if code := at(now, "TxnTaxDetail", "TxnTaxCodeRef"); code != nil && x.preset.US {
		out["TxnTaxCodeRef"] = code
	}
	var list []any
	for _, b := range bands {
		total.Add(total, b.tax)
		list = append(list, fields{"Amount": num(b.tax), "DetailType": "TaxLineDetail", "TaxLineDetail": fields{
			"TaxRateRef": refTo(b.rate.id, ""), "PercentBased": true, "TaxPercent": num(b.rate.percent), "NetAmountTaxable": num(b.net)}})
	}
	out["TotalTax"] = num(total)
	if list != nil {
		out["TaxLine"] = list
	}
	now["TxnTaxDetail"] = out
	return total
}
