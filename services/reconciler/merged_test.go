package reconciler_test

import "testing"

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
