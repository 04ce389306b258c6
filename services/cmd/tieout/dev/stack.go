package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/console"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/telemetry/otlp"
)

// partitions of every topic: two show that keys have an order and topics none.
const partitions = 2

// stack is everything that runs.
type stack struct {
	options Options
	log     *slog.Logger
	started time.Time

	parts     *embedded.Parts
	rt        *run.Runtime
	control   *control.Server
	controlAt net.Listener
	conn      *grpc.ClientConn
	world     *world.World
	services  []run.Service
	status    *run.Status
	metrics   map[string]string // where each service has /livez, /readyz and /metrics
	file      *endpoints.File
	ingest    net.Listener
	closers   []func() error
}

// start brings the parts up one after the other, saying so.
func (s *stack) start(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"broker and cache", s.startParts},
		{"sandboxes of HubSpot and QuickBooks Online", s.startSandboxes},
		{"topics", func(ctx context.Context) error { return s.rt.Bus.EnsureTopics(ctx, s.rt.Topics()) }},
		{"five services", s.startServices},
		{"control plane", s.serveControl},
		{"console", s.startConsole},
	}
	for _, step := range steps {
		s.say("%5s  starting %s", time.Since(s.started).Round(10*time.Millisecond), step.what)
		bounded, cancel := context.WithTimeout(ctx, readyWithin)
		err := step.do(bounded)
		cancel()
		if err != nil {
			return fmt.Errorf("start %s: %w", step.what, err)
		}
	}
	return nil
}

func (s *stack) startParts(ctx context.Context) error {
	var err error
	if s.parts, err = embedded.Start(ctx, embedded.Config{Dir: s.options.Dir, Logger: s.log}); err != nil {
		return err
	}
	s.closing(s.parts.Close)
	if err := endpoints.Remove(s.options.Dir); err != nil { // left by a process that was killed
		return err
	}
	if s.parts.Damaged != "" {
		s.say("the broker's log was damaged and moved to %s; what it held is published again", s.parts.Damaged)
	}
	s.rt, err = run.New(run.Config{
		Dir: s.options.Dir, Kafka: s.parts.Kafka, Redis: s.parts.Redis, Partitions: partitions, Version: s.options.Version, Log: s.log, Now: time.Now,
		Exporter: s.exporter(),
	})
	if err != nil {
		return err
	}
	s.closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		return s.rt.Close(ctx)
	})
	s.file = &endpoints.File{Version: 1, State: "ready", PID: os.Getpid(), Kafka: s.parts.Kafka, Redis: s.parts.Redis, OTLP: s.options.OTLP, Services: map[string]endpoints.Service{}, Sandboxes: map[string]endpoints.Sandbox{}}
	return s.startControl()
}

func (s *stack) exporter() func(context.Context) (telemetry.Exporter, error) {
	if s.options.OTLP == "" {
		return nil
	}
	return func(ctx context.Context) (telemetry.Exporter, error) { return otlp.New(ctx, s.options.OTLP) }
}

// startControl opens the one address that routes to every service.
func (s *stack) startControl() error {
	l, err := s.listen("control")
	if err != nil {
		return err
	}
	token, err := s.secret("control.token")
	if err != nil {
		return err
	}
	s.control = control.NewServer(token)
	s.status, s.metrics = run.NewStatus(s.control.Health), map[string]string{}
	s.file.Control = endpoints.Control{Address: l.Addr().String(), Token: token}
	s.conn, err = control.Dial(l.Addr().String(), token, nil)
	if err != nil {
		return err
	}
	s.closing(func() error { s.control.Stop(); return nil })
	s.closing(s.conn.Close)
	s.controlAt = l
	return nil
}

// serveControl answers once every service is registered.
func (s *stack) serveControl(context.Context) error {
	s.listener(s.controlAt, func(l net.Listener) error { return s.control.Serve(l) })
	return nil
}

// startConsole serves the console, a client of the control plane like any other.
func (s *stack) startConsole(context.Context) error {
	l, err := s.listen("console")
	if err != nil {
		return err
	}
	var entities []console.Entity
	for _, e := range s.world.Registry().Entities {
		entities = append(entities, console.Entity{ID: e.ID, Tenant: e.Tenant})
	}
	c, err := console.New(s.conn, entities, s.log, time.Now)
	if err != nil {
		return err
	}
	h, err := c.Handler()
	if err != nil {
		return err
	}
	s.file.Console = s.serveHTTP(l, h)
	return nil
}

// secret is made once per state folder, so that scripts may keep it.
func (s *stack) secret(name string) (string, error) {
	path := filepath.Join(s.options.Dir, name)
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
		return string(b), nil
	}
	token := rand.Text()
	return token, os.WriteFile(path, []byte(token), 0o600)
}

// serveStatus serves /livez, /readyz and /metrics of one service.
func (s *stack) serveStatus(name string, set *meter.Set, metrics http.Handler) error {
	l, err := s.listen(name + "-metrics")
	if err != nil {
		return err
	}
	s.status.Measure(set)
	s.serveHTTP(l, s.status.Handler(metrics))
	s.metrics[name] = l.Addr().String()
	return nil
}

// listen opens the address that was asked for under a name, or a free one on
// the loopback interface.
func (s *stack) listen(name string) (net.Listener, error) {
	address := s.options.Listen[name]
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w: choose another in TIEOUT_DEV_LISTEN, or leave it out for a free one", name, err)
	}
	return l, nil
}

// listener serves until the services have stopped; serving is no service that
// ends the others.
func (s *stack) listener(l net.Listener, serve func(net.Listener) error) {
	go func() {
		if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, grpc.ErrServerStopped) {
			s.log.Error("an address is no longer served", "address", l.Addr().String(), "error", err)
		}
	}()
}

// serveHTTP serves a handler under a name and returns its base URL.
func (s *stack) serveHTTP(l net.Listener, h http.Handler) string {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.closing(srv.Close)
	s.listener(l, srv.Serve)
	return "http://" + l.Addr().String()
}

func (s *stack) closing(f func() error) { s.closers = append(s.closers, f) }

// close ends what was started, the last first.
func (s *stack) close() {
	if s.parts != nil { // only who holds the folder may clean it
		if err := endpoints.Remove(s.options.Dir); err != nil {
			s.log.Error("endpoints.json stays behind", "error", err)
		}
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			s.log.Error("a part did not close", "error", err)
		}
	}
}

// ready waits until everything answers.
func (s *stack) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := world.Ready(ctx, s.conn); err != nil {
		return fmt.Errorf("%w (see %s)", err, filepath.Join(s.options.Dir, "tieout.log"))
	}
	s.status.Done("start")
	return nil
}

// startSandboxes opens the vendors' stand-ins, whose webhooks come to ingest.
func (s *stack) startSandboxes(ctx context.Context) error {
	var err error
	if s.ingest, err = s.listen("ingest"); err != nil {
		return err
	}
	s.world, err = world.Start(ctx, world.Config{Dir: s.options.Dir, Log: s.log, Listen: s.listen, WebhookURL: "http://" + s.ingest.Addr().String() + "/webhooks/hubspot"})
	if err != nil {
		return err
	}
	s.closing(s.world.Close)
	s.file.Sandboxes = s.world.Sandboxes
	return nil
}
