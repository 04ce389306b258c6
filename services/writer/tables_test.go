package writer

import (
	"slices"
	"testing"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// What is awaited itself goes before bulk that only stands in its way, and keeps
// its own class: ten old deals of a customer whose record changed are no ten
// deals won just now.
func TestRealtimeGoesBeforeWhatItLifts(t *testing.T) {
	d := newDesk(t)
	slot := func(lane string, seq int64, class event.Class) {
		d.store(&document.Rendering{EventID: lane + string(class), Target: "books", Lane: lane, Seq: seq, Class: class, Ref: lane, Verdict: document.Nothing, OccurredAt: time.Unix(1_800_000_000, 0)})
	}
	slot("old", 1, event.Bulk)
	slot("behind", 1, event.Bulk)
	slot("behind", 2, event.Realtime)
	slot("won", 1, event.Realtime)
	for rank, want := range map[protocol.Rank]struct {
		lane  string
		class event.Class
	}{
		protocol.Awaited:   {"won", event.Realtime},
		protocol.Lifted:    {"behind", event.Bulk},
		protocol.Unhurried: {"old", event.Bulk},
	} {
		var got []*protocol.Head
		if err := d.db.Write(t.Context(), func(tx *store.Tx) (err error) {
			got, err = tables{tx, "books"}.ReadyHeads(rank, 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, []string{want.lane}, func(h *protocol.Head, lane string) bool { return h.Lane == lane && h.Slot.Class == want.class }) {
			t.Errorf("of rank %d come %+v, want %s alone", rank, got, want.lane)
		}
	}
}

// A merge follows the slots of what it names as merged away that are still queued in
// other lanes, also those that ingest forgot when its database was set back.
func TestAMergeFollowsWhatIsQueuedOfTheMergedRecord(t *testing.T) {
	d := newDesk(t)
	for _, r := range []*document.Rendering{
		{EventID: "lost", Lane: "company/1", Seq: 1, Ref: "deal/4"},
		{EventID: "merge", Lane: "company/2", Seq: 1, Ref: "deal/3", Type: event.Merge, MergedFrom: []string{"deal/4"}},
	} {
		r.Target, r.Class, r.Verdict, r.OccurredAt = "books", event.Realtime, document.Nothing, time.Unix(1_800_000_000, 0)
		d.store(r)
	}
	met := func() (out map[string]bool) {
		v := &protocol.View{Target: "books"}
		if err := d.db.Write(t.Context(), func(tx *store.Tx) error {
			return protocol.Load(tables{tx, "books"}, v, protocol.NewMemory(), protocol.Inputs{})
		}); err != nil {
			t.Fatal(err)
		}
		out = map[string]bool{}
		for _, h := range v.Heads {
			out[h.Slot.EventID] = h.AfterMet
		}
		return out
	}
	if got := met(); !got["lost"] || got["merge"] {
		t.Errorf("what they follow has ended: %v", got)
	}
	d.exec(`UPDATE slot SET state = 'ended' WHERE event_id = 'lost'`)
	if got := met(); !got["merge"] {
		t.Errorf("the merged record's slot has ended, and the merge waits: %v", got)
	}
}

// A merge that follows a slot which stands behind its own lane moves behind it: the
// merged record was requeued in a life of ingest that is lost.
func TestAMergeMovesBehindWhatWaitsForItsLane(t *testing.T) {
	d := newDesk(t)
	for _, r := range []*document.Rendering{
		{EventID: "merge", Lane: "company/1", Seq: 1, Ref: "deal/3", Type: event.Merge, MergedFrom: []string{"deal/4"}},
		{EventID: "deal", Lane: "company/1", Seq: 2, Ref: "deal/5"},
		{EventID: "customer", Lane: "company/2", Seq: 1, Ref: "company/2", After: []event.LaneSeq{{Lane: "company/1", Seq: 2}}},
		{EventID: "merged away", Lane: "company/2", Seq: 2, Ref: "deal/4"},
	} {
		r.Target, r.Class, r.Verdict, r.OccurredAt = "books", event.Realtime, document.Nothing, time.Unix(1_800_000_000, 0)
		d.store(r)
	}
	var ch protocol.Changes
	d.write(func(tx *store.Tx) error {
		v, m := &protocol.View{Target: "books", Tenant: "acme"}, protocol.NewMemory()
		if err := protocol.Load(tables{tx, "books"}, v, m, protocol.Inputs{}); err != nil {
			return err
		}
		ch, _ = protocol.Step(v, m, protocol.Inputs{})
		return nil
	})
	moved := slices.IndexFunc(ch.Ended, func(e protocol.Ended) bool { return e.Outcome == protocol.Moved })
	if moved < 0 || ch.Ended[moved].Seq != 1 {
		t.Errorf("nobody moves: ended %+v, lanes %+v", ch.Ended, ch.Lanes)
	}
}
