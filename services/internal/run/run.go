// Package run gives a service what it runs on: a bus, a database, a cache,
// traces and a log. Nothing in a service knows whether it runs alone or beside
// the others; only the addresses here differ.
package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/trail"
)

// AuditTopic carries the public audit trail.
const AuditTopic = "tieout.audit.v1"

// Config says where a process finds its parts.
type Config struct {
	Dir        string // databases, a file for each service
	Postgres   string // URL of the database, instead of files
	Schema     string // in it; "" is the service's name
	Kafka      []string
	Redis      string
	Shown      Shown
	Partitions int // of every topic
	// Replication of topics that are made; 0 leaves it to the broker.
	Replication int
	// GroupInstance names the process among its replicas; see stream.Config.
	GroupInstance string
	Version       string
	Log           *slog.Logger
	Now           func() time.Time
	// Dial opens connections to the brokers; nil is the ordinary way.
	Dial stream.Dial
	// Rest is the least that whatever is woken when there is something to do
	// rests between two looks of its own; 0 leaves each its own. It makes virtual
	// time pass faster and is of no use elsewhere.
	Rest time.Duration
	// HTTP carries requests to the vendors; nil is the ordinary way.
	HTTP http.RoundTripper
	// Exporter makes an exporter of spans for each service; nil: none.
	Exporter func(ctx context.Context) (telemetry.Exporter, error)
}

// Runtime is what the services of one process share.
type Runtime struct {
	Config
	Bus      *stream.Client
	Redis    *redis.Client
	Instance string // random per process start

	mu      sync.Mutex
	dbs     []*store.DB
	ahead   atomic.Int64 // of the database's clock, as it was last said
	metrics map[string]measured
	closers []func(context.Context) error
}

// New connects the parts; nothing is sent before it is used.
func New(cfg Config) (*Runtime, error) {
	r := &Runtime{Config: cfg, Instance: rand.Text(), metrics: map[string]measured{}}
	var err error
	if r.Bus, err = r.bus("tieout", cfg.Log, nil, nil); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	r.closing(func(context.Context) error { return r.Bus.Close() })
	if cfg.Redis != "" {
		r.Redis = r.cache()
		r.closing(func(context.Context) error { return r.Redis.Close() })
	}
	return r, nil
}

// Topics are those that the services speak over. Both documents topics have
// one number of partitions, so that a target has one owner for both.
func (r *Runtime) Topics() []stream.Topic {
	const day = 24 * 60 * 60 * 1000
	topic := func(name string, retention int64) stream.Topic {
		return stream.Topic{Name: name, Partitions: r.Partitions, Replication: r.Replication, Config: map[string]string{"cleanup.policy": "delete", "retention.ms": fmt.Sprint(retention)}}
	}
	return []stream.Topic{
		topic(event.Realtime.Topic(), 14*day), topic(event.Bulk.Topic(), 14*day),
		topic(document.Topic(event.Realtime), 14*day), topic(document.Topic(event.Bulk), 14*day),
		topic(trail.Topic, 30*day), topic(AuditTopic, -1),
	}
}

// Parts are what one service is handed: a database, a bus, metrics and a log of
// its own, and a tracer under its name.
type Parts struct {
	DB     *store.DB
	Bus    *stream.Client
	Tracer trace.Tracer
	Meter  *meter.Set
	Log    *slog.Logger
}

// Parts opens a service's parts.
func (r *Runtime) Parts(ctx context.Context, service string, migrations fs.FS) (*Parts, error) {
	p := &Parts{Log: r.Log.With("service", service)}
	var err error
	if p.DB, err = r.db(ctx, service, migrations); err != nil {
		return nil, err
	}
	if p.Tracer, err = r.tracer(ctx, service); err != nil {
		return nil, err
	}
	if p.Meter, _, err = r.Metrics(service); err != nil {
		return nil, err
	}
	r.measure(p)
	if p.Bus, err = r.bus("tieout-"+service, p.Log, p.Tracer, p.Meter); err != nil {
		return nil, fmt.Errorf("bus of %s: %w", service, err)
	}
	r.closing(func(context.Context) error { return p.Bus.Close() })
	return p, nil
}

func (r *Runtime) bus(id string, log *slog.Logger, tracer trace.Tracer, set *meter.Set) (*stream.Client, error) {
	return stream.NewClient(stream.Config{Brokers: r.Kafka, ClientID: id, GroupInstance: r.GroupInstance, Logger: log, Tracer: tracer, Meter: set, Dial: r.Dial, Rest: r.Rest, TLS: r.Shown.Kafka, Login: r.Shown.KafkaLogin})
}

func (r *Runtime) db(ctx context.Context, service string, migrations fs.FS) (*store.DB, error) {
	cfg := store.Config{Name: service, Migrations: migrations, Clock: r.Now, Rest: r.Rest, ServerTime: true, URL: r.Postgres, Schema: r.Schema, TLS: r.Shown.Postgres, Password: r.Shown.PostgresPassword}
	if cfg.URL == "" {
		cfg.Path = filepath.Join(r.Dir, service+".db")
	}
	db, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.closing(func(context.Context) error { return db.Close() })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dbs = append(r.dbs, db)
	return db, nil
}

func (r *Runtime) tracer(ctx context.Context, service string) (trace.Tracer, error) {
	cfg := telemetry.Config{Service: service, Version: r.Version, Instance: r.Instance, Logger: r.Log}
	if r.Exporter != nil {
		var err error
		if cfg.Exporter, err = r.Exporter(ctx); err != nil {
			return nil, fmt.Errorf("traces of %s: %w", service, err)
		}
	}
	t, err := telemetry.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.closing(t.Shutdown)
	return t.Tracer("tieout.dev/services/" + service), nil
}

// checkFor bounds how long a part may take to answer.
const checkFor = 3 * time.Second

// Check asks each part whether it answers and takes what we would ask of it.
func (r *Runtime) Check(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	r.mu.Lock()
	dbs := slices.Clone(r.dbs)
	r.mu.Unlock()
	out := map[string]error{"broker": r.Bus.Reach(ctx)}
	if r.Redis != nil {
		out["cache"] = r.checkCache(ctx)
	}
	out["database"] = ping(ctx, dbs)
	r.noteClock(ctx, dbs)
	return out
}

// noteClock says that this host's clock is not the database's, once for each time
// that it moved by a second.
func (r *Runtime) noteClock(ctx context.Context, dbs []*store.DB) {
	if len(dbs) == 0 {
		return
	}
	ahead := dbs[0].Ahead().Round(time.Second) // all are on one server
	if was := time.Duration(r.ahead.Swap(int64(ahead))); was != ahead {
		r.Log.WarnContext(ctx, "this host's clock differs from the database's, whose time is stored; vendors and traces see this host's: set it right", "ahead", ahead)
	}
}

// ping asks each database. Those of one folder, or of one server, fail alike:
// that is said once.
func ping(ctx context.Context, dbs []*store.DB) error {
	var errs []error
	said := map[string]bool{}
	for _, db := range dbs {
		if err := db.Ping(ctx); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Runtime) closing(f func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, f)
}

// Close closes everything, the last opened first.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for i := len(r.closers) - 1; i >= 0; i-- {
		errs = append(errs, r.closers[i](ctx))
	}
	r.closers = nil
	return errors.Join(errs...)
}
