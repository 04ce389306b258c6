package reconciler

import (
	"context"
	"time"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// ended measures one reconciliation.
func (r *Reconciler) ended(ctx context.Context, started time.Time, report *match.Report, err error) {
	outcome := "agrees"
	switch {
	case err != nil:
		outcome = "failed"
	case report != nil && report.Unexplained():
		outcome = "differs"
	}
	r.deps.Meter.Took(ctx, meter.ReconcileDuration, r.deps.Now().Sub(started), outcome)
}

// measure has the breaks and the last run read at each scrape.
func (r *Reconciler) measure() {
	r.deps.Meter.Watch(func(ctx context.Context, put func(meter.Name) meter.Put) error {
		return r.deps.DB.Read(ctx, func(tx *store.Tx) error {
			var last int64
			if err := tx.QueryRow(`SELECT COALESCE(MAX(ended_at), 0) FROM run WHERE state = 'done'`).Scan(&last); err != nil {
				return err
			}
			if last > 0 {
				put(meter.Reconciled)(max(0, r.deps.Now().Sub(store.Time(last)).Seconds()))
			}
			return openBreaks(tx, put(meter.Breaks))
		})
	}, meter.Reconciled, meter.Breaks)
}

// openBreaks says 0 of a kind that has none, so that an alert on it ends.
func openBreaks(tx *store.Tx, put meter.Put) error {
	open := map[string]float64{}
	for _, k := range []match.Kind{match.Missing, match.Orphan, match.Amount, match.Duplicate, match.Stale} {
		open[string(k)] = 0
	}
	rows, err := tx.Query(`SELECT kind, COUNT(*) FROM breaks WHERE state = 'open' GROUP BY kind`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var n int64
		if err := rows.Scan(&kind, &n); err != nil {
			return err
		}
		open[kind] = float64(n)
	}
	for kind, n := range open {
		put(n, kind)
	}
	return rows.Err()
}
