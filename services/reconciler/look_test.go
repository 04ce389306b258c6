package reconciler_test

import (
	"testing"

	"tieout.dev/services/reconciler/match"
)

// What was pushed stands in no source and is asked of ingest: its invoice is no orphan,
// and one that somebody deleted is missing.
func TestWhatWasPushedIsComparedAsItWasPushed(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.balanced(2, 2000)
	w.set(func() { w.pushed = map[int]bool{1: true, 2: true} })
	if r := w.reconcile("acme", ""); r.GetRows()[0].GetSource().GetCount() != 2 || len(r.GetBreaks()) != 0 {
		t.Errorf("both stand: %v", r)
	}
	w.set(func() { w.invoices = w.invoices[1:] })
	if r := w.reconcile("acme", ""); len(r.GetBreaks()) != 1 || r.GetBreaks()[0].GetCause() != match.Deleted || r.GetBreaks()[0].GetState() != match.Open {
		t.Errorf("one was deleted: %v", r.GetBreaks())
	}
}

// What is parked or discarded on its way to other books explains nothing in these.
func TestWhatIsOpenElsewhereExplainsNothing(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.deals[1], w.open[deal(1).String()] = 1000, match.Discarded })
	for at, state := range map[string]string{target: match.Settled, "": match.Settled, "books/other": match.Open} {
		w.set(func() { w.openAt = at })
		if r := w.reconcile("acme", ""); len(r.GetBreaks()) != 1 || r.GetBreaks()[0].GetState() != state {
			t.Errorf("open at %q: %v", at, r.GetBreaks())
		}
	}
}
