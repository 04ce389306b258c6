package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
)

const (
	// pollPage is how many changes are stored with their cursor at once.
	pollPage = 100
	// pollRealtime is how many changes of one poll are taken in real time; what
	// comes beyond it was changed by a machine, and is bulk.
	pollRealtime = 100
	defaultPoll  = time.Minute
)

// poll lists what changed, for ever. It is the truth that webhooks only hint at.
func (s *source) poll(ctx context.Context) error {
	every := s.config.PollEvery
	if every <= 0 {
		every = defaultPoll
	}
	for ctx.Err() == nil {
		s.pollOnce(ctx)
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
		case <-s.ask:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// pollOnce is complete only if every type was listed to its end.
func (s *source) pollOnce(ctx context.Context) {
	s.mu.Lock()
	s.started++
	no := s.started
	s.mu.Unlock()
	var errs []error
	for _, typ := range s.types() {
		if err := s.pollType(ctx, typ); err != nil {
			errs = append(errs, fmt.Errorf("list changes of type %s: %w", typ, err))
		}
	}
	err := errors.Join(errs...)
	if ctx.Err() == nil {
		s.in.deps.Meter.Count(ctx, meter.PollsCompleted, 1, s.config.ID, completeness(err))
	}
	s.mu.Lock()
	s.pollErr = ""
	if err == nil {
		s.completed = no
	} else {
		s.pollErr = err.Error()
	}
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.in.deps.Log.WarnContext(ctx, "the poll is not complete", "connection", s.config.ID, "error", err)
	}
}

func (s *source) pollType(ctx context.Context, typ string) error {
	started := s.in.deps.Now()
	err := s.listChanges(ctx, typ)
	s.vendor(ctx, "changes", started, err)
	return err
}

func (s *source) listChanges(ctx context.Context, typ string) error {
	since, err := s.position(ctx, typ)
	if err != nil {
		return err
	}
	var page []connector.Change
	cursor, listed := since, 0
	asked := s.listing(ctx, func() event.Class { return classOf(listed) })
	for change, err := range s.conn.Source.Changes(asked, typ, since) {
		if err != nil {
			return err
		}
		if change.Cursor != "" {
			cursor = change.Cursor
		}
		if change.Ref != (event.Ref{}) {
			page = append(page, change)
		}
		if len(page) == pollPage {
			if err := s.storePage(ctx, typ, page, cursor, classOf(listed)); err != nil {
				return err
			}
			listed, page = listed+len(page), page[:0]
		}
	}
	return s.storePage(ctx, typ, page, cursor, classOf(listed))
}

// classOf is the class of changes after so many of the same poll.
func classOf(listed int) event.Class {
	if listed >= pollRealtime {
		return event.Bulk
	}
	return event.Realtime
}

// storePage makes the changes hints and moves the cursor with them.
func (s *source) storePage(ctx context.Context, typ string, page []connector.Change, cursor string, class event.Class) error {
	unknown, err := s.unknown(ctx, page)
	if err != nil {
		return err
	}
	crash.At(crash.IngestPollListed)
	err = s.in.storeHints(ctx, unknown, event.Change, class, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO cursor (connection, type, position) VALUES ($1, $2, $3) ON CONFLICT (connection, type) DO UPDATE SET position = $3`, s.config.ID, typ, cursor)
		return err
	})
	crash.At(crash.IngestPollStored)
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

func (s *source) position(ctx context.Context, typ string) (string, error) {
	var at string
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(`SELECT position FROM cursor WHERE connection = $1 AND type = $2`, s.config.ID, typ).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return at, err
}
