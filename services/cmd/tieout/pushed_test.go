package main

import (
	"strings"
	"testing"
)

// A deal that was pushed is not in the CRM: nobody is asked about what cannot be written
// back there, and it is issued anew as it was pushed.
func TestAPushedDealIsNotLookedForInTheCRM(t *testing.T) {
	t.Parallel()
	o := start(t)
	newDeals(o, 0).push("pushed")
	o.settle(1)
	first := o.live()["pushed"]
	if open := o.exceptions(); len(first) != 1 || len(open) > 0 {
		t.Fatalf("invoices %v, asked %+v", first, open)
	}
	o.run("reconcile") // and it is no orphan
	o.deleteInBooks("invoice", first[0].ID, first[0].SyncToken)
	if said, code := o.try("reconcile"); code != 5 || !strings.Contains(said, "deleted_in_books") {
		t.Fatalf("deleted by hand: exit %d\n%s", code, said)
	}
	if open := o.exceptions(); len(open) > 0 {
		t.Errorf("asked %+v", open)
	}
}
