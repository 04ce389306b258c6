package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
)

const (
	// openBulk is how many bulk events of a target may be open before its
	// backfills read on: the backlog stays at the vendor, cheap to cancel and
	// never stale.
	openBulk = 20000
	// runHints is how many listed records may wait to be read.
	runHints = 1000
	runPage  = 100
	runIdle  = time.Second
)

// run is a backfill of one type of a connection.
type run struct {
	id, connection, typ, state, position, why, actor string
	from, started, ended                             int64
	matchOnly, listed                                bool
	total, read, admitted, duplicates, failed        int64
}

const runColumns = `id, connection, type, state, from_at, match_only, total, listed, position, read_count, admitted, duplicates, failed, why, actor, started_at, ended_at`

func runsWhere(tx *store.Tx, where string, args ...any) ([]*run, error) {
	rows, err := tx.Query(`SELECT `+runColumns+` FROM run `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*run
	for rows.Next() {
		r := &run{}
		var only, listed int64
		if err := rows.Scan(&r.id, &r.connection, &r.typ, &r.state, &r.from, &only, &r.total, &listed, &r.position, &r.read, &r.admitted, &r.duplicates,
			&r.failed, &r.why, &r.actor, &r.started, &r.ended); err != nil {
			return nil, err
		}
		r.matchOnly, r.listed = only == 1, listed == 1
		out = append(out, r)
	}
	return out, rows.Err()
}

// backfill works off the runs of a connection, oldest first, until ctx ends.
// Several processes may try: a lease lets one of them list.
func (s *source) backfill(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.backfillOnce(ctx); err != nil && ctx.Err() == nil {
			s.in.deps.Log.WarnContext(ctx, "the backfill goes on later", "connection", s.config.ID, "error", err)
		}
		if !idle.For(ctx, s.in.deps.DB.Rest(runIdle)) {
			return nil
		}
	}
	return nil
}

func (s *source) backfillOnce(ctx context.Context) error {
	r, err := s.nextRun(ctx)
	if err != nil || r == nil {
		return err
	}
	if r.listed {
		return s.endRun(ctx, r)
	}
	return s.listRun(ctx, r)
}

// nextRun is the oldest run that is to go on, if this process holds the lease.
func (s *source) nextRun(ctx context.Context) (*run, error) {
	var runs []*run
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		runs, err = runsWhere(tx, `WHERE connection = $1 AND state = 'running' ORDER BY started_at, id LIMIT 1`, s.config.ID)
		return err
	})
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	mine, err := s.in.deps.DB.Lease(ctx, "backfill/"+s.config.ID, s.in.deps.Instance)
	if err != nil || !mine {
		return nil, err
	}
	return runs[0], nil
}

// errHeld ends a listing that must wait; it goes on where it was.
var errHeld = errors.New("held")

// listRun lists on from where the run was, and makes hints of what it lists.
// A ref that the last listing ended with and that is gone by now means that
// all of it is listed again: records that are known are cheap to know again.
func (s *source) listRun(ctx context.Context, r *run) error {
	done, err := s.listFrom(ctx, r, r.position)
	if errors.Is(err, errGone) {
		done, err = s.listFrom(ctx, r, "")
	}
	if errors.Is(err, errHeld) {
		return nil
	}
	if err != nil || !done {
		return err
	}
	crash.At(crash.IngestBackfillListed)
	return s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE run SET listed = 1, why = '' WHERE id = $1`, r.id)
		return err
	})
}

var errGone = errors.New("the record that the listing had come to is gone")

func (s *source) listFrom(ctx context.Context, r *run, after string) (bool, error) {
	var page []event.Ref
	passed := after == ""
	for ref, err := range s.conn.Source.List(s.gated(ctx, inBulk), r.typ) {
		switch {
		case err != nil:
			return false, err
		case !passed:
			passed = ref.String() == after
			continue
		}
		if page = append(page, ref); len(page) == runPage {
			if err := s.storeRunPage(ctx, r, page); err != nil {
				return false, err
			}
			page = page[:0]
		}
	}
	if !passed {
		return false, errGone
	}
	if len(page) > 0 {
		if err := s.storeRunPage(ctx, r, page); err != nil {
			return false, err
		}
	}
	return true, nil
}

// storeRunPage makes a page of refs bulk hints and moves the run with them. It
// waits while enough of the run is under way.
func (s *source) storeRunPage(ctx context.Context, r *run, page []event.Ref) error {
	err := s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		why, err := s.held(tx, r)
		if err != nil {
			return err
		}
		if why != "" {
			_, err := tx.Exec(`UPDATE run SET why = $1 WHERE id = $2`, why, r.id)
			return err
		}
		for _, ref := range page {
			if err := putRunHint(tx, s.config.ID, ref, r.id); err != nil {
				return err
			}
		}
		r.position, r.read, r.why = page[len(page)-1].String(), r.read+int64(len(page)), ""
		n, err := tx.Exec(`UPDATE run SET position = $1, read_count = $2, why = '' WHERE id = $3 AND state = 'running'`, r.position, r.read, r.id)
		if err == nil && n == 0 {
			err = errHeld // paused or cancelled meanwhile
		}
		return err
	})
	if err != nil {
		return err
	}
	crash.At(crash.IngestBackfillPage)
	signal(s.due)
	if why, err := s.heldNow(ctx, r); err != nil || why != "" {
		return errors.Join(err, errHeld)
	}
	return nil
}

func (s *source) heldNow(ctx context.Context, r *run) (why string, err error) {
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error { why, err = s.held(tx, r); return err })
	return why, err
}

// held says why a run reads no further for now.
func (s *source) held(tx *store.Tx, r *run) (string, error) {
	var waiting int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM hint WHERE run = $1 LIMIT $2) h`, r.id, runHints).Scan(&waiting); err != nil {
		return "", err
	}
	if waiting >= runHints {
		return "records that were listed wait to be read", nil
	}
	for _, route := range s.in.deps.Registry.RoutesOf(r.connection, r.typ) {
		var open int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM event WHERE target = $1 AND class = 'bulk' AND ended_at = 0 LIMIT $2) e`, route.Target, openBulk).Scan(&open); err != nil {
			return "", err
		}
		if open >= openBulk {
			return fmt.Sprintf("%d events are on their way to %s", open, route.Target), nil
		}
	}
	return "", nil
}

// putRunHint asks for a record in bulk, without taking anything from a hint
// that is there already.
func putRunHint(tx *store.Tx, connection string, ref event.Ref, run string) error {
	_, err := tx.Exec(`INSERT INTO hint (ref, connection, type, cause, class, asked, due_at, run, asked_no) VALUES ($1, $2, $3, $4, 'bulk', 1, $5, $6, (SELECT last_read_no FROM book WHERE id = 1))
		ON CONFLICT (ref) DO UPDATE SET asked = hint.asked + 1, run = $6`, ref.String(), connection, ref.Type, string(event.Change), tx.Now(), run)
	return err
}

// endRun ends a run whose records were all read.
func (s *source) endRun(ctx context.Context, r *run) error {
	return s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		var waiting bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM hint WHERE run = $1)`, r.id).Scan(&waiting); err != nil || waiting {
			return err
		}
		_, err := tx.Exec(`UPDATE run SET state = 'done', why = '', ended_at = $1 WHERE id = $2 AND state = 'running'`, tx.Now(), r.id)
		return err
	})
}

// countRun notes what became of a record that a run asked for.
func countRun(tx *store.Tx, id, what string) error {
	if id == "" {
		return nil
	}
	column := map[string]string{"admitted": "admitted", "duplicate": "duplicates", "failed": "failed"}[what]
	_, err := tx.Exec(`UPDATE run SET `+column+` = `+column+` + 1 WHERE id = $1`, id)
	return err
}

// runByID reads one run.
func runByID(tx *store.Tx, id string) (*run, error) {
	runs, err := runsWhere(tx, `WHERE id = $1`, id)
	if err == nil && len(runs) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return nil, err
	}
	return runs[0], nil
}
