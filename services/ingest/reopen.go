package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// MarkRestored takes an operator's word that the database was set back.
func (s *Server) MarkRestored(ctx context.Context, r *controlv1.MarkRestoredRequest) (*controlv1.MarkRestoredResponse, error) {
	incarnation, err := s.in.MarkRestored(ctx, "an operator says so: "+r.GetActor())
	return &controlv1.MarkRestoredResponse{Incarnation: incarnation}, err
}

// Reopen publishes events again that a restored writer may have forgotten. How
// they ended stays here and is told: nothing that ended is planned again. An end
// that comes too late to be told is not the last word: they are owed until the
// writer holds them, and what it says of them counts.
func (s *Server) Reopen(ctx context.Context, r *controlv1.ReopenRequest) (*controlv1.ReopenResponse, error) {
	out := &controlv1.ReopenResponse{}
	next := map[string]int64{}
	for _, l := range r.GetLanes() {
		next[l.GetLane()] = l.GetSeq()
	}
	err := s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.in.caughtUp(tx); err != nil {
			return err // ingest was set back too, and does not know yet what there is
		}
		out.Events = nil
		rows, err := tx.Query(`SELECT event_id, lane, seq, ref, rev, outcome, body FROM event WHERE target = $1 AND lane > $2 AND ($3 = '' OR lane <= $3) ORDER BY lane, seq`,
			r.GetTarget(), r.GetAfterLane(), r.GetUntilLane())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := &controlv1.ReopenedEvent{}
			var body []byte
			if err := rows.Scan(&e.EventId, &e.Lane, &e.Seq, &e.Ref, &e.Rev, &e.Outcome, &body); err != nil {
				return err
			}
			if e.Seq < next[e.Lane] {
				continue
			}
			x, err := event.Decode(body)
			if err != nil {
				return fmt.Errorf("event %s: %w", e.EventId, err)
			}
			e.Merge = x.Type == event.Merge
			out.Events = append(out.Events, e)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, e := range out.Events {
			if _, err := tx.Exec(`UPDATE event SET published_at = NULL, owed = 1 WHERE event_id = $1`, e.GetEventId()); err != nil {
				return err
			}
		}
		return nil
	})
	s.in.relay.Wake()
	return out, err
}

// collided: the writer holds another event at the place. It gets a new one at
// the lane's tail, after the same slots; what only held a number has done so.
func (in *Ingest) collided(ctx context.Context, tx *store.Tx, f *trail.Fact) error {
	s, err := heard(tx, f)
	if err != nil || s == nil {
		return err
	}
	if s.event.Type == event.Empty {
		return endEvent(tx, s.event.ID, "superseded", f.Incarnation)
	}
	return in.moved(ctx, tx, s, f.Incarnation)
}

// displaced: a fact says which event a slot holds. Numbers go on above it; an
// event of ours at the same place is admitted again, since what would collide
// may have been lost on its way.
func (in *Ingest) displaced(ctx context.Context, tx *store.Tx, f *trail.Fact) error {
	if err := raiseLane(tx, LaneHead{Target: f.Target, Lane: f.Lane, Seq: f.SlotSeq}); err != nil {
		return err
	}
	var ours string
	err := tx.QueryRow(`SELECT event_id FROM event WHERE target = $1 AND lane = $2 AND seq = $3 AND ended_at = 0 AND event_id <> $4`, f.Target, f.Lane, f.SlotSeq, f.SourceEventID).Scan(&ours)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return in.collided(ctx, tx, &trail.Fact{SourceEventID: ours, Incarnation: f.Incarnation})
}

// fill publishes empty slots for numbers that were given in a life that is lost
// and that nobody holds any more.
func (in *Ingest) fill(ctx context.Context) error {
	lanes, err := in.brokenLanes(ctx)
	if err != nil || len(lanes) == 0 || in.deps.Heads == nil {
		return err
	}
	heads, err := in.deps.Heads(ctx, lanes)
	if err != nil {
		return err
	}
	err = in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for _, h := range heads {
			if err := in.fillLane(ctx, tx, h); err != nil {
				return err
			}
		}
		return nil
	})
	in.relay.Wake()
	return err
}

// brokenLanes are those of which numbers are missing here, after a restore.
func (in *Ingest) brokenLanes(ctx context.Context) ([]LaneHead, error) {
	return in.lanes(ctx, `SELECT l.target, l.lane FROM lane l WHERE (SELECT floor FROM book WHERE id = 1) > 0 AND (SELECT lifting FROM book WHERE id = 1) = 0
		AND l.last_seq > (SELECT COUNT(*) FROM event e WHERE e.target = l.target AND e.lane = l.lane) ORDER BY l.target, l.lane`)
}

// fillLane fills the first gap behind a head, if nobody holds its number.
func (in *Ingest) fillLane(ctx context.Context, tx *store.Tx, h LaneHead) error {
	var last int64
	if err := tx.QueryRow(`SELECT last_seq FROM lane WHERE target = $1 AND lane = $2`, h.Target, h.Lane).Scan(&last); err != nil || h.Seq >= last {
		return err
	}
	for seq := h.Seq + 1; seq <= last; seq++ {
		var held bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM event WHERE target = $1 AND lane = $2 AND seq = $3)`, h.Target, h.Lane, seq).Scan(&held); err != nil {
			return err
		}
		if held {
			continue
		}
		if err := in.placeEmpty(ctx, tx, LaneHead{Target: h.Target, Lane: h.Lane, Seq: seq}); err != nil {
			return err
		}
	}
	return nil
}

func (in *Ingest) placeEmpty(_ context.Context, tx *store.Tx, at LaneHead) error {
	ref, err := event.ParseRef(at.Lane)
	if err != nil {
		return err
	}
	for _, route := range in.deps.Registry.Routes {
		entity, ok := in.deps.Registry.Entity(route.Entity)
		if route.Target != at.Target || !ok {
			continue
		}
		now := time.UnixMicro(tx.Now()).UTC()
		e := &event.Event{
			Connection: route.Connection, Ref: ref, SlotNo: at.Seq, Render: 1, Class: event.Bulk, Cause: event.Repair, Type: event.Empty, Lane: at.Lane, Customer: at.Lane, Seq: at.Seq,
			OccurredAt: now, Tenant: entity.Tenant, Entity: entity.ID, Route: route.ID, Mapping: route.Mapping, Target: at.Target, ID: event.Digest("empty/v1", at.Target, at.Lane, fmt.Sprint(at.Seq)),
		}
		body, err := event.Encode(e)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO event (target, lane, seq, event_id, ref, rev, route, slot_no, class, body, trace, admitted_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, '', $10)
			ON CONFLICT DO NOTHING`, e.Target, e.Lane, e.Seq, e.ID, e.Ref.String(), e.Route, e.SlotNo, string(e.Class), body, tx.Now()); err != nil {
			return err
		}
		return trail.Append(tx, trail.Fact{
			Stream: strings.Join([]string{Name, e.Target, e.Entity}, "/"), Type: "event.admitted", Time: now, Actor: Name, Tenant: e.Tenant, Entity: e.Entity, Target: e.Target,
			Lane: e.Lane, SlotSeq: e.Seq, Subject: e.Ref.String(), Customer: e.Customer, Route: e.Route, SourceEventID: e.ID, Outcome: string(e.Type), OccurredAt: now,
			Detail: "the number was given before the database was set back, and nobody holds it",
		})
	}
	return nil
}
