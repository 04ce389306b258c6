package ingest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/lab"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

// beside is the service, told what the bench's ingest reads and hears.
type beside struct {
	ctx        context.Context
	in         *Ingest
	seen, kept map[string]bool // events that were placed before: now, and in the copy
}

// besideTables are those that say what is placed.
var besideTables = []string{"event", "object", "lane", "alias", "hint", "outbox", "book"}

var _ lab.BesideIngest = (*beside)(nil)

func (b *beside) Reset(targets int) error {
	reg := b.in.deps.Registry
	reg.Routes, b.seen = nil, map[string]bool{}
	for _, x := range []struct{ typ, route string }{{"deal", "deals"}, {"company", "companies"}} {
		for n := range targets {
			no := strconv.Itoa(n + 1)
			reg.Routes = append(reg.Routes, registry.Route{ID: x.route + no, Connection: "crm", Type: x.typ, Target: "books/" + no, Entity: "ie", Mapping: "m"})
		}
	}
	return b.each(func(tx *store.Tx, table string) error {
		if table == "book" {
			_, err := tx.Exec(`UPDATE book SET floor = 0, lifting = 0, last_read_no = 0`)
			return err
		}
		_, err := tx.Exec(`DELETE FROM ` + table)
		return err
	})
}

func (b *beside) each(do func(tx *store.Tx, table string) error) error {
	return b.in.deps.DB.Write(b.ctx, func(tx *store.Tx) error {
		for _, table := range besideTables {
			if err := do(tx, table); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *beside) Keep() error {
	b.kept = maps.Clone(b.seen)
	return b.each(func(tx *store.Tx, table string) error {
		if _, err := tx.Exec(`DROP TABLE IF EXISTS kept_` + table); err != nil {
			return err
		}
		_, err := tx.Exec(`CREATE TABLE kept_` + table + ` AS SELECT * FROM ` + table)
		return err
	})
}

func (b *beside) SetBack(floor int64) error {
	b.seen = maps.Clone(b.kept)
	err := b.each(func(tx *store.Tx, table string) error {
		if _, err := tx.Exec(`DELETE FROM ` + table); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO ` + table + ` SELECT * FROM kept_` + table)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := b.in.MarkRestored(b.ctx, "the bench says so"); err != nil {
		return err
	}
	return b.in.deps.DB.Write(b.ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE book SET floor = $1`, floor) // by the bench's clock
		return err
	})
}

func (b *beside) Lift(tops map[string]map[string]int64) error {
	b.in.deps.Tops = func(_ context.Context, after LaneHead) (out []LaneHead, err error) {
		for _, target := range slices.Sorted(maps.Keys(tops)) {
			if target > after.Target {
				out = append(out, lanesOf(target, tops[target])...)
			}
		}
		return out, nil
	}
	return b.in.lift(b.ctx)
}

func lanesOf(target string, seqs map[string]int64) (out []LaneHead) {
	for _, lane := range slices.Sorted(maps.Keys(seqs)) {
		out = append(out, LaneHead{target, lane, seqs[lane]})
	}
	return out
}

func (b *beside) Fill(heads map[string]map[string]int64) ([]*event.Event, error) {
	b.in.deps.Heads = func(_ context.Context, lanes []LaneHead) ([]LaneHead, error) {
		for i := range lanes {
			lanes[i].Seq = heads[lanes[i].Target][lanes[i].Lane]
		}
		return lanes, nil
	}
	return b.placed(func() error { return b.in.fill(b.ctx) })
}

func (b *beside) Tell(target string, next map[string]int64) (out []protocol.Told, err error) {
	req := &controlv1.ReopenRequest{Target: target}
	for _, h := range lanesOf(target, next) {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Target: target, Lane: h.Lane, Seq: h.Seq})
	}
	err = b.in.deps.DB.Write(b.ctx, func(tx *store.Tx) error { // the bench read everything again, and told its reads
		_, err := tx.Exec(`DELETE FROM catch_up`)
		return err
	})
	if err != nil {
		return nil, err
	}
	res, err := b.in.Server().Reopen(b.ctx, req)
	for _, e := range res.GetEvents() {
		out = append(out, protocol.Told{
			Place: protocol.Place{Lane: e.GetLane(), Seq: e.GetSeq()}, EventID: e.GetEventId(), Subject: e.GetRef(), Rev: e.GetRev(), Outcome: protocol.Outcome(e.GetOutcome()), Merge: e.GetMerge(),
		})
	}
	return out, err
}

func (b *beside) Admit(begun int64, deferred int, r admission.Read) ([]*event.Event, error) {
	return b.placedBy(func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE book SET last_read_no = $1`, begun); err != nil {
			return err
		}
		h := hint{Ref: r.Record.Ref, Cause: r.Cause, Class: event.Realtime, Deferred: int64(deferred)}
		_, err := b.in.admitRecord(b.ctx, tx, b.in.sources[0], h, r)
		return err
	})
}

func (b *beside) Hear(f lab.Heard) ([]*event.Event, error) {
	return b.placedBy(func(tx *store.Tx) error {
		told := &trail.Fact{
			Type: f.Type, SourceEventID: f.Event, Subject: f.Subject, Outcome: f.Outcome, Target: f.Target, Lane: f.Lane, SlotSeq: f.Seq, Render: f.Render, Incarnation: f.Life,
		}
		if f.Source != "" {
			told.Posting = &trail.Posting{SourceRef: f.Source}
		}
		floor, err := floorOf(tx)
		if err != nil {
			return err
		}
		return b.in.takeFact(b.ctx, tx, told, floor)
	})
}

// placed are the events that something placed.
func (b *beside) placed(do func() error) (out []*event.Event, err error) {
	if err := do(); err != nil {
		return nil, err
	}
	err = b.in.deps.DB.Read(b.ctx, func(tx *store.Tx) error {
		events, err := eventsOf(tx, `SELECT body FROM event`)
		for _, e := range events {
			if !b.seen[e.ID] {
				b.seen[e.ID], out = true, append(out, e)
			}
		}
		return err
	})
	return out, err
}

func (b *beside) placedBy(do func(tx *store.Tx) error) ([]*event.Event, error) {
	return b.placed(func() error { return b.in.deps.DB.Write(b.ctx, do) })
}

// The simulator has an ingest of its own around the core of admission. The service
// places the same events as that, read by read and fact by fact, also once it was set back.
func TestTheServicePlacesWhatTheBenchDoes(t *testing.T) {
	w := openOn(t, registry.Connection{ID: "crm", Tenant: "acme", Account: "crm/1", App: "crm"}, &connector.Connection{Source: &portal{records: map[string]connector.Record{}}, Webhook: hook{}})
	b := &beside{ctx: t.Context(), in: w.in}
	mixes, seeds := lab.Mixes(), uint64(6)
	if testing.Short() {
		mixes, seeds = []string{"all", "merge"}, 1
	}
	bad, err := lab.Trials(mixes, 90_001, seeds, lab.Options{BesideIngest: b})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range bad {
		t.Error(v)
	}
}
