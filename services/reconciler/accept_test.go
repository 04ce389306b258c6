package reconciler_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
)

// accept accepts the only break of a report.
func (w *world) accept(res *controlv1.ReconcileResponse) error {
	w.t.Helper()
	if len(res.GetBreaks()) != 1 {
		w.t.Fatalf("not one break: %v", res)
	}
	_, err := w.server.Repair(w.t.Context(), &controlv1.RepairRequest{Action: "accept", Ids: w.ids(res), Actor: "ann", Reason: "the client agreed"})
	return err
}

// accepted says that the only break is accepted, with who and why, and that
// nothing is unexplained.
func (w *world) accepted(res *controlv1.ReconcileResponse) {
	w.t.Helper()
	if len(res.GetBreaks()) != 1 {
		w.t.Fatalf("not one break: %v", res)
	}
	b, row := res.GetBreaks()[0], res.GetRows()[0]
	if b.GetState() != "accepted" || b.GetActor() != "ann" || b.GetReason() != "the client agreed" || !strings.Contains(b.GetRepair(), "ann") {
		w.t.Errorf("break %v", b)
	}
	if row.GetUnexplained().GetCount() != 0 || len(row.GetExplained()) != 1 || row.GetExplained()[0].GetCause() != "accepted" || row.GetExplained()[0].GetSide().GetCount() != 1 {
		w.t.Errorf("row %v", row)
	}
}

func (w *world) opened(res *controlv1.ReconcileResponse) {
	w.t.Helper()
	if len(res.GetBreaks()) != 1 || res.GetBreaks()[0].GetState() != "open" || res.GetRows()[0].GetUnexplained().GetCount() != 1 {
		w.t.Errorf("%v", res)
	}
}

// What a person accepted is explained by it, in every period, until it differs
// otherwise; a change of the document's text is such a difference too.
func TestAnAcceptedDifferenceIsExplained(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	edit := func(change func(*connector.Posting)) { w.set(func() { change(&w.invoices[0]) }) }
	edit(func(p *connector.Posting) { p.Net = eur(900) })
	res := w.reconcile("acme", "")
	w.reconcile("acme", "2026-11")
	if err := w.accept(res); err != nil {
		t.Fatal(err)
	}
	if n := w.text(`SELECT count(*) FROM breaks WHERE state = 'accepted' AND actor = 'ann'`); n != "2" {
		t.Errorf("%s breaks are accepted, not that of each period", n)
	}
	w.accepted(w.reconcile("acme", ""))
	w.accepted(w.reconcile("", "2026-11"))
	w.set(func() { w.open[deal(1).String()] = "parked" })
	w.accepted(w.reconcile("acme", ""))
	if err := w.accept(res); status.Code(err) != codes.NotFound {
		t.Errorf("accepted twice: %v", err)
	}
	w.set(func() { clear(w.open) })
	edit(func(p *connector.Posting) { p.Net = eur(800) })
	w.opened(w.reconcile("acme", ""))
	edit(func(p *connector.Posting) { p.Net = eur(900) })
	w.opened(w.reconcile("acme", "")) // as it was; a person is asked again, since it moved
}

// The same sums may hide another edit: what the document says counts too.
func TestAnotherEditOfTheSameAmountOpensIt(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.set(func() { w.invoices[0].IssueDate = "2026-11-11" })
	if err := w.accept(w.reconcile("acme", "")); err != nil {
		t.Fatal(err)
	}
	w.accepted(w.reconcile("acme", ""))
	w.set(func() { w.invoices[0].IssueDate = "2026-11-12" })
	w.opened(w.reconcile("acme", ""))
}

// A document that somebody deleted is accepted as missing until the source
// wants another; put right, it is repaired, and deleted again it is open again.
func TestAnAcceptedDeletion(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	kept := slices.Clone(w.invoices)
	w.set(func() { w.invoices = nil })
	if err := w.accept(w.reconcile("acme", "")); err != nil {
		t.Fatal(err)
	}
	w.accepted(w.reconcile("acme", ""))
	w.set(func() { w.invoices = kept })
	if res := w.reconcile("acme", ""); len(res.GetBreaks()) != 0 {
		t.Errorf("in balance: %v", res)
	}
	if s := w.text(`SELECT state FROM breaks`); s != "repaired" {
		t.Errorf("the break is %s", s)
	}
	w.set(func() { w.invoices = nil })
	w.opened(w.reconcile("acme", ""))
}

// A record's differences are listed by its ref on either side, and told on the
// trail once, however often and in however many periods they are found.
func TestARecordNamesItsBreak(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.balanced(2, 1000)
	w.set(func() { w.invoices[0].Net = eur(900) })
	for _, period := range []string{"", "2026-11", ""} {
		w.reconcile("acme", period)
	}
	for _, ref := range []string{deal(1).String(), inv(1).String()} {
		res, err := w.server.ListBreaks(t.Context(), &controlv1.ListBreaksRequest{Ref: ref})
		if err != nil || len(res.GetItems()) != 1 || res.GetItems()[0].GetCause() != "edited_in_books" || res.GetItems()[0].GetAmount().GetMinor() != 100 {
			t.Errorf("%s: %v, %v", ref, res, err)
		}
	}
	if res, err := w.server.ListBreaks(t.Context(), &controlv1.ListBreaksRequest{Ref: deal(2).String()}); err != nil || len(res.GetItems()) != 0 {
		t.Errorf("one in balance: %v, %v", res, err)
	}
	if n := w.text(`SELECT count(*) FROM outbox`); n != "7" { // two of each run, one of the break
		t.Errorf("%s facts are told", n)
	}
}
