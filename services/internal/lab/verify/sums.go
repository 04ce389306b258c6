package verify

import (
	"encoding/json"
	"fmt"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/money"
)

// sumsEqual: what the source's records ask for, by the approved mapping, is what
// stands in the books, for each document and in each currency, to the minor unit.
func (s *State) sumsEqual() *Result {
	r := result("I6", "money: what is asked for stands in the books, to the minor unit")
	asked, stands := map[string]int64{}, map[string]int64{}
	for subject, w := range s.Writer.Wants {
		for part, want := range w.Parts {
			l, linked := s.newest(subject, w.Target, part)
			switch {
			case want.Desired == document.Issued && !linked:
				r.violated("%s part %s: %s is asked for and nothing is linked", subject, part, want.Net)
			case want.Desired == document.Issued:
				s.issued(r, l, want.Net, asked, stands)
			case linked && want.Desired == document.Voided:
				s.void(r, l)
			}
		}
	}
	for currency, sum := range asked {
		r.Checked["minor units "+currency] = sum
		if stands[currency] != sum {
			r.violated("in %s %s is asked for and %s stands in the books", currency, money.Amount{Minor: sum, Currency: currency}, money.Amount{Minor: stands[currency], Currency: currency})
		}
	}
	return r
}

// newest is the last document of a part of a record.
func (s *State) newest(subject, target, part string) (Link, bool) {
	var out Link
	for _, l := range s.Writer.Links {
		if l.SourceRef == subject && l.Target == target && l.Part == part && l.Kind == string(document.InvoiceKind) && l.N > out.N {
			out = l
		}
	}
	return out, out.N > 0
}

func (s *State) issued(r *Result, l Link, want money.Amount, asked, stands map[string]int64) {
	r.Checked["issued"]++
	o := s.object(l.OtherRef)
	if o == nil {
		r.violated("%s: %s is asked for and %s is not in the books", l.SourceRef, want, l.OtherRef)
		return
	}
	got, err := net(o.Last().Data)
	switch {
	case err != nil:
		r.violated("%s: %v", l.OtherRef, err)
		return
	case (o.Deleted || got != want || l.State != string(link.Primary)) && s.byPerson(l.Target, o.Last()):
		r.Explained["changed in the books by a person"]++
		return
	case o.Deleted || l.State != string(link.Primary):
		r.violated("%s: %s is asked for and %s is %s", l.SourceRef, want, l.OtherRef, l.State)
	case got != want:
		r.violated("%s: %s is asked for and %s says %s", l.SourceRef, want, l.OtherRef, got)
	}
	asked[want.Currency] += want.Minor
	stands[got.Currency] += got.Minor
}

func (s *State) void(r *Result, l Link) {
	r.Checked["void"]++
	o := s.object(l.OtherRef)
	if o == nil || o.Deleted {
		return
	}
	got, err := net(o.Last().Data)
	if s.takenBack(l, got) {
		r.Explained["in a closed period, and credited once a person agreed"]++
		return
	}
	if err != nil || got.Minor != 0 || !strings.HasPrefix(textOf(o.Last().Data, "PrivateNote"), "Voided") {
		if s.byPerson(l.Target, o.Last()) {
			r.Explained["changed in the books by a person"]++
			return
		}
		r.violated("%s shall be void and %s says %s (%v)", l.SourceRef, l.OtherRef, got, err)
	}
}

// takenBack: a credit note over the same amount stands.
func (s *State) takenBack(l Link, worth money.Amount) bool {
	for _, c := range s.Writer.Links {
		if c.SourceRef != l.SourceRef || c.Target != l.Target || c.N != l.N || c.Part != document.CreditOf+l.Part || c.State != string(link.Primary) {
			continue
		}
		if o := s.object(c.OtherRef); o != nil && !o.Deleted {
			got, err := net(o.Last().Data)
			return err == nil && got == worth
		}
	}
	return false
}

// net is what an invoice of QuickBooks is worth without its tax.
func net(data map[string]any) (money.Amount, error) {
	currency, _ := data["CurrencyRef"].(map[string]any)
	code := textOf(currency, "value")
	gross, err := amount(data["TotalAmt"], code)
	if err != nil {
		return gross, err
	}
	detail, _ := data["TxnTaxDetail"].(map[string]any)
	if detail["TotalTax"] == nil {
		return gross, nil
	}
	tax, err := amount(detail["TotalTax"], code)
	if err != nil {
		return gross, err
	}
	return gross.Add(tax.Neg())
}

func amount(v any, currency string) (money.Amount, error) {
	n, ok := v.(json.Number)
	if !ok {
		return money.Amount{}, fmt.Errorf("amount %v is no number", v)
	}
	return money.Parse(n.String(), currency)
}
