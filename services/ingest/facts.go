package ingest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gowebpki/jcs"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// takeFacts listens to what became of events: slots that ended, postings to be
// written back to their source, first links.
func (in *Ingest) takeFacts(ctx context.Context, b *stream.Batch) error {
	facts := make([]*trail.Fact, 0, len(b.Records))
	for i := range b.Records {
		f, err := trail.Decode(b.Records[i].Value)
		if err != nil {
			in.deps.Log.ErrorContext(ctx, "a fact does not decode; its stream's completer sends it again", "offset", b.Records[i].Offset, "error", err)
			continue
		}
		facts = append(facts, f)
	}
	err := in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		floor, err := floorOf(tx)
		if err != nil {
			return err
		}
		fresh, err := trail.Take(tx, facts)
		if err != nil {
			return err
		}
		crash.At(crash.IngestFactsTaken)
		for _, f := range fresh {
			if err := in.takeFact(ctx, tx, f, floor); err != nil {
				return fmt.Errorf("take fact %s: %w", f.EventID, err)
			}
		}
		moved, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		if err == nil && !moved {
			return stream.ErrNotOwner
		}
		return err
	})
	crash.At(crash.IngestFactsStored)
	in.relay.Wake()
	in.facts.Wake()
	return err
}

func (in *Ingest) takeFact(ctx context.Context, tx *store.Tx, f *trail.Fact, floor int64) error {
	if floor > 0 && f.SlotSeq > 0 && (f.Type == "slot.received" || f.Type == "slot.ended") { // perhaps of a life that is lost
		if err := in.displaced(ctx, tx, f); err != nil {
			return err
		}
	}
	switch f.Type {
	case "slot.collided":
		return in.collided(ctx, tx, f)
	case "slot.ended":
		s, err := heard(tx, f)
		if err != nil || s == nil {
			return err
		}
		err = endEvent(tx, f.SourceEventID, f.Outcome, f.Incarnation)
		crash.At(crash.IngestSlotEnded)
		return err
	case "exception.opened":
		return opened(tx, f)
	case "exception.acted":
		return in.acted(tx, f)
	case "slot.requeued":
		return in.requeued(ctx, tx, f)
	case "slot.rerender":
		return in.rerender(tx, f)
	case "link.gone":
		return in.reissue(tx, f)
	case "op.settled":
		if f.Outcome == "posted" && f.Posting != nil {
			return in.writeBack(ctx, tx, f, floor)
		}
	case "link.credited":
		if f.Posting == nil {
			return nil
		}
		return in.writeBack(ctx, tx, f, floor)
	case "link.created":
		if f.Posting != nil && f.Outcome != "void" {
			return in.firstLink(tx, f)
		}
	}
	return nil
}

// firstLink has the linked record admitted once more, if a route of its own
// leads from it: a change that overtook the creation is not lost. What was made of
// one that was merged away, as by a slot of a lost life that came late, is its
// survivor's: that one is admitted.
func (in *Ingest) firstLink(tx *store.Tx, f *trail.Fact) error {
	ref, err := event.ParseRef(f.Posting.SourceRef)
	if err != nil {
		return nil // a write-back's link: its source is no record that we read
	}
	into, err := survivor(tx, ref.String())
	if err != nil {
		return err
	}
	if into == f.Subject {
		return nil // the event's own record is at its newest slot already
	}
	if ref, err = event.ParseRef(into); err != nil {
		return err
	}
	return in.askFor(tx, ref, event.Linked, event.Realtime)
}

// posting is the record of a write-back: what the books confirmed, as RFC 8785
// JSON with decimal strings.
type posting struct {
	Ref       string `json:"ref"`
	Kind      string `json:"kind"`
	Part      string `json:"part"`
	N         string `json:"n"`
	Number    string `json:"number"`
	Status    string `json:"status"`
	SourceRef string `json:"source_ref"`
	Currency  string `json:"currency"`
	Net       string `json:"net"`
	Tax       string `json:"tax"`
	Gross     string `json:"gross"`
	IssueDate string `json:"issue_date"`
}

// writeBack admits a posting as an event of its own, in the lane of the books'
// customer. The op in the books is done without it.
func (in *Ingest) writeBack(ctx context.Context, tx *store.Tx, f *trail.Fact, floor int64) error {
	route, ok := in.writeBackRoute(f)
	if !ok {
		return nil
	}
	p := f.Posting
	ref, err := event.ParseRef(p.OtherRef)
	if err != nil {
		return err
	}
	data, err := canonical(posting{
		Ref: p.OtherRef, Kind: p.Kind, Part: p.Part, N: fmt.Sprint(p.N), Number: p.Number, Status: p.Status, SourceRef: p.SourceRef,
		Currency: p.Gross.Currency, Net: major(p.Net), Tax: major(p.Tax), Gross: major(p.Gross), IssueDate: p.IssueDate,
	})
	if err != nil {
		return err
	}
	o, err := loadObject(tx, ref)
	if err != nil {
		return err
	}
	record := connector.Record{Ref: ref, Version: p.Version, ChangedAt: f.Time, Data: data, Hash: event.Digest("posting/v1", string(data))}
	d := admission.Decide(o, admission.Read{No: o.ReadNo, Record: record, Cause: event.Posting, Floor: floor})
	if d.Verdict != admission.Admit {
		return nil
	}
	if err := storeObject(tx, ref, d.Object); err != nil {
		return err
	}
	lane := p.CustomerRef
	if lane == "" {
		lane = p.OtherRef
	}
	class, err := classOfEvent(tx, f.SourceEventID)
	if err != nil {
		return err
	}
	err = in.place(ctx, tx, route, &event.Event{
		Connection: route.Connection, Ref: ref, Rev: d.Object.Rev, SlotNo: 1, Render: 1, Class: class, Cause: event.Posting, Type: event.Posted,
		Lane: lane, Customer: f.Customer, OccurredAt: f.Time, Data: data, DataHash: record.Hash,
	}, parentOf(f))
	crash.At(crash.IngestWriteBackPlaced)
	return err
}

// classOfEvent is the class that an event came in: what a backfill posts is written
// back in bulk as well, and leaves the way free for what people wait for.
func classOfEvent(tx *store.Tx, id string) (event.Class, error) {
	class := string(event.Realtime)
	err := tx.QueryRow(`SELECT class FROM event WHERE event_id = $1`, id).Scan(&class)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return event.Class(class), err
}

// writeBackRoute is the route from the books' kind to the account that the
// posting's source record lives in.
func (in *Ingest) writeBackRoute(f *trail.Fact) (registry.Route, bool) {
	source, err := event.ParseRef(f.Posting.SourceRef)
	if err != nil {
		return registry.Route{}, false
	}
	for _, r := range in.deps.Registry.Routes {
		c, ok := in.deps.Registry.Connection(r.Connection)
		if ok && r.WriteBack && c.Account == f.Target && r.Type == f.Posting.Kind && r.Target == source.AccountRef() && r.Entity == f.Entity {
			return r, true
		}
	}
	return registry.Route{}, false
}

// parentOf continues the trace of the sync that the fact belongs to.
func parentOf(f *trail.Fact) string {
	if len(f.TraceID) != 32 || len(f.SourceEventID) < 16 {
		return ""
	}
	return "00-" + f.TraceID + "-" + f.SourceEventID[:16] + "-01"
}

func major(a money.Amount) string {
	if a.Currency == "" {
		return ""
	}
	return a.Major()
}

func canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(b)
}
