package ingest

import (
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// reopens asks as a restored writer does that knows lanes up to heads.
func (w *world) reopens(heads ...*controlv1.LaneHead) (told []*controlv1.ReopenedEvent, err error) {
	w.t.Helper()
	res, err := w.in.Server().Reopen(w.t.Context(), &controlv1.ReopenRequest{Target: w.in.deps.Registry.Routes[0].Target, Lanes: heads})
	return res.GetEvents(), err
}

// fetchAll reads what is due.
func (w *world) fetchAll() {
	w.t.Helper()
	for worked := true; worked; {
		var err error
		if worked, err = w.in.sources[0].fetchDue(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A writer that was set back as well hears of events only when all that ingest may have
// lost was read again: what it knew, and what it never knew and a poll finds.
func TestARestoredWriterWaitsForWhatIsReadAgain(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	if err := w.in.storeHints(t.Context(), []connector.Hint{{Ref: dealRef("7")}}, event.Change, event.Realtime, nil); err != nil {
		t.Fatal(err)
	}
	w.fetchAll()
	w.portal.put("7", "b", customer) // read, written to the books, and forgotten
	w.portal.put("8", "a", customer)
	w.setBack(LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: customer, Seq: 3})
	refused := func(when string) {
		t.Helper()
		if told, err := w.reopens(); err == nil {
			t.Errorf("%s it is told %d events", when, len(told))
		}
	}
	refused("before anything was read again")
	w.fetchAll()
	refused("before a poll is complete")
	w.portal.breaks = true
	w.in.sources[0].pollOnce(t.Context())
	w.fetchAll()
	refused("while a poll broke off")
	w.portal.breaks = false
	w.portal.put("9", "a", customer)
	w.in.sources[0].pollOnce(t.Context())
	refused("before what the poll found was read")
	w.fetchAll()
	w.portal.put("7", "c", customer)
	w.in.sources[0].pollOnce(t.Context()) // what is asked for later is no part of it
	told, err := w.reopens()
	if err != nil {
		t.Fatal(err)
	}
	revs := map[string]int64{}
	for _, e := range told {
		revs[e.GetRef()] = max(revs[e.GetRef()], e.GetRev())
	}
	if floor := w.count(`SELECT floor FROM book`); len(revs) != 3 || revs["hubspot/1/deal/7"] <= floor || revs["hubspot/1/deal/8"] <= floor {
		t.Errorf("it is told %v, and revisions go on above %d", revs, floor)
	}
}

// A source that does not answer holds the books up for a while, not for good.
func TestARestoredWriterDoesNotWaitForGood(t *testing.T) {
	w := open(t)
	w.admitted(one)
	w.setBack(LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane, Seq: 1})
	if _, err := w.reopens(); err == nil {
		t.Error("it does not wait")
	}
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE catch_up SET since = since - $1`, catchUpMost.Microseconds())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if told, err := w.reopens(); err != nil || len(told) != 1 {
		t.Errorf("%d events, %v", len(told), err)
	}
}
