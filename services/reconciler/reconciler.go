// Package reconciler compares two records of one truth: what the source asks
// for, what we believe, and what stands in the books. It writes to neither.
package reconciler

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Migrations are the reconciler's own tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Name is the service's name.
const Name = "reconciler"

// Deps are what the reconciler runs on.
type Deps struct {
	DB       *store.DB
	Bus      *stream.Client
	Registry *registry.Registry
	// Sources by connection id, Targets by account.
	Sources map[string]connector.Source
	Targets map[string]connector.Target
	// Render shows what the route's approved mapping makes of a record.
	Render func(ctx context.Context, route registry.Route, r connector.Record) (*document.Rendering, error)
	// Open asks which records are on their way or parked, with the cause.
	Open func(ctx context.Context) ([]Open, error)
	// Told asks the writer for the last fact that it has told in each stream.
	Told func(ctx context.Context) ([]trail.Head, error)
	// Pushed asks ingest for the records of an account, of one type or of all, that
	// callers handed over and the source does not have.
	Pushed func(ctx context.Context, account, typ string) ([]connector.Record, error)
	// Recheck has ingest read and admit a source record again; its documents are
	// to stand in the target's books, whatever the route's cut-off.
	Recheck func(ctx context.Context, ref, target string) error
	// Every is how often each entity's running month is reconciled; 0: only on demand.
	Every time.Duration
	// LookAgain is how long a difference may move before it is one: things go
	// on while the lists are read.
	LookAgain time.Duration
	// Takers ask each consumer of the trail which facts it has.
	Takers   map[string]trail.AskHeads
	Tracer   trace.Tracer
	Meter    *meter.Set // nil: nothing is measured
	Log      *slog.Logger
	Now      func() time.Time
	Instance string
	Version  string
}

// Open is a record that has not come to rest, or whose newest revision a person
// discarded, in the books of one target; of all where none is named.
type Open struct{ Ref, Cause, Target string }

// Reconciler is the service.
type Reconciler struct {
	deps     Deps
	relay    *trail.Relay
	trail    *trail.Completer
	consumer *stream.Consumer
}

// New makes the service; Run does the work.
func New(d Deps) (*Reconciler, error) {
	if d.LookAgain <= 0 {
		d.LookAgain = lookAgain
	}
	r := &Reconciler{deps: d, relay: trail.NewRelay(d.DB, trail.Outbox(d.DB), d.Bus, d.Now, d.Log)}
	r.trail = trail.NewCompleter(d.DB, r.relay, d.Takers, d.Log)
	var err error
	r.consumer, err = stream.NewConsumer(d.Bus, stream.ConsumerConfig{
		Group: "tieout-" + Name, Topics: []string{trail.Topic}, Offsets: d.DB, Handle: r.take,
	})
	if err != nil {
		return nil, fmt.Errorf("reconciler: %w", err)
	}
	r.measure()
	return r, nil
}

// Run works until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	var work sync.WaitGroup
	var relayErr, trailErr, scheduleErr error
	work.Go(func() { scheduleErr = r.schedule(ctx) })
	work.Go(func() { relayErr = r.relay.Run(ctx) })
	work.Go(func() { trailErr = r.trail.Run(ctx) })
	err := r.consumer.Run(ctx)
	work.Wait()
	return errors.Join(err, relayErr, trailErr, scheduleErr)
}
