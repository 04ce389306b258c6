package writer

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/lab"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/writer/protocol"
)

// beside are the service's own tables, kept beside the bench's.
type beside struct {
	ctx context.Context
	db  *store.DB
	w   *Writer
}

var _ lab.Beside = (*beside)(nil)

func (b *beside) Reset(target string) error {
	return b.db.Write(b.ctx, func(tx *store.Tx) error {
		for _, table := range []string{"slot", "slot_render", "lane", "wait", "call", "op", "told", "recalled"} {
			if _, err := tx.Exec(`DELETE FROM `+table+` WHERE target = $1`, target); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM link WHERE other_target = $1`, target)
		return err
	})
}

func (b *beside) Receive(r *document.Rendering) error {
	doc, err := document.Encode(r)
	if err != nil {
		return err
	}
	return b.db.Write(b.ctx, func(tx *store.Tx) error {
		_, err := b.w.storeSlot(tx, r, doc, "")
		return err
	})
}

func (b *beside) Apply(target string, now int64, ch *protocol.Changes) error {
	return b.db.Write(b.ctx, func(tx *store.Tx) error {
		a := &applier{w: b.w, tx: tx, v: &protocol.View{Target: target, Now: now}, received: map[place]int64{}}
		for _, step := range []func(*protocol.Changes) error{a.slots, a.takenOver, a.lanes, a.waits, a.calls, a.ops, a.links, a.recalled} {
			if err := step(ch); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *beside) Tell(target string, told []protocol.Told) error {
	return b.db.Write(b.ctx, func(tx *store.Tx) error {
		for i := range told {
			if err := putTold(tx, target, &told[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *beside) Load(v *protocol.View, m *protocol.Memory, in protocol.Inputs) error {
	return b.db.Write(b.ctx, func(tx *store.Tx) error { return protocol.Load(tables{tx, v.Target}, v, m, in) })
}

func (b *beside) Heads(target string, lanes []string) (map[string]int64, error) {
	req, out := &controlv1.SlotHeadsRequest{}, map[string]int64{}
	for _, lane := range lanes {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Target: target, Lane: lane})
	}
	res, err := b.w.Server().SlotHeads(b.ctx, req)
	for _, h := range res.GetLanes() {
		out[h.GetLane()] = h.GetSeq()
	}
	return out, err
}

func (b *beside) Tops(target string) (map[string]int64, error) {
	res, err := b.w.Server().LaneTops(b.ctx, &controlv1.LaneTopsRequest{})
	out := map[string]int64{}
	for _, h := range res.GetLanes() {
		if h.GetTarget() == target {
			out[h.GetLane()] = max(out[h.GetLane()], h.GetSeq())
		}
	}
	return out, err
}

// What the simulator plays on are tables of its own. Turn by turn, the service's
// statements see the same, in every mix.
func TestTheStatementsSeeWhatTheBenchSees(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: filepath.Join(t.TempDir(), "w.db"), Name: Name, Migrations: Migrations, Clock: time.Now}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &beside{ctx: t.Context(), db: db, w: &Writer{deps: Deps{DB: db}}}
	mixes, seeds := lab.Mixes(), uint64(2)
	if testing.Short() {
		mixes, seeds = []string{"all", "restore"}, 1
	}
	bad, err := lab.Trials(mixes, 90_001, seeds, lab.Options{Beside: b})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range bad {
		t.Error(v)
	}
}
