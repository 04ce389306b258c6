package trail

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tieout.dev/services/internal/store"
)

// backlogCap is how far Backlog counts.
const backlogCap = 100_001

// outbox is the Source that every service has.
type outbox struct{ db *store.DB }

// Outbox returns the rows that Append writes, as a relay's source.
func Outbox(db *store.DB) Source { return outbox{db} }

// Name is the name of the relay's lease.
func (outbox) Name() string { return "relay/outbox" }

// Unpublished reads the first rows that are not sent.
func (o outbox) Unpublished(ctx context.Context, limit int) (rows []Row, err error) {
	err = o.db.Read(ctx, func(tx *store.Tx) error {
		found, err := tx.Query(`SELECT stream, seq, topic, key, headers, body, created_at FROM outbox
			WHERE published_at IS NULL ORDER BY stream, seq LIMIT $1`, limit)
		if err != nil {
			return err
		}
		defer func() { _ = found.Close() }()
		for found.Next() {
			var r Row
			var headers string
			var created int64
			if err := found.Scan(&r.Stream, &r.Seq, &r.Record.Topic, &r.Record.Key, &headers, &r.Record.Value, &created); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(headers), &r.Record.Headers); err != nil {
				return fmt.Errorf("headers of %s/%d: %w", r.Stream, r.Seq, err)
			}
			r.Record.Time = store.Time(created)
			rows = append(rows, r)
		}
		return found.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return rows, nil
}

// MarkPublished flags rows as sent, a run of numbers at a time.
func (o outbox) MarkPublished(ctx context.Context, rows []Row) error {
	err := o.db.Write(ctx, func(tx *store.Tx) error {
		for len(rows) > 0 {
			n := 1
			for n < len(rows) && rows[n].Stream == rows[0].Stream && rows[n].Seq == rows[0].Seq+int64(n) {
				n++
			}
			if _, err := tx.Exec(`UPDATE outbox SET published_at = $1 WHERE stream = $2 AND seq >= $3 AND seq <= $4 AND published_at IS NULL`,
				tx.Now(), rows[0].Stream, rows[0].Seq, rows[n-1].Seq); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark outbox: %w", err)
	}
	return nil
}

// Backlog returns how many rows of the outbox are not sent yet, counting to
// 100,001, and since when the oldest waits. Dispatch stops over 100,000 rows or
// a minute.
func Backlog(tx *store.Tx) (rows int64, oldest time.Time, err error) {
	var created int64
	err = tx.QueryRow(`SELECT count(*), COALESCE(min(created_at), 0) FROM (SELECT created_at FROM outbox WHERE published_at IS NULL LIMIT $1) AS waiting`, backlogCap).
		Scan(&rows, &created)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("backlog of the outbox: %w", err)
	}
	return rows, store.Time(created), nil
}
