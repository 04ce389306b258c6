package ingest

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

// startRoutes notes when each route was first run: what qualified before that
// stands in the books already, by whatever way it came there.
func (in *Ingest) startRoutes(ctx context.Context) error {
	return in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for _, r := range in.deps.Registry.Routes {
			if _, err := tx.Exec(`INSERT INTO route_start (route, started_at) VALUES ($1, $2) ON CONFLICT (route) DO NOTHING`, r.ID, tx.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// wish is what a person asked of a record, beyond that it is read.
type wish struct {
	matchOnly bool      // a backfill that creates nothing
	backfill  bool      // a backfill that creates what qualified since from
	from      time.Time //
	targets   []string  // repairs: its documents are to stand in these books
}

func wishOf(tx *store.Tx, h hint) (wish, error) {
	w := wish{targets: strings.Fields(h.Wanted)}
	if h.Run == "" {
		return w, nil
	}
	x, err := runByID(tx, h.Run)
	if errors.Is(err, sql.ErrNoRows) {
		return w, nil
	}
	if err == nil {
		w.matchOnly, w.backfill, w.from = x.matchOnly, !x.matchOnly, store.Time(x.from)
	}
	return w, err
}

// terms are what decides whether a record may only be matched and linked on a
// route, and not created.
type terms struct {
	route        registry.Route
	started, cut time.Time // when the route was first run; its cut-off
	wish         wish
	last         *last // nil: the record never went to the route
	still        bool  // it was something to be booked then, and still is
}

// last is how a record last went to a route.
type last struct {
	slotNo    int64
	matchOnly bool
}

// termsOf are the terms of each route of a record's type.
func (in *Ingest) termsOf(tx *store.Tx, s *source, h hint, o admission.Object, r *connector.Record) ([]terms, error) {
	w, err := wishOf(tx, h)
	if err != nil {
		return nil, err
	}
	var out []terms
	for _, route := range in.deps.Registry.RoutesOf(s.config.ID, r.Ref.Type) {
		t := terms{route: route, wish: w, still: o.Qualified && !r.QualifiedAt.IsZero()}
		if t.started, err = routeStart(tx, route); err != nil {
			return nil, err
		}
		if t.cut = t.started; !route.CutOff.IsZero() {
			t.cut = route.CutOff
		}
		if o.Rev > 0 {
			if t.last, err = lastOn(tx, route.ID, r.Ref); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
	return out, nil
}

func lastOn(tx *store.Tx, route string, ref event.Ref) (*last, error) {
	var l last
	var body []byte
	err := tx.QueryRow(`SELECT slot_no, body FROM event WHERE route = $1 AND ref = $2 AND rev > 0 ORDER BY rev DESC, slot_no DESC LIMIT 1`, route, ref.String()).Scan(&l.slotNo, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := event.Decode(body)
	if err != nil {
		return nil, err
	}
	l.matchOnly = e.MatchOnly
	return &l, nil
}

// matchOnly reports whether the record is matched and linked, and never created.
func (t *terms) matchOnly(r *connector.Record) bool {
	switch {
	case t.asked(r):
		return false
	case t.wish.matchOnly:
		return true
	}
	return t.plain(r)
}

// asked: a person asks for the record's documents by name, or by a backfill's start.
func (t *terms) asked(r *connector.Record) bool {
	return slices.Contains(t.wish.targets, t.route.Target) || t.wish.backfill && !before(r, t.wish.from)
}

// plain is what a reading that nobody asked for may do. A record that stays
// something to be booked keeps its terms: an old deal is not billed because its
// date is edited, and one that a person asked for is not dropped because it is
// mended. Else the cut-off decides, or the start that a backfill names for what
// qualified before the route ran.
func (t *terms) plain(r *connector.Record) bool {
	if t.still && t.last != nil {
		return t.last.matchOnly
	}
	if t.wish.backfill && r.QualifiedAt.Before(t.started) {
		return before(r, t.wish.from)
	}
	return before(r, t.cut)
}

// theirs: a backfill that creates nothing came across a record that the poll
// creates, or changes, by itself. Were it admitted on the backfill's terms, the
// poll would know it and leave it.
func (t *terms) theirs(r *connector.Record) bool {
	since := !r.QualifiedAt.IsZero() && (!r.QualifiedAt.Before(t.started) || !r.CreatedAt.Before(t.started))
	return t.wish.matchOnly && (t.last != nil && !t.last.matchOnly || since && !t.plain(r))
}

// lifted: a person asks for what went to the route to be matched only.
func (t *terms) lifted(r *connector.Record) bool {
	return t.last != nil && t.last.matchOnly && !r.Deleted && t.asked(r)
}

// routeStart is when a route was first run.
func routeStart(tx *store.Tx, route registry.Route) (time.Time, error) {
	var started int64
	err := tx.QueryRow(`SELECT started_at FROM route_start WHERE route = $1`, route.ID).Scan(&started)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, err
	}
	return store.Time(started), nil
}

// before: a record that was made and became bookable before the cut-off. One
// that was made before it and won after it is ours to book; so is a new one
// whose date lies in the past.
func before(r *connector.Record, cut time.Time) bool {
	made := !r.CreatedAt.IsZero() && r.CreatedAt.Before(cut)
	return made && !r.QualifiedAt.IsZero() && r.QualifiedAt.Before(cut)
}
