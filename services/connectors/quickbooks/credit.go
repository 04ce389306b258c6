package quickbooks

import (
	"encoding/json"
	"strconv"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
)

// encodeCreditNote takes an invoice back as it stands in the books: the same
// customer, currency and lines, under a date of its own.
func (t *target) encodeCreditNote(d connector.Draft) (connector.Encoded, error) {
	if d.Current == nil {
		return connector.Encoded{}, fault.New(fault.Internal, "a credit note needs the invoice as it is")
	}
	f := d.Current.Fields
	o := &object{
		CustomerRef: &reference{Value: d.Current.Customer.ID}, CurrencyRef: &reference{Value: d.Current.Currency}, TxnDate: d.Part.CreditNote.IssueDate,
		PrivateNote: cut(d.Mark+" · credit of invoice "+strings.TrimSpace(d.Current.Number+" of "+d.Current.IssueDate), noteMax),
	}
	count, err := strconv.Atoi(f["lines"])
	if err != nil {
		return connector.Encoded{}, fault.New(fault.Internal, "the invoice to be credited says %q lines", f["lines"])
	}
	taxable, sum := false, money.Amount{Currency: d.Current.Currency}
	for n := 1; n <= count; n++ {
		key := "line." + strconv.Itoa(n) + "."
		l := line{
			DetailType: "SalesItemLineDetail", Amount: json.Number(f[key+"net"]), Description: f[key+"description"],
			Sale: &saleDetail{ItemRef: reference{Value: f[key+"item"]}, Qty: json.Number(f[key+"quantity"]), UnitPrice: json.Number(f[key+"price"])},
		}
		if code := f[key+"tax"]; code != "" {
			l.Sale.TaxCodeRef = &reference{Value: code}
			taxable = taxable || !isUSCode(code)
		}
		o.Lines = append(o.Lines, l)
		net, err := money.Parse(f[key+"net"], d.Current.Currency)
		if err == nil {
			sum, err = sum.Add(net)
		}
		if err != nil {
			return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
		}
	}
	if sum != d.Current.Net { // a discount or a subtotal that a person added is none of our lines
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "lines", Text: "the lines of the invoice come to " + sum.String() + " and the invoice to " + d.Current.Net.String() + ": credit it in the books by hand"}
	}
	fields, err := t.invoiceFields(o)
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return freeze(saleBody(o, taxable), fields)
}
