package ingest

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
)

const (
	// archiveEvery is how often the archived records of a connection are listed.
	// A deletion whose webhook was lost is found by nothing else: a search of
	// changes shows live records only.
	archiveEvery = 24 * time.Hour
	// archiveLook is how often the clock is looked at, and how soon a listing
	// that broke off is begun again.
	archiveLook = 10 * time.Minute
	archivePage = 100 // refs that are looked up at once; listing them is one request
)

// watchArchive lists what was archived once a day, until ctx ends. Of several
// processes a lease lets one do it.
func (s *source) watchArchive(ctx context.Context) error {
	archiver, ok := s.conn.Source.(connector.Archiver)
	if !ok {
		return nil
	}
	for ctx.Err() == nil {
		if err := s.archiveDue(ctx, archiver); err != nil && ctx.Err() == nil {
			s.in.deps.Log.WarnContext(ctx, "the archived records were not listed; they are listed again", "connection", s.config.ID, "after", archiveLook, "error", err)
		}
		if !idle.For(ctx, s.in.deps.DB.Rest(archiveLook)) {
			return nil
		}
	}
	return nil
}

// archiveDue lists each type whose day has passed. Before the first day there
// is nothing to look for: what is known by then was read while it was live.
func (s *source) archiveDue(ctx context.Context, archiver connector.Archiver) error {
	for _, typ := range s.types() {
		last, incarnation, err := s.position(ctx, archiveCursor(typ))
		if err != nil {
			return err
		}
		now := s.in.deps.Now().UTC()
		at, err := time.Parse(time.RFC3339, last)
		switch {
		case err != nil: // the first time
		case now.Sub(at) < archiveEvery:
			continue
		default:
			mine, err := s.in.deps.DB.Lease(ctx, "archive/"+s.config.ID, s.in.deps.Instance)
			if err != nil || !mine {
				return err
			}
			if err := s.listArchive(ctx, archiver, typ); err != nil {
				return fmt.Errorf("list archived records of type %s: %w", typ, err)
			}
		}
		err = s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
			return s.moveTo(tx, archiveCursor(typ), now.Format(time.RFC3339), incarnation)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// archiveCursor is the row that says when a type's archive was last listed.
func archiveCursor(typ string) string { return typ + "/archived" }

// listArchive makes hints of the archived records that are taken for live ones.
func (s *source) listArchive(ctx context.Context, archiver connector.Archiver, typ string) error {
	page := make([]connector.Gone, 0, archivePage)
	keep := func() error {
		gone, err := s.takenForLive(ctx, page)
		page = page[:0]
		if err != nil || len(gone) == 0 {
			return err
		}
		return s.in.storeHints(ctx, gone, event.Change, event.Bulk, nil)
	}
	for gone, err := range archiver.Archived(s.gated(ctx, inBulk), typ) {
		if err != nil {
			return err
		}
		if page = append(page, gone); len(page) == archivePage {
			if err := keep(); err != nil {
				return err
			}
		}
	}
	return keep()
}

// takenForLive are the records that are known and not known to be gone, and those
// that took such ones in: the survivor of a merge may be gone before it was ever read.
func (s *source) takenForLive(ctx context.Context, page []connector.Gone) ([]connector.Hint, error) {
	var out []connector.Hint
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, gone := range page {
			live, err := anyLive(tx, append([]event.Ref{gone.Ref}, gone.MergedFrom...))
			if err != nil {
				return err
			}
			if live {
				out = append(out, connector.Hint{Ref: gone.Ref})
			}
		}
		return nil
	})
	return out, err
}

// anyLive reports whether one of the records is known, and neither to be gone nor to
// be merged away.
func anyLive(tx *store.Tx, of []event.Ref) (bool, error) {
	for _, ref := range of {
		o, err := loadObject(tx, ref)
		if err != nil {
			return false, err
		}
		if o.Rev == 0 || o.Deleted {
			continue
		}
		into, err := survivor(tx, ref.String())
		if err != nil {
			return false, err
		}
		if into == ref.String() {
			return true, nil
		}
	}
	return false, nil
}
