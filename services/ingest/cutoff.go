package ingest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"tieout.dev/services/internal/connector"
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

// matchOnly reports whether a record may only be matched and linked: it
// qualified before the route's cut-off, or before the start that a backfill
// names, or the backfill creates nothing. A backfill has no say in what
// qualified since the route is run: that would be booked without it, and the
// backfill may only be the first to come across it.
func matchOnly(tx *store.Tx, route registry.Route, r *connector.Record, run string) (bool, error) {
	started, err := routeStart(tx, route)
	if err != nil {
		return false, err
	}
	cut := started
	if !route.CutOff.IsZero() {
		cut = route.CutOff
	}
	if run == "" || !r.QualifiedAt.Before(started) {
		return before(r, cut), nil
	}
	var from, only int64
	err = tx.QueryRow(`SELECT from_at, match_only FROM run WHERE id = $1`, run).Scan(&from, &only)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return before(r, cut), nil
	case err != nil:
		return false, err
	}
	return only == 1 || before(r, store.Time(from)), nil
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
