package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
)

const (
	// pollPage is how many changes are stored with their cursor at once.
	pollPage = 100
	// pollRealtime is how many changes of one poll are taken in real time: more
	// were changed by a machine, and are bulk.
	pollRealtime = 100
	defaultPoll  = time.Minute
	// pollRests is how many times as long as it took a poll is followed by none:
	// the same minutes listed again and again would leave little to read with.
	pollRests = 3
)

// poll lists what changed, for ever: where this replica is the one that polls,
// and whenever it is asked. It is the truth that webhooks only hint at.
func (s *source) poll(ctx context.Context) error {
	every := s.config.PollEvery
	if every <= 0 {
		every = defaultPoll
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ask:
		case <-t.C:
			if !s.in.polls.Load() {
				continue
			}
		}
		began := s.in.deps.Now()
		s.pollOnce(ctx)
		t.Reset(max(every, pollRests*s.in.deps.Now().Sub(began)))
	}
}

// pollOnce is complete only if every type was listed to its end.
func (s *source) pollOnce(ctx context.Context) {
	no, err := s.beginPoll(ctx)
	if err == nil {
		var errs []error
		for _, typ := range s.types() {
			if err := s.pollType(ctx, typ); err != nil {
				errs = append(errs, fmt.Errorf("list changes of type %s: %w", typ, err))
			}
		}
		err = errors.Join(append(errs, s.endPoll(ctx, no, errors.Join(errs...)))...)
	}
	if ctx.Err() != nil {
		return
	}
	s.in.deps.Meter.Count(ctx, meter.PollsCompleted, 1, s.config.ID, completeness(err))
	if err != nil {
		s.in.deps.Log.WarnContext(ctx, "the poll is not complete", "connection", s.config.ID, "error", err)
	}
}

// beginPoll numbers a poll: whoever waits for one that starts later waits for a
// higher number, whichever replica does it.
func (s *source) beginPoll(ctx context.Context) (no int64, err error) {
	err = s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`INSERT INTO poll (connection, started) VALUES ($1, 1) ON CONFLICT (connection) DO UPDATE SET started = poll.started + 1 RETURNING started`, s.config.ID).Scan(&no)
	})
	return no, err
}

// endPoll notes that a poll is complete, or why it is not.
func (s *source) endPoll(ctx context.Context, no int64, failed error) error {
	completed, why := no, ""
	if failed != nil {
		completed, why = 0, failed.Error()
	}
	return s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE poll SET error = $1, completed = CASE WHEN completed < $2 THEN $2 ELSE completed END WHERE connection = $3`, why, completed, s.config.ID); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE catch_up SET listed = (SELECT last_read_no FROM book WHERE id = 1) WHERE connection = $1 AND listed < 0 AND poll < $2`, s.config.ID, completed)
		return err
	})
}

// polled tells how far the polls are.
func (s *source) polled(tx *store.Tx) (*controlv1.PollState, error) {
	p := &controlv1.PollState{Connection: s.config.ID, Account: s.config.Account}
	err := tx.QueryRow(`SELECT started, completed, error FROM poll WHERE connection = $1`, s.config.ID).Scan(&p.Started, &p.Completed, &p.Error)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, err
}

func (s *source) pollType(ctx context.Context, typ string) error {
	started := s.in.deps.Now()
	err := s.listChanges(ctx, typ)
	s.vendor(ctx, "changes", started, err)
	return err
}

func (s *source) listChanges(ctx context.Context, typ string) error {
	since, incarnation, err := s.position(ctx, typ)
	if err != nil {
		return err
	}
	l := &listing{source: s, typ: typ, cursor: since, incarnation: incarnation, class: event.Realtime}
	gated := s.gated(ctx, func() event.Class { return l.class })
	for change, err := range s.conn.Source.Changes(gated, typ, since) {
		if err != nil { // what was listed so far need not be listed again
			return errors.Join(err, l.end(ctx))
		}
		if err := l.take(ctx, change); err != nil {
			return err
		}
	}
	return l.end(ctx)
}

// listing is one run through the changes of a type. It is realtime until it
// brings more than people change in a poll's time; all of it is bulk then, the
// first as well: whoever wins a deal meanwhile would queue behind them.
type listing struct {
	source *source
	typ    string
	class  event.Class
	cursor string
	page   []connector.Change // listed, and not yet looked up
	fresh  []connector.Hint   // to be read, and not yet stored; the stored cursor stays before them

	incarnation int64 // of the book that the cursor was taken from
}

func (l *listing) take(ctx context.Context, c connector.Change) error {
	if c.Cursor != "" {
		l.cursor = c.Cursor
	}
	if c.Ref != (event.Ref{}) {
		l.page = append(l.page, c)
	}
	if len(l.page) < pollPage {
		return nil
	}
	if err := l.look(ctx); err != nil {
		return err
	}
	if len(l.fresh) > 0 && l.class == event.Realtime {
		return nil // whether more come is not known yet
	}
	return l.store(ctx)
}

func (l *listing) end(ctx context.Context) error {
	if err := l.look(ctx); err != nil {
		return err
	}
	return l.store(ctx)
}

// look finds what of a page has to be read.
func (l *listing) look(ctx context.Context) error {
	unknown, err := l.source.unknown(ctx, l.page)
	if err != nil {
		return err
	}
	l.fresh, l.page = append(l.fresh, unknown...), l.page[:0]
	if len(l.fresh) > pollRealtime {
		l.class = event.Bulk
	}
	return nil
}

// store makes the changes hints and moves the cursor with them.
func (l *listing) store(ctx context.Context) error {
	s := l.source
	crash.At(crash.IngestPollListed)
	err := s.in.storeHints(ctx, l.fresh, event.Change, l.class, func(tx *store.Tx) error { return s.moveTo(tx, l.typ, l.cursor, l.incarnation) })
	crash.At(crash.IngestPollStored)
	l.fresh = nil
	return err
}

// unknown leaves out what is known at the version that the listing shows.
func (s *source) unknown(ctx context.Context, page []connector.Change) ([]connector.Hint, error) {
	out := make([]connector.Hint, 0, len(page))
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, c := range page {
			o, err := loadObject(tx, c.Ref)
			if err != nil {
				return err
			}
			if o.Rev == 0 || c.Version == "" || o.Version != c.Version {
				out = append(out, connector.Hint{Ref: c.Ref})
			}
		}
		return nil
	})
	s.in.dedup(ctx, "poll", len(page), len(out))
	return out, err
}

// position is how far a type's changes were listed, and in which life of the book.
func (s *source) position(ctx context.Context, typ string) (at string, incarnation int64, err error) {
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		if err := tx.QueryRow(`SELECT incarnation FROM book WHERE id = 1`).Scan(&incarnation); err != nil {
			return err
		}
		err := tx.QueryRow(`SELECT position FROM cursor WHERE connection = $1 AND type = $2`, s.config.ID, typ).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return at, incarnation, err
}

// moveTo notes how far a type was listed. A book that was set back since the listing
// began must not go on behind what it lost.
func (s *source) moveTo(tx *store.Tx, typ, at string, incarnation int64) error {
	if err := s.in.sameBook(tx, incarnation); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO cursor (connection, type, position) VALUES ($1, $2, $3) ON CONFLICT (connection, type) DO UPDATE SET position = $3`, s.config.ID, typ, at)
	return err
}
