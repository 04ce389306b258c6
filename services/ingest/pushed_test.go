package ingest

import (
	"slices"
	"strings"
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// asked has a pushed record read for a cause, and waits until the read is over.
func (w *world) asked(id string, cause event.Cause) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		return w.in.askFor(tx, dealRef(id), cause, event.Realtime)
	}); err != nil {
		w.t.Fatal(err)
	}
	w.until("it was read", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
}

// What a caller handed over and the source does not know is not deleted by a read: it
// is as it was said last, and admitted once more where that is asked for.
func TestWhatWasPushedIsNotDeletedByARead(t *testing.T) {
	w := open(t)
	w.run()
	w.admitted(one)
	for _, cause := range []event.Cause{event.Change, event.Repair} {
		if w.asked("a1", cause); w.newest("a1").Rev != 1 {
			t.Errorf("%s: revision %d, %s", cause, w.newest("a1").Rev, w.newest("a1").Type)
		}
	}
	first := w.newest("a1")
	w.fact(trail.Fact{Type: "link.gone", Outcome: "reissue", Posting: &trail.Posting{SourceRef: "hubspot/1/deal/a1"}})
	w.until("it is admitted again", func() bool { return w.newest("a1").Rev == 2 })
	if e := w.newest("a1"); e.Type != event.Put || e.Cause != event.Reissue || e.Lane != first.Lane || string(e.Data) != string(first.Data) || string(e.Related) != string(first.Related) {
		t.Errorf("%s for %s in lane %s: %s", e.Type, e.Cause, e.Lane, e.Data)
	}
	w.until("the read is over", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
	if code, v := w.call("POST", "/v1/events", one); code != 202 || v["items"].([]any)[0].(map[string]any)["duplicate"] != true {
		t.Errorf("pushed once more: %d %v", code, v)
	}
}

// Once a read found it in the source, the source's word counts: it is gone.
func TestWhatWasPushedAndThenFoundIsDeletedByARead(t *testing.T) {
	w := open(t)
	w.run()
	w.admitted(one)
	w.portal.put("a1", "a", customer)
	w.asked("a1", event.Change)
	w.portal.mu.Lock()
	delete(w.portal.records, "a1")
	w.portal.mu.Unlock()
	if w.asked("a1", event.Change); w.newest("a1").Rev != 3 || w.newest("a1").Type != event.Delete {
		t.Errorf("revision %d, %s", w.newest("a1").Rev, w.newest("a1").Type)
	}
}

// Where the database was set back, what was pushed last may be lost: nothing older is
// admitted in its place, and a person is told who must send it.
func TestWhatWasPushedBeforeARestoreIsAskedOfItsCaller(t *testing.T) {
	w := open(t)
	w.admitted(one)
	w.setBack(LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane, Seq: 7})
	w.run()
	w.until("every record was read", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
	if n := w.count(`SELECT COUNT(*) FROM exception`); n != 0 || w.newest("a1").Rev != 1 {
		t.Errorf("read again: revision %d, %d exceptions", w.newest("a1").Rev, n)
	}
	w.asked("a1", event.Reissue)
	if n := w.count(`SELECT COUNT(*) FROM exception WHERE state = 'open' AND subject = 'hubspot/1/deal/a1' AND reason LIKE '%pushed again'`); n != 1 || w.newest("a1").Rev != 1 {
		t.Errorf("issued anew: revision %d, %d exceptions", w.newest("a1").Rev, n)
	}
	w.admitted(one)
	if n := w.count(`SELECT COUNT(*) FROM exception WHERE state = 'open'`); n != 0 || w.newest("a1").Rev == 1 {
		t.Errorf("pushed again: revision %d, %d open", w.newest("a1").Rev, n)
	}
}

// What stands in no source is told page by page, as it was pushed; once a read found it
// there it is the source's.
func TestWhatWasPushedIsListed(t *testing.T) {
	w := open(t)
	w.run()
	for _, id := range []string{"a1", "a2", "a3"} {
		w.admitted(strings.Replace(one, "a1", id, 1))
	}
	w.portal.put("a2", "a", customer)
	w.asked("a2", event.Change)
	var got []string
	for _, typ := range []string{"deal", "", "company"} {
		r := &controlv1.ListPushedRequest{Account: "hubspot/1", Type: typ, Limit: 1}
		for {
			page, err := w.in.Server().ListPushed(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page.GetItems() {
				got = append(got, x.GetRef()+" of "+x.GetCustomer())
				if string(x.GetData()) != `{"amount":"12.5","customer":"company/5","id":"`+x.GetRef()[len(x.GetRef())-2:]+`"}` || x.GetOccurredAt().AsTime().IsZero() {
					t.Errorf("%s: %s", x.GetRef(), x.GetData())
				}
			}
			if r.Next = page.GetNext(); r.Next == "" {
				break
			}
		}
	}
	if want := []string{"hubspot/1/deal/a1 of " + theLane, "hubspot/1/deal/a3 of " + theLane}; !slices.Equal(got, append(want, want...)) {
		t.Errorf("%v", got)
	}
}
