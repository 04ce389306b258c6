package ingest

import (
	"net/http"
	"slices"
	"testing"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// admitted pushes a record and returns its event.
func (w *world) admitted(body string) string {
	w.t.Helper()
	_, v := w.call(http.MethodPost, "/v1/events", body)
	return v["items"].([]any)[0].(map[string]any)["event_ids"].([]any)[0].(string)
}

// fact is taken as it would be from the trail.
func (w *world) fact(f trail.Fact) {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(tx *store.Tx) error { return w.in.takeFact(w.t.Context(), tx, &f, 0) })
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) outcome(id string) string {
	w.t.Helper()
	_, v := w.call(http.MethodGet, "/v1/events/"+id, "")
	s, _ := v["outcome"].(string)
	return s
}

// A requeued slot has the same revision at the lane's tail, once.
func TestARequeuedRevisionHasAnotherPlace(t *testing.T) {
	w := open(t)
	id := w.admitted(one)
	for range 3 {
		w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: id})
	}
	if got := w.outcome(id); got != "moved" {
		t.Errorf("it ended %q", got)
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE ref = 'hubspot/1/deal/a1' AND rev = 1 AND slot_no = 2 AND seq = 2`); n != 1 {
		t.Errorf("%d new places", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM event`); n != 2 {
		t.Errorf("%d events", n)
	}
}

// A requeued merge still follows what it followed.
func TestARequeueKeepsWhatItFollows(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	w.run()
	w.read("7", 1)
	w.portal.put("9", "a", "hubspot/1/company/6", dealRef("7"))
	w.read("9", 1)
	first := w.newest("9")
	w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: first.ID})
	again := w.newest("9")
	if again.SlotNo != 2 || len(first.After) == 0 || !slices.Equal(again.After, first.After) {
		t.Errorf("slot %d follows %v, the first one %v", again.SlotNo, again.After, first.After)
	}
}

// A later revision makes the requeued one superfluous.
func TestARequeueBehindALaterRevisionIsSuperseded(t *testing.T) {
	w := open(t)
	id := w.admitted(one)
	w.admitted(`{"connection":"crm","type":"deal","id":"a1","data":{"customer":"company/5","amount":13}}`)
	w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: id})
	if got := w.outcome(id); got != "superseded" || w.count(`SELECT COUNT(*) FROM event`) != 2 {
		t.Errorf("it ended %q", got)
	}
}

// A rerender publishes the same event, as a later rendering.
func TestARerenderPublishesAgain(t *testing.T) {
	w := open(t)
	id := w.admitted(one)
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE event SET published_at = 1`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.fact(trail.Fact{Type: "slot.rerender", SourceEventID: id, Render: 4})
	var e *stored
	if err := w.db.Read(t.Context(), func(tx *store.Tx) (err error) { e, err = storedEvent(tx, id); return err }); err != nil {
		t.Fatal(err)
	}
	if e.event.Render != 5 || e.event.SlotNo != 1 || w.count(`SELECT COUNT(*) FROM event WHERE published_at IS NULL`) != 1 {
		t.Errorf("render %d, slot %d", e.event.Render, e.event.SlotNo)
	}
	drill.Injected(t, 1, 19)
}

// A document that somebody deleted and that is wanted again asks for its record.
func TestAReissueReadsTheRecordAgain(t *testing.T) {
	w := open(t)
	w.fact(trail.Fact{Type: "link.gone", Outcome: "reissue", Posting: &trail.Posting{SourceRef: "hubspot/1/deal/a1"}})
	if n := w.count(`SELECT COUNT(*) FROM hint WHERE ref = 'hubspot/1/deal/a1' AND cause = $1`, string(event.Reissue)); n != 1 {
		t.Errorf("%d hints", n)
	}
}

// The customer of a requeued revision was merged away: the record is read again, and
// admitted behind the merge though it says nothing new. So is what was pushed, which the
// source does not know.
func TestARequeueBehindItsCustomersMergeIsReadAgain(t *testing.T) {
	w := open(t)
	into := parse("hubspot/1/company/99")
	w.portal.put("7", "a", customer)
	w.run()
	w.read("7", 1)
	pushed := w.admitted(one)
	w.merge(parse(customer), into, 0)

	first := w.newest("7")
	w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: first.ID})
	w.until("it is admitted again", func() bool { return w.newest("7").Rev == 2 })
	if got, again := w.outcome(first.ID), w.newest("7"); got != "superseded" || again.Lane != into.String() {
		t.Errorf("it ended %q, and stands in lane %s", got, again.Lane)
	}
	w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: pushed})
	w.until("what was pushed is admitted again", func() bool { return w.newest("a1").Rev == 2 })
	if got, again := w.outcome(pushed), w.newest("a1"); got != "superseded" || again.Lane != into.String() || again.Type == event.Delete {
		t.Errorf("what was pushed ended %q, and stands in lane %s as %s", got, again.Lane, again.Type)
	}
}
