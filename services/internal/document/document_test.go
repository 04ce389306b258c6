package document

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

func sample() *Rendering {
	eur := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "EUR"} }
	return &Rendering{
		EventID: "e", Tenant: "t", Entity: "acme-ie", Route: "won", Target: "quickbooks/46", Lane: "l", Seq: 3, Class: event.Realtime,
		Ref: "hubspot/48213/deal/7", Rev: 2, SlotNo: 1, Render: 1, Cause: event.Change, Type: event.Put, Approval: "a", Customer: "c",
		After: []event.LaneSeq{{Lane: "x", Seq: 1}}, OccurredAt: time.UnixMicro(5).UTC(), MappingHash: "m", Verdict: Documents,
		Reason: Reason{"mapping", "f", "d", "r"},
		Parts: []Part{
			{Name: "customer", Kind: CustomerKind, Mode: Ensure, Desired: Issued, Subject: "s", Party: &Party{DisplayName: "A", Billing: &Address{City: "Cork"}, Assumed: []string{"IE"}}},
			{Name: "item:1", Kind: ItemKind, Mode: Ensure, Desired: Issued, Subject: "p", Item: &Item{SKU: "k", Name: "n", Account: "sales", Price: money.Decimal{Unscaled: 15, Scale: 1}}},
			{Name: "invoice", Kind: InvoiceKind, Mode: Own, Desired: Issued, Subject: "d", Needs: []Need{{"s", CustomerKind, "customer"}},
				Invoice: &Invoice{IssueDate: "2026-11-24", Currency: "EUR", Lines: []Line{{ID: "1", Quantity: money.Int(2), Net: eur(300), Tax: "standard", Allowance: eur(1)}}, Totals: Totals{eur(300), eur(300), eur(69), eur(369)}}},
			{Name: "old", Kind: InvoiceKind, Mode: Own, Desired: Voided, VoidCause: Lost, Subject: "d"},
			{Name: "marker", Kind: MarkerKind, Mode: Own, Desired: Issued, Subject: "i", Marker: &Marker{"r", "1001", "12", "open"}},
		},
	}
}

func TestCodecKeepsEveryField(t *testing.T) {
	want := sample()
	b, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

func TestDecodeRefusesWhatHasNoPlace(t *testing.T) {
	for name, breakIt := range map[string]func(*Rendering){
		"lane": func(r *Rendering) { r.Lane = "" }, "verdict": func(r *Rendering) { r.Verdict = "perhaps" },
		"a part's subject": func(r *Rendering) { r.Parts[0].Subject = "" }, "a part's kind": func(r *Rendering) { r.Parts[0].Kind = "x" },
	} {
		r := sample()
		breakIt(r)
		b, _ := Encode(r)
		if _, err := Decode(b); err == nil {
			t.Errorf("a rendering without %s was decoded", name)
		}
	}
}

// Identities are promises: an ensure part's op does not carry the revision,
// an own part's does, and the mark is the same for every revision.
func TestIdentities(t *testing.T) {
	ensure, own := &Part{Name: "customer", Mode: Ensure, Subject: "s"}, &Part{Name: "invoice", Mode: Own, Subject: "s"}
	if OpID("t", "q", ensure, 1, "put", 1) != OpID("t", "q", ensure, 2, "void", 1) {
		t.Error("the revision entered an ensure part's op id")
	}
	if OpID("t", "q", own, 1, "put", 1) == OpID("t", "q", own, 2, "put", 1) || OpID("t", "q", own, 1, "put", 1) == OpID("t", "q", own, 1, "put", 2) {
		t.Error("two ops share an id")
	}
	if got := Mark("quickbooks/46", "hubspot/48213/deal/7", "invoice", 1); len(got) != 16 || got[:3] != "TO-" || got != Mark("quickbooks/46", "hubspot/48213/deal/7", "invoice", 1) {
		t.Errorf("mark %q", got)
	}
	probe := ProbeMark("20261130T090000Z", 1)
	if !regexp.MustCompile(`^TO-[A-Z2-7]{13}$`).MatchString(probe) || !IsProbe(probe) || probe == ProbeMark("20261130T090000Z", 2) {
		t.Errorf("%q", probe)
	}
}

func TestGrossIsTheNetWhereTaxIsUnknown(t *testing.T) {
	r := sample()
	if a, ok := r.Parts[2].Gross(); !ok || a.Minor != 369 {
		t.Errorf("gross %v, %v", a, ok)
	}
	r.Parts[2].Invoice.Totals.Tax, r.Parts[2].Invoice.Totals.Gross = money.Amount{}, money.Amount{}
	if a, ok := r.Parts[2].Gross(); !ok || a.Minor != 300 {
		t.Errorf("with unknown tax %v, %v", a, ok)
	}
	if _, ok := r.Parts[0].Gross(); ok {
		t.Error("a customer has an amount")
	}
}
