package reconciler_test

import (
	"testing"
	"time"

	"tieout.dev/services/internal/fault"
)

// A deal that was merged into another takes its invoice along: the journal holds
// it for the survivor, and nothing is left over.
func TestAMergedDealsInvoiceIsTheSurvivors(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	moved := settled(1, 1000)
	moved.Type, moved.Outcome, moved.Subject, moved.OpIDs = "link.created", "merged", deal(9).String(), nil
	moved.Posting.SourceRef = deal(9).String()
	w.tell(moved)
	w.set(func() {
		w.deals[9] = w.deals[1]
		delete(w.deals, 1)
	})
	res := w.reconcile("acme", "")
	if len(res.GetBreaks()) != 0 || len(res.GetRows()) != 1 {
		t.Fatalf("breaks %v, rows %v", res.GetBreaks(), res.GetRows())
	}
	if row := res.GetRows()[0]; row.GetJournal().GetCount() != 1 || row.GetUnexplained().GetCount() != 0 {
		t.Errorf("row %v", row)
	}
}

// A vendor that asks for a rest in the middle of a list is given it.
func TestAReconciliationRestsWhereAVendorAsks(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	refusals := 2
	w.set(func() {
		w.refuse = func() error {
			if refusals--; refusals >= 0 {
				return &fault.Error{Kind: fault.RateLimited, RetryAfter: time.Millisecond}
			}
			return nil
		}
	})
	if res := w.reconcile("acme", ""); len(res.GetBreaks()) != 0 || len(res.GetRows()) != 1 {
		t.Fatalf("%v", res)
	}
	if refusals >= 0 {
		t.Error("nothing was refused")
	}
}
