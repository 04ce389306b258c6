package trail

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/store"
)

// askFor bounds one question: a consumer that hangs is asked again.
const askFor = 10 * time.Second

// WentBack reports whether a consumer of the trail has facts of this database's
// streams that the database does not know: it was set back to an older copy.
func WentBack(ctx context.Context, db *store.DB, ask AskHeads) (bool, error) {
	known, err := Known(ctx, db)
	if err != nil || len(known) == 0 {
		return false, err
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	taken, err := ask(asking, known)
	if err != nil {
		return false, err
	}
	last := map[Head]int64{}
	for _, h := range known {
		last[Head{Stream: h.Stream, Incarnation: h.Incarnation}] = h.Seq
	}
	for _, h := range taken {
		if h.Seq > last[Head{Stream: h.Stream, Incarnation: h.Incarnation}] {
			return true, nil
		}
	}
	return false, nil
}

// Known lists this database's streams with the last number of each.
func Known(ctx context.Context, db *store.DB) (out []Head, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT stream, incarnation, last_seq FROM fact_stream WHERE stream <> '' ORDER BY stream`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h Head
			if err := rows.Scan(&h.Stream, &h.Incarnation, &h.Seq); err != nil {
				return err
			}
			out = append(out, h)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return out, nil
}

// MarkRestored begins every stream anew, for a service whose own tables need
// nothing else after its database was set back.
func MarkRestored(ctx context.Context, db *store.DB) (incarnation int64, err error) {
	err = db.Write(ctx, func(tx *store.Tx) error {
		incarnation, err = Reincarnate(tx)
		return err
	})
	return incarnation, err
}
