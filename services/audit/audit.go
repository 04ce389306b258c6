// Package audit keeps what happened: it takes every fact of the trail once,
// makes it findable by any id that a person holds, and publishes it for other
// teams, in the transaction that stored it.
package audit

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/audit/cloudevent"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Migrations are audit's own tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Name is the service's name.
const Name = "audit"

// Deps are what audit runs on.
type Deps struct {
	DB       *store.DB
	Bus      *stream.Client
	Registry *registry.Registry
	Tracer   trace.Tracer
	Meter    *meter.Set // nil: nothing is measured
	Log      *slog.Logger
	Now      func() time.Time
	// Instance is random per process start.
	Instance string
	Version  string
	// Page returns the address of a record's page at its vendor, or ""; it may
	// be nil.
	Page func(ref string) string
	// Notices say how people are told of exceptions; without channels nobody is.
	Notices Notices
}

// Audit is the service.
type Audit struct {
	deps     Deps
	relay    *trail.Relay // the public topic
	cleaner  *trail.Completer
	consumer *stream.Consumer
	schema   string // of the public data
}

// New makes the service; Run does the work.
func New(d Deps) (*Audit, error) {
	a := &Audit{deps: d, schema: cloudevent.SchemaURI()}
	a.relay = trail.NewRelay(d.DB, trail.Outbox(d.DB), d.Bus, d.Now, d.Log)
	a.cleaner = trail.NewCompleter(d.DB, a.relay, nil, d.Log) // nobody tells us what of the public topic it has: it only removes old rows
	var err error
	a.consumer, err = stream.NewConsumer(d.Bus, stream.ConsumerConfig{
		Group: "tieout-" + Name, Topics: []string{trail.Topic}, Offsets: d.DB, Handle: a.take,
	})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return a, nil
}

// Run works until ctx ends.
func (a *Audit) Run(ctx context.Context) error {
	var work sync.WaitGroup
	var relayErr, cleanErr, tellErr error
	work.Go(func() { relayErr = a.relay.Run(ctx) })
	work.Go(func() { cleanErr = a.cleaner.Run(ctx) })
	if len(a.deps.Notices.Channels) > 0 {
		work.Go(func() { tellErr = a.tell(ctx) })
	}
	err := a.consumer.Run(ctx)
	work.Wait()
	return errors.Join(err, relayErr, cleanErr, tellErr)
}
