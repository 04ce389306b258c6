package ingest

import (
	"context"
	"net/http"
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// setBack marks the database as restored; the writer then holds numbers up to a top.
func (w *world) setBack(top LaneHead) {
	w.t.Helper()
	if _, err := w.in.MarkRestored(w.t.Context(), "a test says so"); err != nil {
		w.t.Fatal(err)
	}
	if status, _ := w.call(http.MethodPost, "/v1/events", one); status != http.StatusServiceUnavailable {
		w.t.Errorf("a record was taken with status %d before the writer had told its numbers", status)
	}
	w.in.deps.Tops = func(_ context.Context, after LaneHead) ([]LaneHead, error) {
		if after != (LaneHead{}) {
			return nil, nil
		}
		return []LaneHead{top}, nil
	}
	if err := w.in.lift(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

const theLane = "hubspot/1/company/5"

// After a restore the same content is a revision again, above every number that
// was given, and every record is asked for.
func TestARestoredDatabaseGoesOnAbove(t *testing.T) {
	w := open(t)
	w.admitted(one)
	top := LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane, Seq: 7}
	w.setBack(top)
	if n := w.count(`SELECT COUNT(*) FROM hint WHERE ref = 'hubspot/1/deal/a1' AND cause = $1`, string(event.Repair)); n != 1 {
		t.Errorf("%d hints", n)
	}
	w.admitted(one)
	floor := w.count(`SELECT floor FROM book WHERE id = 1`)
	if floor < admission.FloorFor(1) || w.count(`SELECT MAX(rev) FROM event`) != floor+1 || w.count(`SELECT MAX(seq) FROM event WHERE lane = $1`, theLane) != 8 {
		t.Errorf("floor %d, revision %d, slot %d", floor, w.count(`SELECT MAX(rev) FROM event`), w.count(`SELECT MAX(seq) FROM event`))
	}
	w.fact(trail.Fact{Type: "slot.received", Target: top.Target, Lane: theLane, SlotSeq: 5})
	if n := w.count(`SELECT last_seq FROM lane WHERE lane = $1`, theLane); n != 8 {
		t.Errorf("the lane went back to %d", n)
	}
}

// Numbers that nobody holds any more become empty events, once.
func TestLostNumbersAreFilled(t *testing.T) {
	w := open(t)
	w.admitted(one)
	w.setBack(LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane, Seq: 4})
	w.in.deps.Heads = func(_ context.Context, lanes []LaneHead) ([]LaneHead, error) {
		for i := range lanes {
			lanes[i].Seq = 2 // it has 1 and 2; 3 and 4 were on their way
		}
		return lanes, nil
	}
	for range 2 {
		if err := w.in.fill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE lane = $1 AND rev = 0 AND seq IN (3, 4)`, theLane); n != 2 || w.count(`SELECT COUNT(*) FROM event`) != 3 {
		t.Errorf("%d empty events of %d", n, w.count(`SELECT COUNT(*) FROM event`))
	}
}

// An event whose place is taken is admitted at the tail, once.
func TestACollisionIsAdmittedAgain(t *testing.T) {
	w := open(t)
	id := w.admitted(one)
	for range 2 {
		w.fact(trail.Fact{Type: "slot.collided", SourceEventID: id})
	}
	if got := w.outcome(id); got != "moved" || w.count(`SELECT COUNT(*) FROM event WHERE rev = 1 AND slot_no = 2 AND seq = 2`) != 1 {
		t.Errorf("it ended %q", got)
	}
}

// A slot that holds another event displaces ours, even if it never collides.
func TestADisplacedEventIsAdmittedAgain(t *testing.T) {
	w := open(t)
	w.setBack(LaneHead{Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane})
	id := w.admitted(one)
	e := trail.Fact{Type: "slot.ended", Target: w.in.deps.Registry.Routes[0].Target, Lane: theLane, SlotSeq: 1, SourceEventID: "of a lost life", Outcome: "posted"}
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error { return w.in.takeFact(t.Context(), tx, &e, 1) }); err != nil {
		t.Fatal(err)
	}
	if got := w.outcome(id); got != "moved" || w.count(`SELECT COUNT(*) FROM event WHERE slot_no = 2 AND seq = 2`) != 1 {
		t.Errorf("it ended %q", got)
	}
}

// A restored writer hears how events ended, and gets all of them again.
func TestEventsAreReopened(t *testing.T) {
	w := open(t)
	id := w.admitted(one)
	w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "posted"})
	told, err := w.reopens()
	if err != nil || len(told) != 1 || told[0].GetOutcome() != "posted" || told[0].GetEventId() != id {
		t.Fatalf("%v, %v", told, err)
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE published_at IS NULL AND owed = 1`); n != 1 {
		t.Errorf("%d events go out again", n)
	}
	told, err = w.reopens(&controlv1.LaneHead{Lane: theLane, Seq: 2})
	if err != nil || len(told) != 0 {
		t.Errorf("what the writer knows is told as well: %v, %v", told, err)
	}
}

// The group ahead of the row means that the database went back, once.
func TestAGapBehindTheGroupMarks(t *testing.T) {
	w := open(t)
	for _, kind := range []stream.GapKind{stream.GapTrimmed, stream.GapBehindGroup, stream.GapBehindGroup} {
		if err := w.in.onGap(t.Context(), stream.Gap{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(`SELECT restores FROM book WHERE id = 1`); n != 1 {
		t.Errorf("marked %d times", n)
	}
}

// A person discarded a slot, and the writer's database was set back before
// ingest heard of it: the slot is open there again, and its late end is not the
// last word. A requeue moves it, once.
func TestALateEndOfALostLifeDoesNotSwallowARequeue(t *testing.T) {
	for _, kind := range []string{"slot.requeued", "slot.collided"} {
		w := open(t)
		id := w.reopened()
		w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "discarded", Incarnation: 1})
		for range 2 {
			w.fact(trail.Fact{Type: kind, SourceEventID: id, Incarnation: 7})
		}
		if got := w.outcome(id); got != "moved" || w.count(`SELECT COUNT(*) FROM event WHERE slot_no = 2 AND ended_at = 0`) != 1 || w.count(`SELECT COUNT(*) FROM event`) != 2 {
			t.Errorf("%s: it ended %q, %d events", kind, got, w.count(`SELECT COUNT(*) FROM event`))
		}
	}
}

// reopened is an event that a restored writer asked for.
func (w *world) reopened() (id string) {
	w.t.Helper()
	id = w.admitted(one)
	if _, err := w.reopens(); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// Nor does it swallow a rerender, or how the slot ends in the end. After that
// the lost life has no say.
func TestALateEndOfALostLifeIsNotTheLast(t *testing.T) {
	w := open(t)
	id := w.reopened()
	w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "discarded", Incarnation: 1})
	w.fact(trail.Fact{Type: "slot.rerender", SourceEventID: id, Render: 1, Incarnation: 7})
	if n := w.count(`SELECT COUNT(*) FROM event WHERE ended_at = 0 AND outcome = '' AND published_at IS NULL`); n != 1 {
		t.Error("a person's rerender was not published")
	}
	w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "posted", Incarnation: 7})
	w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "discarded", Incarnation: 1})
	w.fact(trail.Fact{Type: "slot.requeued", SourceEventID: id, Incarnation: 1})
	if got := w.outcome(id); got != "posted" || w.count(`SELECT COUNT(*) FROM event`) != 1 {
		t.Errorf("it ended %q", got)
	}
}

// An event that a restored writer asked for is owed until the writer holds it:
// the copy that went out may be lost, and a late end must not hide that.
func TestALateEndOfALostLifeLeavesNoHole(t *testing.T) {
	w := open(t)
	id := w.reopened()
	w.fact(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "discarded", Incarnation: 1})
	var held int64
	w.in.deps.Heads = func(_ context.Context, lanes []LaneHead) ([]LaneHead, error) {
		for i := range lanes {
			lanes[i].Seq = held
		}
		return lanes, nil
	}
	for held = range 2 {
		err := w.db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE event SET published_at = 1`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.in.completeRound(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE published_at IS NULL AND owed = 1`); n != 1-held {
			t.Errorf("the writer holds %d: %d events are sent again", held, n)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE owed = 1`); n != 0 {
		t.Error("it is owed though the writer holds it")
	}
}
