package ingest

import (
	"context"
	"time"

	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
)

const (
	completeEvery = time.Minute
	// settleFor is how long an event may be on its way before it is asked for.
	settleFor = time.Minute
	// doubtAfter is how long an event may be open, in a book that was set back,
	// before the writer is asked whether the slot it holds there is this one.
	doubtAfter = 10 * time.Minute
)

// LaneHead is a lane of a target, and the highest slot without a gap below.
type LaneHead struct {
	Target, Lane string
	Seq          int64
}

// complete compares, every minute, what was published and has not ended, or is
// owed to a restored writer, with what the writer holds, and publishes again
// what is missing. It finds a hole, a lost tail and a lost last slot alike:
// nothing else repairs loss in Kafka.
func (in *Ingest) complete(ctx context.Context) error {
	for idle.For(ctx, in.deps.DB.Rest(completeEvery)) {
		if err := in.completeRound(ctx); err != nil && ctx.Err() == nil {
			in.deps.Log.WarnContext(ctx, "lanes were not compared with the writer", "error", err)
		}
	}
	return nil
}

func (in *Ingest) completeRound(ctx context.Context) error {
	if err := in.fill(ctx); err != nil {
		return err
	}
	lanes, err := in.openLanes(ctx)
	if err != nil || len(lanes) == 0 || in.deps.Heads == nil {
		return err
	}
	heads, err := in.deps.Heads(ctx, lanes)
	if err != nil {
		return err
	}
	n, err := in.republish(ctx, heads)
	if n > 0 {
		in.deps.Log.WarnContext(ctx, "events are published again: the writer lacks them", "events", n)
		in.relay.Wake()
	}
	return err
}

func (in *Ingest) openLanes(ctx context.Context) ([]LaneHead, error) {
	return in.lanes(ctx, `SELECT target, lane FROM event WHERE ended_at = 0 AND published_at < $1
		UNION SELECT target, lane FROM event WHERE owed = 1 AND published_at < $1 ORDER BY target, lane LIMIT 5000`, in.deps.DB.Now()-settleFor.Microseconds())
}

// lanes are those that a query names, by target and lane.
func (in *Ingest) lanes(ctx context.Context, query string, args ...any) (out []LaneHead, err error) {
	err = in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l LaneHead
			if err := rows.Scan(&l.Target, &l.Lane); err != nil {
				return err
			}
			out = append(out, l)
		}
		return rows.Err()
	})
	return out, err
}

// republish marks the events above each head as unpublished; the relay does
// the rest, and a repeat is harmless. In a book that was set back, those below
// may have given their number to an event of a lost life, which the writer
// heard of late: it says so when it hears of them again, which is done ever more
// seldom while they stay open.
func (in *Ingest) republish(ctx context.Context, heads []LaneHead) (int64, error) {
	var total int64
	err := in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		floor, err := floorOf(tx)
		if err != nil {
			return err
		}
		total = 0
		for _, h := range heads {
			if _, err := tx.Exec(`UPDATE event SET owed = 0 WHERE target = $1 AND lane = $2 AND seq <= $3 AND owed = 1`, h.Target, h.Lane, h.Seq); err != nil {
				return err
			}
			n, err := tx.Exec(`UPDATE event SET published_at = NULL WHERE target = $1 AND lane = $2 AND seq > $3 AND (ended_at = 0 OR owed = 1) AND published_at < $4`,
				h.Target, h.Lane, h.Seq, tx.Now()-settleFor.Microseconds())
			if err != nil {
				return err
			}
			total += n
			if floor == 0 {
				continue
			}
			n, err = tx.Exec(`UPDATE event SET published_at = NULL WHERE target = $1 AND lane = $2 AND seq <= $3 AND ended_at = 0 AND 2 * published_at < $4 + admitted_at`,
				h.Target, h.Lane, h.Seq, tx.Now()-doubtAfter.Microseconds())
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	return total, err
}
