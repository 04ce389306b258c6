// Package writer makes a document true in the books, once. Slots are received
// from Kafka into SQL; the owner of a target then works in turns: it gathers
// what arrived, asks the pure core what follows (package protocol), stores it
// in one transaction fenced by the target's epoch, and only then lets requests
// leave.
package writer

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
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Migrations are the writer's own tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Name is the service's name.
const Name = "writer"

// Deps are what the writer runs on.
type Deps struct {
	DB       *store.DB
	Bus      *stream.Client
	Registry *registry.Registry
	// Connections by account: every account that is written to.
	Connections map[string]*connector.Connection
	// Vault holds the connections' tokens.
	Vault *Vault
	// Takers ask each consumer of the trail which facts it has.
	Takers map[string]trail.AskHeads
	// Others know what this database does not after it was set back.
	Others Others
	// SecondPerson: what changes the books or gives up on a record takes two.
	SecondPerson bool
	// Partitions of the documents topics.
	Partitions int
	Tracer     trace.Tracer
	Meter      *meter.Set // nil: nothing is measured
	Log        *slog.Logger
	Now        func() time.Time
	Instance   string // random per process start
	Version    string
}

// Writer is the service.
type Writer struct {
	deps     Deps
	consumer *stream.Consumer
	relay    *trail.Relay
	trail    *trail.Completer

	mu       sync.Mutex
	owners   map[string]*owner
	assigned map[int]bool
	change   chan struct{} // the assignment moved
	restored chan struct{} // the database was set back
	disagree sync.Map      // target -> why books and links do not agree yet
	probing  sync.Map      // target -> true while a person's probe of it is under way
}

// New makes the service; Run does the work.
func New(d Deps) (*Writer, error) {
	w := &Writer{deps: d, owners: map[string]*owner{}, assigned: map[int]bool{}, change: make(chan struct{}, 1), restored: make(chan struct{}, 1)}
	var err error
	w.relay = trail.NewRelay(d.DB, trail.Outbox(d.DB), d.Bus, d.Now, d.Log)
	w.trail = trail.NewCompleter(d.DB, w.relay, d.Takers, d.Log)
	w.consumer, err = stream.NewConsumer(d.Bus, stream.ConsumerConfig{
		Group: "tieout-" + Name, Topics: []string{document.Topic(event.Realtime), document.Topic(event.Bulk)},
		Offsets: d.DB, Handle: w.receive, OnAssigned: w.onAssigned, OnRevoked: w.onRevoked, OnGap: w.onGap,
	})
	if err != nil {
		return nil, fmt.Errorf("writer: %w", err)
	}
	w.measure()
	return w, nil
}

// Run works until ctx ends, then drains: no new calls, answers awaited.
func (w *Writer) Run(ctx context.Context) error {
	if err := w.declareTargets(ctx); err != nil {
		return fmt.Errorf("writer: %w", err)
	}
	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	var background, owners sync.WaitGroup
	var relayErr, trailErr error
	background.Go(func() { relayErr = w.relay.Run(relayCtx) })
	background.Go(func() { trailErr = w.trail.Run(relayCtx) })
	owners.Go(func() { w.own(ctx) })
	owners.Go(func() { w.watchGrants(ctx) })
	err := w.lookBack(ctx)
	if err == nil {
		owners.Go(func() { w.recover(ctx) })
		err = w.consumer.Run(ctx)
	}
	owners.Wait()
	stopRelay()
	background.Wait()
	return errors.Join(err, relayErr, trailErr)
}

// declareTargets makes the row that serialises each target.
func (w *Writer) declareTargets(ctx context.Context) error {
	return w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for account := range w.deps.Connections {
			c, ok := w.deps.Registry.ByAccount(account)
			if !ok {
				return fmt.Errorf("no connection is configured for account %s", account)
			}
			if _, err := tx.Exec(`INSERT INTO target (target, tenant) VALUES ($1, $2) ON CONFLICT (target) DO NOTHING`, account, c.Tenant); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *Writer) onAssigned(g stream.Generation) {
	w.mu.Lock()
	clear(w.assigned)
	for _, p := range g.Partitions[document.Topic(event.Realtime)] {
		w.assigned[p] = true
	}
	w.mu.Unlock()
	w.signal()
}

func (w *Writer) onRevoked(stream.Generation) {
	w.mu.Lock()
	clear(w.assigned)
	w.mu.Unlock()
	w.signal()
}

func (w *Writer) signal() {
	select {
	case w.change <- struct{}{}:
	default:
	}
}

// own starts an owner for each target whose partition is ours, and stops it
// when it is not: no new calls, answers awaited.
func (w *Writer) own(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[string]context.CancelFunc{}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.change:
		}
		for account := range w.deps.Connections {
			mine := w.mine(account)
			if stop, runs := stops[account]; runs && !mine {
				stop()
				delete(stops, account)
			} else if mine && !runs {
				ownerCtx, stop := context.WithCancel(ctx)
				stops[account] = stop
				running.Go(func() { w.keep(ownerCtx, account) })
			}
		}
	}
}

func (w *Writer) mine(account string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.assigned[stream.Partition(account, w.deps.Partitions)]
}

// retakeAfter is how long a fenced or failed owner whose assignment still
// lives waits before it takes the target again.
const retakeAfter = time.Second

// keep holds an owner on the target for as long as the assignment lives.
func (w *Writer) keep(ctx context.Context, account string) {
	for ctx.Err() == nil {
		o := newOwner(w, account)
		w.setOwner(account, o)
		err := o.run(ctx)
		w.setOwner(account, nil)
		if err != nil && ctx.Err() == nil {
			w.deps.Log.WarnContext(ctx, "the target is taken again", "target", account, "error", err)
			idle.For(ctx, retakeAfter)
		}
	}
}

func (w *Writer) setOwner(account string, o *owner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o == nil {
		delete(w.owners, account)
		return
	}
	w.owners[account] = o
}

func (w *Writer) owner(account string) *owner {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owners[account]
}

// wakeOwner asks the target's owner, if it is here, for a turn.
func (w *Writer) wakeOwner(account string) {
	if o := w.owner(account); o != nil {
		o.wake()
	}
}
