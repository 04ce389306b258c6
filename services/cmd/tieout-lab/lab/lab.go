// Package lab runs the five services as processes on real parts, with sandboxes
// of both vendors, one address for all control planes and the console, and keeps
// them running as a cluster would.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/console"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/parts"
)

// readyWithin bounds how long the services may take to answer.
const readyWithin = 2 * time.Minute

// Options say what runs, and where.
type Options struct {
	// Dir holds the state; started again on it, everything goes on.
	Dir string
	// Bin is the folder of the five programs.
	Bin string
	// Replicas of a service; one where it says nothing.
	Replicas map[string]int
	// Jaeger takes traces.
	Jaeger bool
	// Collector is the configuration of a collector before Jaeger, with its window
	// and what it keeps of syncs that are well, in percent; "": none.
	Collector, Window, Percent string
	// Secure makes the parts speak TLS, and the services to them; nil: plain.
	Secure *parts.Secure
	Out    io.Writer // progress
	// Through leads the services to a part by another address, so that what is
	// between them can be harmed; nil: by its own.
	Through func(ctx context.Context, part, address string) (string, error)
	// CrashDir holds, for each service, the file that tells its processes where
	// to die; "": none. Programs built without crash points do not look at it.
	CrashDir string
}

// Lab is everything that runs.
type Lab struct {
	Parts *parts.Parts
	// Router leads to the services; it is their one address.
	Router *control.Router

	options  Options
	log      *slog.Logger
	logFile  *os.File
	lock     *os.File
	world    *world.World
	services []*service
	// configFile is what all services are told.
	configFile string
	conn       *grpc.ClientConn
	web        *http.Server
	serving    sync.WaitGroup

	mu   sync.Mutex
	file endpoints.File
}

// Start brings everything up and returns when all of it answers. After an error
// nothing is left running.
func Start(ctx context.Context, o Options) (*Lab, error) {
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	l := &Lab{options: o}
	if l.lock, err = lock(filepath.Join(o.Dir, "lock")); err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	return l, nil
}

// lock keeps a second one out of the folder.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder is in use (%s is locked): run 'make down' with the same DIR, or choose another", path), f.Close())
	}
	return f, nil
}

// Runs reports whether somebody runs on a folder: a pid that stands in a file
// may have been given to another process since.
func Runs(dir string) bool {
	f, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_ = f.Close()
	return false
}

func (l *Lab) start(ctx context.Context) (err error) {
	if l.logFile, err = os.OpenFile(filepath.Join(l.options.Dir, "logs", "lab.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	l.log = slog.New(slog.NewJSONHandler(l.logFile, nil))
	if err := endpoints.Remove(l.options.Dir); err != nil {
		return err
	}
	if l.Parts, err = parts.Start(ctx, parts.Config{Dir: l.partsDir(), Out: l.options.Out, Jaeger: l.options.Jaeger, Secure: l.options.Secure,
		Collector: l.options.Collector, Window: l.options.Window, Percent: l.options.Percent}); err != nil {
		return err
	}
	from := time.Now()
	if err := l.startRouter(ctx); err != nil {
		return err
	}
	if err := l.startServices(ctx); err != nil {
		return err
	}
	if err := l.startConsole(ctx); err != nil {
		return err
	}
	if err := l.ready(ctx); err != nil {
		return err
	}
	l.say("five services answer after %s", time.Since(from).Round(10*time.Millisecond))
	return l.publish()
}

// Options are those that it was started with.
func (l *Lab) Options() Options { return l.options }

func (l *Lab) partsDir() string { return filepath.Join(l.options.Dir, "parts") }

func (l *Lab) say(format string, args ...any) {
	if l.options.Out != nil {
		fmt.Fprintf(l.options.Out, format+"\n", args...)
	}
}

// listen opens a loopback address that is the same at the next start.
func (l *Lab) listen(ctx context.Context, name string) (net.Listener, error) {
	return parts.Listen(ctx, l.partsDir(), name)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startRouter opens the one address that leads to every service.
func (l *Lab) startRouter(ctx context.Context) error {
	at, err := l.listen(ctx, "control")
	if err != nil {
		return err
	}
	token, err := secret(l.options.Dir, "control.token")
	if err != nil {
		return errors.Join(err, at.Close())
	}
	l.Router = control.NewRouter()
	l.serving.Go(func() {
		if err := l.Router.Serve(at); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			l.log.Error("the control plane is not served", "error", err)
		}
	})
	l.file.Control = endpoints.Control{Address: at.Addr().String(), Token: token}
	l.conn, err = control.Dial(at.Addr().String(), token, nil)
	return err
}

func (l *Lab) startConsole(ctx context.Context) error {
	at, err := l.listen(ctx, "console")
	if err != nil {
		return err
	}
	var entities []console.Entity
	for _, e := range l.world.Registry().Entities {
		entities = append(entities, console.Entity{ID: e.ID, Tenant: e.Tenant})
	}
	c, err := console.New(l.conn, entities, l.log, time.Now)
	if err != nil {
		return errors.Join(err, at.Close())
	}
	h, err := c.Handler()
	if err != nil {
		return errors.Join(err, at.Close())
	}
	l.web = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	l.file.Console = "http://" + at.Addr().String()
	l.serving.Go(func() {
		if err := l.web.Serve(at); err != nil && !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("the console is not served", "error", err)
		}
	})
	return nil
}

// ready waits until every service takes work, or one of them gives up.
func (l *Lab) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, s := range l.services {
		if err := s.await(ctx); err != nil {
			return err
		}
	}
	return world.Ready(ctx, l.conn)
}

// publish writes endpoints.json as things are now.
func (l *Lab) publish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.file
	f.Version, f.State, f.PID = 1, "ready", os.Getpid()
	f.Kafka, f.Redis, f.Postgres = l.Parts.Kafka.Brokers, l.Parts.Redis.Address, l.Parts.Postgres.URLWithPassword()
	if l.Parts.Jaeger != nil {
		f.OTLP, f.Jaeger = l.Parts.Jaeger.OTLP, l.Parts.Jaeger.Query
	}
	f.Sandboxes, f.Entities = l.world.Sandboxes, []endpoints.Entity{{ID: world.EntityID, Currency: world.Currency}}
	f.Services = map[string]endpoints.Service{}
	for _, s := range l.services {
		f.Services[s.label()] = endpoints.Service{PID: s.pid(), GRPC: s.grpc, HTTP: s.http, Metrics: s.status}
	}
	return endpoints.Write(l.options.Dir, f)
}

// File is what endpoints.json says.
func (l *Lab) File() endpoints.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file
}

// Stop drains the services, ends everything else and keeps all data.
func (l *Lab) Stop() error {
	errs := []error{endpoints.Remove(l.options.Dir)}
	var stopping sync.WaitGroup
	stopped := make([]error, len(l.services))
	for i, s := range l.services {
		stopping.Go(func() { stopped[i] = s.stop() })
	}
	stopping.Wait()
	errs = append(errs, stopped...)
	if l.web != nil {
		errs = append(errs, l.web.Close())
	}
	if l.conn != nil {
		errs = append(errs, l.conn.Close())
	}
	if l.Router != nil {
		l.Router.Stop()
	}
	l.serving.Wait()
	errs = append(errs, endpoints.Remove(l.options.Dir)) // who was writing it has done so
	if l.world != nil {
		errs = append(errs, l.world.Close())
	}
	if l.Parts != nil {
		errs = append(errs, l.Parts.Stop())
	}
	for _, f := range []*os.File{l.logFile, l.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Kill ends a service's replica (from 1 on) at once, as a lost machine would.
func (l *Lab) Kill(name string, replica int) error {
	s, err := l.replica(name, replica)
	if err != nil {
		return err
	}
	return s.kill()
}
