package ingest

import (
	"context"
	"strconv"
	"testing"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/lab"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// beside is the service, told what the bench's ingest reads and hears.
type beside struct {
	ctx  context.Context
	in   *Ingest
	seen map[string]bool // events that were placed before
}

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
	return b.in.deps.DB.Write(b.ctx, func(tx *store.Tx) error {
		for _, table := range []string{"event", "object", "lane", "alias", "hint", "outbox"} {
			if _, err := tx.Exec(`DELETE FROM ` + table); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *beside) Admit(begun int64, deferred int, r admission.Read) ([]*event.Event, error) {
	if r.Record.Deleted {
		r.Record.Customer = event.Ref{} // what is archived names none
	}
	return b.placed(func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE book SET last_read_no = $1`, begun); err != nil {
			return err
		}
		h := hint{Ref: r.Record.Ref, Cause: r.Cause, Class: event.Realtime, Deferred: int64(deferred)}
		_, err := b.in.admitRecord(b.ctx, tx, b.in.sources[0], h, r)
		return err
	})
}

func (b *beside) Hear(f lab.Heard) ([]*event.Event, error) {
	return b.placed(func(tx *store.Tx) error {
		told := &trail.Fact{
			Type: f.Type, SourceEventID: f.Event, Subject: f.Subject, Outcome: f.Outcome, Target: f.Target, Lane: f.Lane, SlotSeq: f.Seq, Render: f.Render, Incarnation: f.Life,
		}
		if f.Source != "" {
			told.Posting = &trail.Posting{SourceRef: f.Source}
		}
		return b.in.takeFact(b.ctx, tx, told, 0)
	})
}

// placed are the events that something placed.
func (b *beside) placed(do func(tx *store.Tx) error) (out []*event.Event, err error) {
	err = b.in.deps.DB.Write(b.ctx, func(tx *store.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
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

// The simulator has an ingest of its own around the core of admission. The service
// places the same events as that, read by read and fact by fact.
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
