package run

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/trail"
)

// measured are a service's instruments and who answers a scrape of them.
type measured struct {
	set     *meter.Set
	handler http.Handler
}

// Metrics are those of a service, and the handler of a scrape. They are there
// before its parts are: a service that waits is scraped too.
func (r *Runtime) Metrics(service string) (*meter.Set, http.Handler, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.metrics[service]; ok {
		return m.set, m.handler, nil
	}
	t, err := telemetry.NewMetrics(telemetry.Config{Service: service, Version: r.Version, Instance: r.Instance, Logger: r.Log})
	if err != nil {
		return nil, nil, err
	}
	set, err := meter.New(t.Meter(), r.Log.With("service", service))
	if err != nil {
		return nil, nil, fmt.Errorf("metrics of %s: %w", service, err)
	}
	for _, topic := range r.Topics() {
		set.Know("messaging.destination.name", topic.Name)
	}
	r.metrics[service] = measured{set, t.Handler()}
	r.closers = append(r.closers, t.Shutdown)
	return set, t.Handler(), nil
}

// measure measures what every service has: an outbox and exceptions.
func (r *Runtime) measure(p *Parts) {
	p.Meter.Watch(func(ctx context.Context, put func(meter.Name) meter.Put) error {
		return p.DB.Read(ctx, func(tx *store.Tx) error {
			rows, oldest, err := trail.Backlog(tx)
			if err != nil {
				return err
			}
			put(meter.OutboxRows)(float64(rows), "facts")
			put(meter.OutboxAge)(age(r.Now(), oldest, rows > 0), "facts")
			return exceptions(tx, put)
		})
	}, meter.OutboxRows, meter.OutboxAge, meter.ExceptionsOpen, meter.ExceptionOldest)
}

// exceptions counts the open ones by kind.
func exceptions(tx *store.Tx, put func(meter.Name) meter.Put) error {
	rows, err := tx.Query(`SELECT kind, COUNT(*), MIN(opened_at) FROM exception WHERE state = 'open' GROUP BY kind`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var n, oldest int64
		if err := rows.Scan(&kind, &n, &oldest); err != nil {
			return err
		}
		put(meter.ExceptionsOpen)(float64(n), kind)
		put(meter.ExceptionOldest)(age(store.Time(tx.Now()), store.Time(oldest), true), kind)
	}
	return rows.Err()
}

func age(now, since time.Time, any bool) float64 {
	if !any {
		return 0
	}
	return max(0, now.Sub(since).Seconds())
}

// Measure tells the metrics of a service, again and again, whether it takes
// work and what it waits for.
func (s *Status) Measure(set *meter.Set) {
	set.Watch(func(_ context.Context, put func(meter.Name) meter.Put) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		ready := 1.0
		if len(s.waiting) > 0 {
			ready = 0
		}
		put(meter.Ready)(ready)
		for _, m := range []map[string]string{s.waiting, s.degraded} {
			for what := range m {
				put(meter.Waiting)(1, what)
			}
		}
		return nil
	}, meter.Ready, meter.Waiting)
}
