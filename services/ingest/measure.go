package ingest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
)

// countTo is how far what waits is counted.
const countTo = 100_001

// measure has what waits, and the quota, read at each scrape.
func (in *Ingest) measure() {
	in.deps.Meter.Watch(func(ctx context.Context, put func(meter.Name) meter.Put) error {
		now := in.deps.Now()
		for _, s := range in.sources {
			used, limit, _ := s.share.all.Used(now)
			put(meter.QuotaUsed)(float64(used), s.config.ID)
			put(meter.QuotaLimit)(float64(limit), s.config.ID)
		}
		return in.deps.DB.Read(ctx, func(tx *store.Tx) error { return measureBacklog(tx, put) })
	}, meter.QuotaUsed, meter.QuotaLimit, meter.OutboxRows, meter.OutboxAge, meter.HintsDue)
}

func measureBacklog(tx *store.Tx, put func(meter.Name) meter.Put) error {
	var rows, oldest int64
	err := tx.QueryRow(`SELECT COUNT(*), COALESCE(MIN(admitted_at), 0) FROM (SELECT admitted_at FROM event WHERE published_at IS NULL ORDER BY admitted_at LIMIT $1) AS waiting`, countTo).Scan(&rows, &oldest)
	if err != nil {
		return err
	}
	age := 0.0
	if rows > 0 {
		age = max(0, store.Time(tx.Now()).Sub(store.Time(oldest)).Seconds())
	}
	put(meter.OutboxRows)(float64(rows), "events")
	put(meter.OutboxAge)(age, "events")
	for _, class := range []string{"realtime", "bulk"} {
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 AS one FROM hint WHERE class = $1 LIMIT $2) AS due`, class, countTo).Scan(&n); err != nil {
			return err
		}
		put(meter.HintsDue)(float64(n), class)
	}
	return nil
}

// measured measures each request by the route that it took.
func (in *Ingest) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started, answer := in.deps.Now(), &answered{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		in.deps.Meter.Took(r.Context(), meter.HTTPDuration, in.deps.Now().Sub(started), r.Pattern, strconv.Itoa(answer.status))
	})
}

// answered remembers the status.
type answered struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status and sends it.
func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the server's own controls through.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// vendor measures one operation at the source.
func (s *source) vendor(ctx context.Context, operation string, started time.Time, err error) {
	s.in.deps.Meter.Vendor(ctx, s.config.System, operation, s.in.deps.Now().Sub(started), err)
}

// dedup counts what a stage let through and what it knew already.
func (in *Ingest) dedup(ctx context.Context, stage string, seen, fresh int) {
	in.deps.Meter.Count(ctx, meter.Dedup, int64(fresh), stage, "new")
	in.deps.Meter.Count(ctx, meter.Dedup, int64(seen-fresh), stage, "repeat")
}

func completeness(err error) string {
	if err != nil {
		return "failed"
	}
	return "complete"
}

func hit(yes bool) string {
	if yes {
		return "hit"
	}
	return "miss"
}
