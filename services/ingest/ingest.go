// Package ingest turns a change in a source into an event on the bus. It is
// the only sequencer: webhooks, polls, write-backs and repairs all pass admit,
// which gives the revision and the place in the lane in one transaction.
package ingest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Migrations are ingest's own tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Name is the service's name.
const Name = "ingest"

// Deps are what ingest runs on.
type Deps struct {
	DB       *store.DB
	Bus      *stream.Client
	Redis    *redis.Client // hints only: losing it costs time
	Registry *registry.Registry
	// Connections by id: every connection that is read.
	Connections map[string]*connector.Connection
	// Heads asks the writer which slots it holds.
	Heads func(ctx context.Context, lanes []LaneHead) ([]LaneHead, error)
	// Tops pages through the highest number of each lane that the writer knows of.
	Tops func(ctx context.Context, after LaneHead) ([]LaneHead, error)
	// Takers ask each consumer of the trail which facts it has.
	Takers map[string]trail.AskHeads
	Tracer trace.Tracer
	Meter  *meter.Set // nil: nothing is measured
	Log    *slog.Logger
	Now    func() time.Time
	// APIKey is what callers of the HTTP API show; without one nobody may call.
	APIKey string
	// Instance is random per process start.
	Instance string
	Version  string
}

// Ingest is the service.
type Ingest struct {
	deps     Deps
	sources  []*source
	relay    *trail.Relay // events
	facts    *trail.Relay
	trail    *trail.Completer
	consumer *stream.Consumer
	restored chan struct{} // the database was set back
	marked   atomic.Bool   // that was said in this process
	looked   atomic.Bool   // it is known whether it was
	polls    atomic.Bool   // this replica is the one that polls
}

// New makes the service; Run does the work.
func New(d Deps) (*Ingest, error) {
	in := &Ingest{deps: d, restored: make(chan struct{}, 1)}
	for _, c := range d.Registry.Connections {
		if conn := d.Connections[c.ID]; conn != nil && conn.Source != nil {
			in.sources = append(in.sources, newSource(in, c, conn))
		}
	}
	in.relay = trail.NewRelay(d.DB, &outbox{db: d.DB}, d.Bus, d.Now, d.Log)
	in.facts = trail.NewRelay(d.DB, trail.Outbox(d.DB), d.Bus, d.Now, d.Log)
	in.trail = trail.NewCompleter(d.DB, in.facts, d.Takers, d.Log)
	var err error
	in.consumer, err = stream.NewConsumer(d.Bus, stream.ConsumerConfig{
		Group: "tieout-" + Name, Topics: []string{trail.Topic}, Offsets: d.DB, Handle: in.takeFacts, OnGap: in.onGap,
	})
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	in.measure()
	return in, nil
}

// Run works until ctx ends; what is claimed then is claimed again later.
func (in *Ingest) Run(ctx context.Context) error {
	var work sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	start := func(run func(context.Context) error) {
		work.Go(func() {
			if err := run(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	if err := in.startRoutes(ctx); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	if err := in.lookBack(ctx); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	in.looked.Store(true)
	start(in.watchReplicas)
	start(in.lifts)
	for _, s := range in.sources {
		start(s.poll)
		start(s.fetch)
		start(s.backfill)
		start(s.watchArchive)
	}
	start(in.relay.Run)
	start(in.facts.Run)
	start(in.complete)
	start(in.trail.Run)
	err := in.consumer.Run(ctx)
	work.Wait()
	return errors.Join(append(errs, err)...)
}

// Handler serves the vendors' webhooks and the HTTP API.
func (in *Ingest) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/{app}", in.webhook)
	in.api(mux)
	return in.measured(mux)
}

// source is one connection that is read.
type source struct {
	in     *Ingest
	config registry.Connection
	conn   *connector.Connection
	share  *share
	due    chan struct{} // a hint was stored
	ask    chan struct{} // a poll is wanted now
}

func newSource(in *Ingest, c registry.Connection, conn *connector.Connection) *source {
	return &source{
		in: in, config: c, conn: conn, share: newShare(conn.Claims.Limits),
		due: make(chan struct{}, 1), ask: make(chan struct{}, 1),
	}
}

// types are the object types of the connection that a route leads from.
func (s *source) types() []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range s.in.deps.Registry.Routes {
		if r.Connection == s.config.ID && !r.WriteBack && !seen[r.Type] {
			seen[r.Type] = true
			out = append(out, r.Type)
		}
	}
	return out
}

// hinted are the types that hints may name: those of the routes, and their
// children.
func (s *source) hinted() []string {
	out := s.types()
	for child, owner := range s.conn.Children {
		if slices.Contains(out, owner) {
			out = append(out, child)
		}
	}
	slices.Sort(out)
	return out
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
