package writer

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

// receive stores a fetched batch: slots by primary key, later renderings beside
// them, and the offset row, all in one transaction. It needs no epoch, since
// it changes no slot: duplicates, reordering and replays end here.
func (w *Writer) receive(ctx context.Context, b *stream.Batch) error {
	crash.At(crash.WriterBatchReceived)
	targets := map[string]bool{}
	var repeats int64
	err := w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		clear(targets)
		repeats = 0
		for i := range b.Records {
			target, repeat, err := w.store(ctx, tx, b, &b.Records[i])
			if err != nil {
				return err
			}
			if repeat {
				repeats++
			}
			targets[target] = true
		}
		moved, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		crash.At(crash.WriterBeforeReceiveCommit)
		if err == nil && !moved {
			return stream.ErrNotOwner
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("receive %s/%d at %d: %w", b.Topic, b.Partition, b.First, err)
	}
	crash.At(crash.WriterReceived)
	w.measureBatch(ctx, b, repeats)
	w.relay.Wake()
	for t := range targets {
		w.wakeOwner(t)
	}
	return nil
}

func (w *Writer) store(ctx context.Context, tx *store.Tx, b *stream.Batch, rec *stream.Record) (target string, repeat bool, err error) {
	_, span := b.Process(ctx, rec)
	defer span.End()
	r, err := document.Decode(rec.Value)
	if err != nil {
		return w.storeUnreadable(tx, rec, err)
	}
	span.SetAttributes(attribute.String("tenant.id", r.Tenant), attribute.String("sync.id", r.EventID), attribute.String("crm.record.id", r.Ref), attribute.String("crm.customer.id", r.Customer))
	repeat, err = w.storeSlot(tx, r, rec.Value, rec.Header(stream.HeaderTraceParent))
	return r.Target, repeat, err
}

// storeSlot inserts the slot, or keeps a newer rendering of it for a turn, or
// reports that another event stands there. A repeat changed nothing.
func (w *Writer) storeSlot(tx *store.Tx, r *document.Rendering, doc []byte, parent string) (repeat bool, err error) {
	if _, err := tx.Exec(`INSERT INTO lane (target, lane, next, state) VALUES ($1, $2, 1, 'ready') ON CONFLICT (target, lane) DO NOTHING`, r.Target, r.Lane); err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO slot (target, lane, seq, state, event_id, subject, customer, route, entity, rev, class, cause, approval,
		mapping_hash, render, doc, trace, changed_at, received_at)
		VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (target, lane, seq) DO NOTHING`,
		r.Target, r.Lane, r.Seq, r.EventID, r.Ref, r.Customer, r.Route, r.Entity, r.Rev, string(r.Class), string(r.Cause), r.Approval,
		r.MappingHash, r.Render, doc, parent, store.Micros(r.OccurredAt), tx.Now())
	if err != nil {
		return false, err
	}
	if n == 1 {
		crash.At(crash.WriterSlotStored)
		if r.Class == event.Realtime {
			if _, err := tx.Exec(`UPDATE lane SET realtime = realtime + 1 WHERE target = $1 AND lane = $2`, r.Target, r.Lane); err != nil {
				return false, err
			}
		}
		return false, w.appendFacts(tx, trail.Fact{
			Type: "slot.received", Tenant: r.Tenant, Entity: r.Entity, Target: r.Target, Lane: r.Lane, SlotSeq: r.Seq, Subject: r.Ref,
			Customer: r.Customer, Rev: r.Rev, Route: r.Route, MappingHash: r.MappingHash, SourceEventID: r.EventID, TraceID: traceID(parent),
		})
	}
	return w.again(tx, r, doc)
}

// again: the slot is there already. A repeat changes nothing.
func (w *Writer) again(tx *store.Tx, r *document.Rendering, doc []byte) (repeat bool, err error) {
	var eventID string
	var render int64
	if err := tx.QueryRow(`SELECT event_id, render FROM slot WHERE target = $1 AND lane = $2 AND seq = $3`, r.Target, r.Lane, r.Seq).Scan(&eventID, &render); err != nil {
		return false, err
	}
	switch protocol.Receive(eventID, render, r) {
	case protocol.Repeat:
		return true, nil
	case protocol.Collision:
		return false, w.collision(tx, r, eventID)
	}
	_, err = tx.Exec(`INSERT INTO slot_render (target, lane, seq, render, doc, mapping_hash) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (target, lane, seq, render) DO NOTHING`,
		r.Target, r.Lane, r.Seq, r.Render, doc, r.MappingHash)
	return false, err
}

// collision: another event under the same number means that a database went
// back. The stored one stays; ingest hears which one has no place, and admits
// it at the lane's tail if it is its own.
func (w *Writer) collision(tx *store.Tx, r *document.Rendering, stored string) error {
	return w.appendFacts(tx, trail.Fact{
		Type: "slot.collided", Tenant: r.Tenant, Entity: r.Entity, Target: r.Target, Lane: r.Lane, SlotSeq: r.Seq, Subject: r.Ref, Customer: r.Customer, Rev: r.Rev,
		Route: r.Route, SourceEventID: r.EventID, Outcome: "refused", Detail: "the slot holds event " + stored,
	})
}

// storeUnreadable keeps a record that does not decode: with its place in the
// headers as a rejected rendering, so that its lane has no gap, else as an
// exception of its own.
func (w *Writer) storeUnreadable(tx *store.Tx, rec *stream.Record, cause error) (target string, repeat bool, err error) {
	seq, err := strconv.ParseInt(rec.Header(stream.HeaderSeq), 10, 64)
	r := &document.Rendering{
		EventID: rec.Header(stream.HeaderEventID), Tenant: rec.Header(stream.HeaderTenant), Entity: rec.Header(stream.HeaderEntity),
		Target: rec.Header(stream.HeaderTarget), Lane: rec.Header(stream.HeaderLane), Seq: seq, Class: event.Class(rec.Header(stream.HeaderClass)),
		Ref: rec.Header("source-ref"), Render: 1, Verdict: document.Rejected, OccurredAt: rec.Time,
		Reason: document.Reason{Kind: string(exception.Validation), Detail: "the record on " + rec.Topic + " does not decode: " + cause.Error()},
	}
	if err == nil && r.Target != "" && r.Lane != "" && r.EventID != "" && seq > 0 {
		if !r.Class.Valid() {
			r.Class = event.Bulk
		}
		doc, err := document.Encode(r)
		if err != nil {
			return "", false, err
		}
		repeat, err := w.storeSlot(tx, r, doc, rec.Header(stream.HeaderTraceParent))
		return r.Target, repeat, err
	}
	help := exception.HelpFor(exception.Validation)
	at := rec.Topic + "/" + strconv.Itoa(rec.Partition) + "/" + strconv.FormatInt(rec.Offset, 10)
	return "", false, insertException(tx, &exception.Exception{
		ID: "w-" + event.Digest("unreadable", at)[:16], Kind: exception.Validation, State: exception.Open, Subject: at,
		Reason: "the record does not decode and names no place: " + cause.Error(), Owner: "operator", Fix: help.Fix, OpenedAt: time.UnixMicro(tx.Now()),
	})
}
