package ingest

import (
	"testing"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// A deal that could not be rendered for what its customer's record said is read
// again when that is mended, and when a person tries again.
func TestWhatCouldNotBeRenderedIsReadAgain(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	w.portal.put("8", "a", customer)
	w.run()
	w.deliver("secret", "7 8")
	revisions := func(id string) int64 {
		return w.count(`SELECT COUNT(*) FROM event WHERE ref = $1`, dealRef(id).String())
	}
	w.until("both are admitted", func() bool { return revisions("7") == 1 && revisions("8") == 1 })
	w.until("both were read once", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
	tell := func(f trail.Fact) {
		t.Helper()
		f.Stream, f.Target, f.Exception = "writer/quickbooks/9/ie", "quickbooks/9", "w-1"
		if err := w.db.Write(t.Context(), func(tx *store.Tx) error { return trail.Append(tx, f) }); err != nil {
			t.Fatal(err)
		}
		w.in.facts.Wake()
	}
	park := func(rev int64) {
		t.Helper()
		tell(trail.Fact{Type: "exception.opened", SourceEventID: event.ID(dealRef("7").String(), rev, "deals", 1), Outcome: "validation", Detail: "company.name is empty"})
		w.until("it is parked", func() bool { return w.count(`SELECT COUNT(*) FROM event WHERE exception = 'w-1'`) == 1 })
	}
	park(1)
	company, _ := event.ParseRef(customer)
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error { return w.in.customerChanged(tx, company) }); err != nil {
		t.Fatal(err)
	}
	w.until("the customer's change brings another revision", func() bool { return revisions("7") == 2 })
	park(2)
	tell(trail.Fact{Type: "exception.acted", Outcome: "refused"})
	tell(trail.Fact{Type: "exception.acted", Outcome: "retry"})
	w.until("a person's retry brings another revision", func() bool { return revisions("7") == 3 })
	if n := revisions("8"); n != 1 {
		t.Errorf("the deal that waits for nobody has %d revisions", n)
	}
}
