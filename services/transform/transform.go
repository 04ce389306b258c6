// Package transform renders each event, by the mapping of its route, into what
// shall be true in the books: one event, one rendering, always.
package transform

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Migrations are transform's own tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Name is the service's name.
const Name = "transform"

// Deps are what transform runs on.
type Deps struct {
	DB       *store.DB
	Bus      *stream.Client
	Registry *registry.Registry
	// Mappings in force, by name.
	Mappings map[string]*mapping.Mapping
	// Takers ask each consumer of the trail which facts it has.
	Takers   map[string]trail.AskHeads
	Tracer   trace.Tracer
	Meter    *meter.Set // nil: nothing is measured
	Log      *slog.Logger
	Now      func() time.Time
	Instance string
	Version  string
}

// Transform is the service.
type Transform struct {
	deps      Deps
	consumers []*stream.Consumer // one for each class: bulk never holds realtime up
	relay     *trail.Relay
	trail     *trail.Completer
}

// New makes the service; Run does the work.
func New(d Deps) (*Transform, error) {
	t := &Transform{deps: d, relay: trail.NewRelay(d.DB, trail.Outbox(d.DB), d.Bus, d.Now, d.Log)}
	t.trail = trail.NewCompleter(d.DB, t.relay, d.Takers, d.Log)
	for _, class := range []event.Class{event.Realtime, event.Bulk} {
		c, err := stream.NewConsumer(d.Bus, stream.ConsumerConfig{
			Group: "tieout-" + Name + "-" + string(class), Topics: []string{class.Topic()}, Offsets: d.DB, Handle: t.handle,
		})
		if err != nil {
			return nil, fmt.Errorf("transform: %w", err)
		}
		t.consumers = append(t.consumers, c)
	}
	return t, nil
}

// Run works until ctx ends.
func (t *Transform) Run(ctx context.Context) error {
	runs := []func(context.Context) error{t.relay.Run, t.trail.Run}
	for _, c := range t.consumers {
		runs = append(runs, c.Run)
	}
	errs := make([]error, len(runs))
	var work sync.WaitGroup
	for i, run := range runs {
		work.Go(func() { errs[i] = run(ctx) })
	}
	work.Wait()
	return errors.Join(errs...)
}
