package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/telemetry/otlp"
	"tieout.dev/services/writer"
)

const (
	// tryFor bounds one try of something that may hang.
	tryFor   = 20 * time.Second
	closeFor = 5 * time.Second
)

// process is one service with its listeners.
type process struct {
	name    string
	cfg     *config.Config
	base    *slog.Logger // the parts name their service themselves
	log     *slog.Logger
	version string
	build   Builder

	control *control.Server
	status  *run.Status
	meter   *meter.Set
	rt      *run.Runtime
	conns   []*grpc.ClientConn
	web     []*http.Server
	serving sync.WaitGroup
}

// run answers as soon as it can, waits for its parts with a back-off for as
// long as it takes, works, and drains when ctx ends.
func (p *process) run(ctx context.Context) (err error) {
	p.control = control.NewServer(p.cfg.Token)
	p.status = run.NewStatus(p.control.Health)
	p.control.Waiting("it waits for its parts")
	defer p.close()
	if p.rt, err = run.New(Runtime(p.cfg, p.version, p.base)); err != nil {
		return err
	}
	set, metrics, err := p.rt.Metrics(p.name)
	if err != nil {
		return err
	}
	p.meter = set
	p.status.Measure(set)
	if err := p.listen(ctx, metrics); err != nil {
		return err
	}
	built, err := p.prepare(ctx)
	if err != nil || built == nil { // nil: told to stop before it began
		return err
	}
	p.status.Done("start")
	p.log.InfoContext(ctx, "ready", "version", p.version)
	return p.work(ctx, built)
}

// listen serves health, and refuses the rest until it is there.
func (p *process) listen(ctx context.Context, metrics http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.cfg.Listen.GRPC)
	if err != nil {
		return fmt.Errorf("listen.grpc: %w: choose an address that is free", err)
	}
	if host, err := os.Hostname(); err == nil { // a container that is started again keeps both
		p.rt.GroupInstance = host + "/" + l.Addr().String()
	}
	p.serving.Go(func() {
		if err := p.control.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			p.log.Error("the control plane is not served", "error", err)
		}
	})
	return p.serveHTTP(ctx, "listen.status", p.cfg.Listen.Status, p.status.Handler(metrics))
}

func (p *process) serveHTTP(ctx context.Context, key, address string, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w: choose an address that is free", key, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	p.web = append(p.web, srv)
	p.serving.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("an address is no longer served", "key", key, "error", err)
		}
	})
	return nil
}

// prepare waits for broker and database, as long as it takes, and builds the
// service. What no waiting heals ends it, as a schema from the future does.
func (p *process) prepare(ctx context.Context) (*Built, error) {
	site, err := p.site()
	if err != nil {
		return nil, err
	}
	p.until(ctx, "broker", p.status.Wait, func(ctx context.Context) error { return p.rt.Bus.EnsureTopics(ctx, p.rt.Topics()) })
	if ctx.Err() != nil {
		return nil, nil
	}
	var built *Built
	var broken error
	p.until(ctx, "database", p.status.Wait, func(ctx context.Context) error {
		built, err = p.build(ctx, site)
		if err != nil && !errors.Is(err, store.ErrAway) {
			broken = err
			return nil
		}
		return err
	})
	if ctx.Err() != nil { // told to stop: what that broke is no failure
		return nil, nil
	}
	if broken != nil {
		return nil, broken
	}
	p.control.Within(&p.cfg.Install.Registry)
	built.Register(p.control.Measured(p.meter))
	p.control.Waiting("")
	if built.Handler != nil {
		return built, p.serveHTTP(ctx, "listen.http", p.cfg.Listen.HTTP, built.Handler)
	}
	return built, nil
}

// until tries until it works or ctx ends, and tells why it does not work yet.
func (p *process) until(ctx context.Context, what string, tell func(what, why string), do func(context.Context) error) {
	var w wait
	tell(what, "it was not reached yet")
	defer tell(what, "")
	for {
		trying, cancel := context.WithTimeout(ctx, tryFor)
		err := do(trying)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		tell(what, err.Error())
		p.log.WarnContext(ctx, "waits", "for", what, "error", err)
		if !w.again(ctx) {
			return
		}
	}
}

// Runtime is what a configuration says about the parts.
func Runtime(cfg *config.Config, version string, log *slog.Logger) run.Config {
	c := run.Config{
		Dir: cfg.SQLiteDir, Postgres: cfg.Postgres.URL, Schema: cfg.Postgres.Schema, Kafka: cfg.Kafka.Brokers, Redis: cfg.Redis.Address,
		Shown: shown(cfg), Partitions: cfg.Kafka.Partitions, Replication: cfg.Kafka.Replication, Version: version, Log: log, Now: time.Now,
	}
	if cfg.OTLP != "" {
		c.Exporter = func(ctx context.Context) (telemetry.Exporter, error) { return otlp.New(ctx, cfg.OTLP) }
	}
	return c
}

func shown(cfg *config.Config) run.Shown {
	k, r := cfg.Kafka, cfg.Redis
	return run.Shown{
		Kafka: k.TLS, Postgres: cfg.Postgres.TLS, Redis: r.TLS, PostgresPassword: cfg.Postgres.Password, RedisUser: r.User, RedisPassword: r.Password,
		KafkaLogin: stream.Login{Mechanism: k.Mechanism, User: k.User, Password: k.Password},
	}
}

func (p *process) site() (*Site, error) {
	s := &Site{
		Runtime: p.rt, Registry: &p.cfg.Install.Registry, Secrets: p.cfg.Install.Secrets, APIKey: p.cfg.APIKey, ReconcileEvery: p.cfg.Every,
		SecondPerson: p.cfg.TwoPersons, Seal: func() (*writer.Seal, error) { return writer.OpenSeal(p.cfg.KeyFile) },
	}
	var err error
	if s.Notices, err = notices(p.cfg.Notify, p.rt.Now); err != nil {
		return nil, err
	}
	for name, peer := range map[string]*grpc.ClientConnInterface{
		"ingest": &s.Peers.Ingest, "transform": &s.Peers.Transform, "writer": &s.Peers.Writer, "reconciler": &s.Peers.Reconciler, "audit": &s.Peers.Audit,
	} {
		conn, err := control.Dial(p.cfg.Peers[name], p.cfg.Token, nil)
		if err != nil {
			return nil, err
		}
		p.conns = append(p.conns, conn)
		*peer = conn
	}
	return s, nil
}

// work runs the service until ctx ends, then lets it drain within the grace.
func (p *process) work(ctx context.Context, b *Built) error {
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() {
		p.rt.Watch(watching, p.status, func(what, why string) { p.noticed(watching, what, why) })
	})
	if b.Prepare != nil { // a vendor that is away holds nobody else's documents up
		watch.Go(func() { p.until(watching, "vendor", p.status.Degraded, b.Prepare) })
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Services(ctx, b.Service) }()
	select {
	case err := <-ended:
		if err == nil && ctx.Err() == nil {
			err = errors.New("it ended by itself")
		}
		return err
	case <-ctx.Done():
	}
	p.status.Wait("stop", "the service drains")
	grace := time.NewTimer(p.cfg.Grace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return err
	case <-grace.C:
		return fmt.Errorf("not drained within %s: what was under way is taken up by the next start", p.cfg.Grace)
	}
}

// noticed tells the log that a part went away or is there again.
func (p *process) noticed(ctx context.Context, what, why string) {
	if why == "" {
		p.log.InfoContext(ctx, "a part is there again", "part", what)
		return
	}
	p.log.WarnContext(ctx, "a part is away or refuses us", "part", what, "error", why)
}

// close ends what serves, the callers first.
func (p *process) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeFor)
	defer cancel()
	for _, srv := range p.web {
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
		}
	}
	graceful := time.AfterFunc(closeFor, p.control.Stop)
	p.control.GracefulStop()
	graceful.Stop()
	p.serving.Wait()
	for _, c := range p.conns {
		_ = c.Close()
	}
	if p.rt != nil {
		if err := p.rt.Close(ctx); err != nil {
			p.log.Warn("a part did not close", "error", err)
		}
	}
}
