package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
)

const (
	// fetchBatch is how many records are read at once: what vendors take in one
	// request.
	fetchBatch = 100
	// fetchIdle is how long the fetcher sleeps when nothing wakes it.
	fetchIdle = 2 * time.Second
	// What reading one batch is expected to cost; what it really took is charged
	// after it: of aggregates, the objects, their
	// associations and each related type; of others, the objects and those that
	// are gone.
	requestsPerAggregates = 8
	requestsPerObjects    = 2
	firstBackoff          = time.Second
	lastBackoff           = time.Minute
	// gatherMost bounds how long due records wait for others to go with them.
	gatherMost = 2 * time.Second
)

// fetch reads the records that hints name, until ctx ends.
func (s *source) fetch(ctx context.Context) error {
	backoff := firstBackoff
	for ctx.Err() == nil {
		worked, err := s.fetchDue(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.in.deps.Log.WarnContext(ctx, "records were not read; they are read again", "connection", s.config.ID, "after", backoff, "error", err)
			idle.For(ctx, backoff)
			backoff = min(2*backoff, lastBackoff)
			continue
		case !worked:
			s.rest(ctx)
		}
		backoff = firstBackoff
	}
	return nil
}

func (s *source) rest(ctx context.Context) {
	t := time.NewTimer(s.in.deps.DB.Rest(fetchIdle))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.due:
	case <-t.C:
	}
}

// fetchDue reads a batch of every type that is due: first those that somebody
// waits for, and bulk only while nobody does.
func (s *source) fetchDue(ctx context.Context) (worked bool, err error) {
	var bulk []string
	for _, typ := range s.hinted() {
		class, due, err := s.dueOf(ctx, typ)
		switch {
		case err != nil:
			return worked, err
		case !due:
			continue
		case class == event.Bulk:
			bulk = append(bulk, typ)
			continue
		}
		some, err := s.fetchType(ctx, typ, event.Realtime)
		if worked = worked || some; err != nil {
			return worked, err
		}
	}
	for _, typ := range bulk {
		if urgent, err := s.urgent(ctx); err != nil || urgent {
			return true, err
		}
		some, err := s.fetchType(ctx, typ, event.Bulk)
		if worked = worked || some; err != nil {
			return worked, err
		}
	}
	return worked, nil
}

// fetchType reads one batch of a type, within our share. Where the share runs
// low it waits a little: a batch costs the same for one record as for many.
func (s *source) fetchType(ctx context.Context, typ string, class event.Class) (worked bool, err error) {
	cost := s.cost(typ)
	if wait := min(s.share.all.Pace(s.in.deps.Now(), cost), gatherMost); wait > 0 && !idle.For(ctx, wait) {
		return false, ctx.Err()
	}
	return s.metered(ctx, cost, class, func(ctx context.Context) (bool, error) {
		hints, err := s.claim(ctx, typ, fetchBatch)
		if err != nil || len(hints) == 0 {
			return false, err
		}
		crash.At(crash.IngestHintClaimed)
		return true, s.fetchBatch(ctx, typ, hints)
	})
}

// cost is what reading a batch of a type takes: a type that has children is
// read with all that belongs to it, and so is a child, by its owners.
func (s *source) cost(typ string) int {
	for child, owner := range s.conn.Children {
		if typ == child || typ == owner {
			return requestsPerAggregates
		}
	}
	return requestsPerObjects
}

// fetchBatch reads and admits. The read's number is taken before it starts, so
// what another process admits meanwhile is known to be newer.
func (s *source) fetchBatch(ctx context.Context, typ string, hints []hint) error {
	no, incarnation, err := s.in.nextRead(ctx)
	if err != nil {
		return err
	}
	crash.At(crash.IngestReadNumbered)
	ids := make([]string, 0, len(hints))
	for _, h := range hints {
		ids = append(ids, h.Ref.ID)
	}
	fctx, span := s.in.deps.Tracer.Start(ctx, "fetch "+typ)
	started := s.in.deps.Now()
	records, err := s.conn.Source.Fetch(fctx, typ, ids)
	s.vendor(fctx, "fetch", started, err)
	span.End()
	if err != nil {
		after := firstBackoff
		if f := fault.As(err); f.RetryAfter > 0 {
			after = f.RetryAfter
		}
		if perr := s.postpone(context.WithoutCancel(ctx), hints, after); perr != nil {
			return perr
		}
		return fmt.Errorf("fetch %d of type %s: %w", len(ids), typ, err)
	}
	crash.At(crash.IngestFetched)
	return s.in.admitPage(ctx, s, page{incarnation: incarnation, no: no, typ: typ, hints: hints, records: records})
}

// page is what one numbered read brought, and what it was asked for.
type page struct {
	incarnation, no int64
	typ             string
	hints           []hint
	records         []connector.Record
}

// nextRead numbers a read that is about to start.
func (in *Ingest) nextRead(ctx context.Context) (no, incarnation int64, err error) {
	if err := in.lookedBack(); err != nil {
		return 0, 0, err
	}
	err = in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`UPDATE book SET last_read_no = last_read_no + 1 WHERE id = 1 RETURNING last_read_no, incarnation`).Scan(&no, &incarnation)
	})
	return no, incarnation, err
}

// admitPage admits what a read brought, one transaction for the page.
func (in *Ingest) admitPage(ctx context.Context, s *source, p page) error {
	err := in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if err := in.sameBook(tx, p.incarnation); err != nil {
			return err
		}
		floor, err := floorOf(tx)
		if err != nil {
			return err
		}
		settled := map[event.Ref]bool{}
		for _, r := range p.records {
			h := p.hintFor(r)
			again, err := in.admitRecord(ctx, tx, s, h, admission.Read{No: p.no, Record: r, Cause: h.Cause, Floor: floor})
			if err != nil {
				return fmt.Errorf("admit %s: %w", r.Ref, err)
			}
			if again { // asked for once more, so that finishing its hint leaves it due
				if err := putHint(tx, s.config.ID, r.Ref, h.Cause, h.Class, h.Trace); err != nil {
					return err
				}
			}
			settled[h.Ref] = true
			for _, m := range r.MergedFrom {
				settled[m] = true
			}
		}
		err = p.settle(tx, settled, s.conn.Children[p.typ] != "")
		crash.At(crash.IngestBeforeAdmitCommit)
		return err
	})
	crash.At(crash.IngestAfterAdmit)
	in.relay.Wake()
	in.facts.Wake()
	return err
}

// hintFor is the hint that a record answers: its own, or one about a record
// that was merged into it; a child's owner takes what the page has in common.
func (p page) hintFor(r connector.Record) hint {
	for _, h := range p.hints {
		if h.Ref == r.Ref || slices.Contains(r.MergedFrom, h.Ref) {
			return h
		}
	}
	h := p.hints[0]
	h.Ref = r.Ref
	return h
}

// settle ends the hints that were answered. One without an answer is read
// again; a child's hint is answered by whichever owners it has, if any.
func (p page) settle(tx *store.Tx, settled map[event.Ref]bool, child bool) error {
	for _, h := range p.hints {
		if settled[h.Ref] || child {
			if err := finish(tx, h); err != nil {
				return err
			}
			continue
		}
		if _, err := tx.Exec(`UPDATE hint SET claimed_until = 0, due_at = $1 WHERE ref = $2`, tx.Now()+firstBackoff.Microseconds(), h.Ref.String()); err != nil {
			return err
		}
	}
	return nil
}

func (in *Ingest) sameBook(tx *store.Tx, incarnation int64) error {
	var now int64
	if err := tx.QueryRow(`SELECT incarnation FROM book WHERE id = 1`).Scan(&now); err != nil {
		return err
	}
	if now != incarnation {
		return fmt.Errorf("the database was set back while a source was read")
	}
	return nil
}
