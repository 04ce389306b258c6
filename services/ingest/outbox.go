package ingest

import (
	"context"
	"fmt"
	"strconv"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// outbox lets the event table be its own outbox: a revision is stored once,
// and published from where it stands.
type outbox struct{ db *store.DB }

// Name is the lease of the relay.
func (o *outbox) Name() string { return "relay/event" }

// Unpublished returns events in the order of their lanes.
func (o *outbox) Unpublished(ctx context.Context, limit int) ([]trail.Row, error) {
	var out []trail.Row
	err := o.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT target, lane, seq, body, trace, admitted_at FROM event WHERE published_at IS NULL ORDER BY admitted_at, target, lane, seq LIMIT $1`, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r trail.Row
			var body []byte
			var parent string
			var at int64
			if err := rows.Scan(&r.Stream, &r.Lane, &r.Seq, &body, &parent, &at); err != nil {
				return err
			}
			if r.Record, err = record(body, parent); err != nil {
				return err
			}
			r.Record.Time = store.Time(at)
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}

// record is the event as it travels: keyed by lane, with the keys that people
// search by in its headers.
func record(body []byte, parent string) (stream.Record, error) {
	e, err := event.Decode(body)
	if err != nil {
		return stream.Record{}, fmt.Errorf("stored event: %w", err)
	}
	return stream.Record{
		Topic: e.Class.Topic(), Key: e.Lane, Value: body,
		Headers: []stream.Header{
			{Key: stream.HeaderEventID, Value: e.ID}, {Key: stream.HeaderTenant, Value: e.Tenant}, {Key: stream.HeaderEntity, Value: e.Entity},
			{Key: stream.HeaderTarget, Value: e.Target}, {Key: stream.HeaderLane, Value: e.Lane}, {Key: stream.HeaderSeq, Value: strconv.FormatInt(e.Seq, 10)},
			{Key: stream.HeaderClass, Value: string(e.Class)}, {Key: stream.HeaderType, Value: string(e.Type)}, {Key: stream.HeaderSchema, Value: "event.v1.Event"},
			{Key: stream.HeaderTraceParent, Value: parent}, {Key: "customer", Value: e.Customer}, {Key: "source-ref", Value: e.Ref.String()},
		},
	}, nil
}

// MarkPublished flags the events; a flag, not a cursor, so that a late commit
// is never skipped.
func (o *outbox) MarkPublished(ctx context.Context, rows []trail.Row) error {
	crash.At(crash.IngestBeforeMark)
	return o.db.Write(ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			if _, err := tx.Exec(`UPDATE event SET published_at = $1 WHERE target = $2 AND lane = $3 AND seq = $4`, tx.Now(), r.Stream, r.Lane, r.Seq); err != nil {
				return err
			}
		}
		return nil
	})
}
