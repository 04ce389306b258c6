package bubble

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"tieout.dev/services/cmd/assembly"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/writer"
)

// process is one service as a process of its own: a host on the network, a
// folder, and a life that can be ended at any moment.
type process struct {
	name string
	b    *bubble
	born int
	dir  string
	host *host

	rt     *run.Runtime
	server *control.Server
	web    []*http.Server
	conns  []*grpc.ClientConn
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// builders are the five, as they are started.
func builders() map[string]assembly.Builder {
	return map[string]assembly.Builder{
		"writer": assembly.Writer, "ingest": assembly.Ingest, "transform": assembly.Transform, "audit": assembly.Audit, "reconciler": assembly.Reconciler,
	}
}

// names of the five in the order in which they start.
func names() []string { return []string{"writer", "ingest", "transform", "audit", "reconciler"} }

// start begins a process, with what its predecessor left on disk.
func (b *bubble) start(name string) error {
	if b.processes[name] != nil {
		return fmt.Errorf("%s runs already", name)
	}
	b.born[name]++
	p := &process{name: name, b: b, born: b.born[name], dir: b.folder(name), host: b.network.host(name), ended: make(chan struct{})}
	b.processes[name] = p
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	built, err := p.build(ctx)
	if err != nil {
		cancel()
		delete(b.processes, name)
		return errors.Join(fmt.Errorf("start %s: %w", name, err), p.close())
	}
	b.running.Go(func() {
		defer close(p.ended)
		p.err = p.work(ctx, built)
		if err := p.close(); err != nil {
			b.log.Debug("a part did not close", "process", name, "error", err)
		}
	})
	return nil
}

func (p *process) build(ctx context.Context) (*assembly.Built, error) {
	var err error
	log := p.b.log.With("process", fmt.Sprintf("%s.%d", p.name, p.born))
	p.rt, err = run.New(run.Config{
		Dir: p.dir, Kafka: p.b.brokers, Partitions: partitions, Version: "bubble", Log: log, Now: time.Now,
		Dial: p.host.Dial, Rest: p.b.pace.rest, HTTP: p.b.transport(p.host),
	})
	if err != nil {
		return nil, err
	}
	p.server = control.NewServer(token)
	if err := p.listen(); err != nil {
		return nil, err
	}
	site := &assembly.Site{
		Runtime: p.rt, Registry: p.b.registry, Secrets: p.b.world.Secrets(), APIKey: token, ReconcileEvery: p.b.pace.reconcileEvery,
		Seal: func() (*writer.Seal, error) { return writer.MakeSeal(filepath.Join(p.dir, "key")) },
	}
	for name, peer := range map[string]*grpc.ClientConnInterface{
		"ingest": &site.Peers.Ingest, "transform": &site.Peers.Transform, "writer": &site.Peers.Writer, "reconciler": &site.Peers.Reconciler, "audit": &site.Peers.Audit,
	} {
		c, err := p.b.dial(p.host, name)
		if err != nil {
			return nil, err
		}
		p.conns = append(p.conns, c)
		*peer = c
	}
	built, err := builders()[p.name](ctx, site)
	if err != nil {
		return nil, err
	}
	built.Register(p.server)
	return built, p.serveHTTP(built.Handler)
}

func (p *process) listen() error {
	l, err := p.host.Listen("tcp", p.b.address(p.name))
	if err != nil {
		return err
	}
	p.b.running.Go(func() { _ = p.server.Serve(l) })
	return nil
}

func (p *process) serveHTTP(h http.Handler) error {
	if h == nil {
		return nil
	}
	l, err := p.host.Listen("tcp", p.b.webhooks)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	p.web = append(p.web, srv)
	p.b.running.Go(func() { _ = srv.Serve(l) })
	return nil
}

// work prepares the vendors' side for as long as it takes, and works.
func (p *process) work(ctx context.Context, built *assembly.Built) error {
	var preparing sync.WaitGroup
	defer preparing.Wait()
	if built.Prepare != nil {
		preparing.Go(func() {
			for built.Prepare(ctx) != nil && idle.For(ctx, 5*time.Second) {
			}
		})
	}
	return run.Services(ctx, built.Service)
}

func (p *process) close() error {
	for _, srv := range p.web {
		_ = srv.Close()
	}
	if p.server != nil {
		p.server.Stop()
	}
	for _, c := range p.conns {
		_ = c.Close()
	}
	var err error
	if p.rt != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = p.rt.Close(ctx)
	}
	p.host.kill() // idle connections of the HTTP transport, too
	return err
}

// stop ends a process as an operator does: it drains.
func (b *bubble) stop(name string) error {
	p := b.processes[name]
	if p == nil {
		return fmt.Errorf("%s does not run", name)
	}
	delete(b.processes, name)
	p.cancel()
	<-p.ended
	return p.err
}

// kill ends a process as a power cut does. What is committed now is what its
// successor finds, in files of its own: what the dying goroutines still do is
// done to nobody's database and reaches nobody.
func (b *bubble) kill(name string) error {
	p := b.processes[name]
	if p == nil {
		return fmt.Errorf("%s does not run", name)
	}
	delete(b.processes, name)
	b.generation[name]++
	err := copyFolder(b.folder(name), p.dir)
	p.host.kill()
	p.cancel()
	return err
}

// folder is where a service's present life keeps its files.
func (b *bubble) folder(name string) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s.%d", name, b.generation[name]))
}

// copyFolder copies a process's files; of a database, what is committed.
func copyFolder(to, from string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal"):
			return err
		case strings.HasSuffix(path, ".db"):
			return copyDatabase(filepath.Join(to, d.Name()), path)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, d.Name()), raw, 0o600)
	})
}

func copyDatabase(to, from string) error {
	db, err := sql.Open("sqlite", from) // the driver that store has
	if err != nil {
		return err
	}
	_, err = db.Exec(`VACUUM INTO '` + strings.ReplaceAll(to, "'", "''") + `'`)
	return errors.Join(err, db.Close())
}
