package ingest

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// claimFor is how long a claimed hint is left alone before somebody else may
// read the record.
const claimFor = time.Minute

// hint is a record to be read. asked counts requests: if it moved while the
// record was read, the record is read once more.
type hint struct {
	Ref   event.Ref
	Cause event.Cause
	Class event.Class
	Asked int64
	Trace string
	Run   string // the backfill that asked for it
	// Wanted names the books in which a person asks for its documents.
	Wanted string
	// Deferred counts how often it was put off for its customer's own record.
	Deferred int64
}

// storeHints makes hints durable in one transaction, with what the caller adds
// to it. Accounts that no connection reads are counted and left out.
func (in *Ingest) storeHints(ctx context.Context, hints []connector.Hint, cause event.Cause, class event.Class, also func(*store.Tx) error) error {
	touched := map[*source]bool{}
	parent := traceParent(ctx)
	err := in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for _, h := range hints {
			s := in.sourceOf(h.Ref)
			if s == nil {
				in.deps.Log.DebugContext(ctx, "a hint names a record that no route reads", "ref", h.Ref.String())
				continue
			}
			touched[s] = true
			if err := putHint(tx, s.config.ID, h.Ref, cause, class, parent); err != nil {
				return err
			}
		}
		if also != nil {
			return also(tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store hints: %w", err)
	}
	for s := range touched {
		signal(s.due)
	}
	return nil
}

// putHint stores one hint; a realtime one lifts the class of one that waits.
func putHint(tx *store.Tx, connection string, ref event.Ref, cause event.Cause, class event.Class, parent string) error {
	_, err := tx.Exec(`INSERT INTO hint (ref, connection, type, cause, class, asked, due_at, trace, asked_no) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, (SELECT last_read_no FROM book WHERE id = 1))
		ON CONFLICT (ref) DO UPDATE SET asked = hint.asked + 1, due_at = CASE WHEN hint.due_at < $6 THEN hint.due_at ELSE $6 END,
		class = CASE WHEN $5 = 'realtime' THEN $5 ELSE hint.class END, cause = CASE WHEN $4 = 'change' THEN hint.cause ELSE $4 END, trace = $7`,
		ref.String(), connection, ref.Type, string(cause), string(class), tx.Now(), parent)
	return err
}

// sourceOf returns the source that reads a record, if a route leads from it.
func (in *Ingest) sourceOf(ref event.Ref) *source {
	for _, s := range in.sources {
		typ := ref.Type
		if owner, ok := s.conn.Children[typ]; ok {
			typ = owner
		}
		if s.config.Account == ref.AccountRef() && len(in.deps.Registry.RoutesOf(s.config.ID, typ)) > 0 {
			return s
		}
	}
	return nil
}

// dueOf says whether hints of a type are due, and the best class among them.
func (s *source) dueOf(ctx context.Context, typ string) (class event.Class, due bool, err error) {
	var all, realtime bool
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM hint WHERE connection = $1 AND type = $2 AND due_at <= $3 AND claimed_until < $3),
			EXISTS (SELECT 1 FROM hint WHERE connection = $1 AND type = $2 AND due_at <= $3 AND claimed_until < $3 AND class = 'realtime')`,
			s.config.ID, typ, tx.Now()).Scan(&all, &realtime)
	})
	if realtime {
		return event.Realtime, true, err
	}
	return event.Bulk, all, err
}

// urgent reports whether somebody waits for a record of any type.
func (s *source) urgent(ctx context.Context) (yes bool, err error) {
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM hint WHERE connection = $1 AND due_at <= $2 AND claimed_until < $2 AND class = 'realtime')`, s.config.ID, tx.Now()).Scan(&yes)
	})
	return yes, err
}

// claim takes due hints of one type: realtime first, oldest first.
func (s *source) claim(ctx context.Context, typ string, limit int) ([]hint, error) {
	var out []hint
	err := s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`UPDATE hint SET claimed_until = $1 WHERE ref IN (SELECT ref FROM hint WHERE connection = $2 AND type = $3 AND due_at <= $4 AND claimed_until < $4
			ORDER BY CASE WHEN class = 'realtime' THEN 0 ELSE 1 END, due_at LIMIT $5) RETURNING ref, cause, class, asked, trace, run, wanted, deferred`,
			tx.Now()+claimFor.Microseconds(), s.config.ID, typ, tx.Now(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h hint
			var ref, cause, class string
			if err := rows.Scan(&ref, &cause, &class, &h.Asked, &h.Trace, &h.Run, &h.Wanted, &h.Deferred); err != nil {
				return err
			}
			if h.Ref, err = event.ParseRef(ref); err != nil {
				return err
			}
			h.Cause, h.Class = event.Cause(cause), event.Class(class)
			out = append(out, h)
		}
		return rows.Err()
	})
	return out, err
}

// finish ends a hint, unless it was asked for again while it was read.
func finish(tx *store.Tx, h hint) error {
	n, err := tx.Exec(`DELETE FROM hint WHERE ref = $1 AND asked = $2`, h.Ref.String(), h.Asked)
	if err != nil || n == 1 {
		return err
	}
	_, err = tx.Exec(`UPDATE hint SET claimed_until = 0, due_at = $1 WHERE ref = $2`, tx.Now(), h.Ref.String())
	return err
}

// postpone gives claimed hints back, to be read after a while.
func (s *source) postpone(ctx context.Context, hints []hint, after time.Duration) error {
	return s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for _, h := range hints {
			if _, err := tx.Exec(`UPDATE hint SET claimed_until = 0, due_at = $1 WHERE ref = $2`, tx.Now()+after.Microseconds(), h.Ref.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

// DropClaims gives every claimed hint back. Like store.DB.DropLeases, it is for
// the one process that holds the lock of an embedded data folder.
func DropClaims(ctx context.Context, db *store.DB) error {
	err := db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hint SET claimed_until = 0 WHERE claimed_until > 0`)
		return err
	})
	if err != nil {
		return fmt.Errorf("give claimed hints back: %w", err)
	}
	return nil
}

// traceParent is ctx's span as a W3C traceparent, or "".
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// withParent continues a trace that was stored.
func withParent(ctx context.Context, parent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}
