package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/parts"
)

const (
	// restartAfter is how long a dead service stays dead.
	restartAfter = 300 * time.Millisecond
	// drainWithin is what a service has to drain before it is killed.
	drainWithin = 40 * time.Second
	// badConfiguration is the exit code after which starting again is no use.
	badConfiguration = 2
)

var errStopping = errors.New("it is to end")

// service is one replica, and whoever keeps it running.
type service struct {
	lab                *Lab
	name               string
	replica            int
	grpc, http, status string // addresses
	env                []string

	mu       sync.Mutex
	cmd      *exec.Cmd
	stopping bool
	gaveUp   error
	ended    chan struct{} // closed when nobody keeps it running any more
}

// label is the name in endpoints.json: writer, writer-2, …
func (s *service) label() string {
	if s.replica == 1 {
		return s.name
	}
	return fmt.Sprintf("%s-%d", s.name, s.replica)
}

// startServices writes the configuration and starts every replica.
func (l *Lab) startServices(ctx context.Context) error {
	routes := map[string][]string{}
	for _, name := range config.Services() {
		for r := range max(1, l.options.Replicas[name]) {
			s := &service{lab: l, name: name, replica: r + 1, ended: make(chan struct{})}
			p, err := parts.Ports(ctx, l.partsDir(), s.label(), 3)
			if err != nil {
				return err
			}
			s.grpc, s.status = loopback(p[0]), loopback(p[1])
			s.env = []string{"TIEOUT_LISTEN_GRPC=" + s.grpc, "TIEOUT_LISTEN_STATUS=" + s.status}
			if name == "ingest" {
				s.http = loopback(p[2])
				s.env = append(s.env, "TIEOUT_LISTEN_HTTP="+s.http)
			}
			if l.options.CrashDir != "" {
				s.env = append(s.env, crash.EnvFile+"="+filepath.Join(l.options.CrashDir, name))
			}
			routes[name] = append(routes[name], s.grpc)
			close(s.ended) // nobody runs it yet
			l.services = append(l.services, s)
		}
	}
	for name, addresses := range routes {
		if err := l.Router.Route(name, addresses...); err != nil {
			return err
		}
	}
	if err := l.startWorld(ctx); err != nil {
		return err
	}
	file, err := l.configure(ctx)
	if err != nil {
		return err
	}
	l.configFile = file
	for _, s := range l.services {
		s.ended = make(chan struct{})
		go s.keep(file) // until stop, which waits for it
	}
	return nil
}

func (l *Lab) startWorld(ctx context.Context) (err error) {
	ingest := l.services[0].http
	l.world, err = world.Start(ctx, world.Config{Dir: l.options.Dir, Log: l.log, Listen: l.fixed(ctx), WebhookURL: "http://" + ingest + "/webhooks/hubspot"})
	if err != nil {
		return err
	}
	key, err := secret(l.options.Dir, "api.key")
	l.file.API = &endpoints.API{BaseURL: "http://" + ingest, Key: key}
	return err
}

// keep starts the service again whenever it ends, as a cluster does.
func (s *service) keep(file string) {
	defer close(s.ended)
	for {
		cmd, err := s.launch(file)
		if errors.Is(err, errStopping) {
			return
		}
		if err != nil {
			s.giveUp(err)
			return
		}
		err = cmd.Wait()
		_ = parts.Forget(s.lab.partsDir(), "service-"+s.label())
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == badConfiguration {
			s.giveUp(fmt.Errorf("%s refuses its configuration: see %s", s.label(), s.logPath()))
			return
		}
		if s.over() {
			return
		}
		s.lab.log.Warn("a service ended and is started again", "service", s.label(), "error", fmt.Sprint(err))
		timer := time.NewTimer(restartAfter)
		<-timer.C
		if s.over() {
			return
		}
	}
}

func (s *service) logPath() string {
	return filepath.Join(s.lab.options.Dir, "logs", s.label()+".log")
}

func (s *service) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

func (s *service) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaveUp = err
}

// launch starts the program once and keeps the pids in endpoints.json true.
func (s *service) launch(file string) (*exec.Cmd, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(s.lab.options.Bin, s.name), "--config", file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TIEOUT_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, s.env...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w: build it with 'make build'", s.label(), err)
	}
	s.cmd = cmd
	if err := parts.Record(s.lab.partsDir(), "service-"+s.label(), cmd.Process.Pid); err != nil {
		s.lab.log.Error("a pid was not written down", "service", s.label(), "error", err)
	}
	s.lab.serving.Go(s.lab.moved) // not under this lock: it reads all pids
	return cmd, nil
}

// moved writes endpoints.json anew when it is there already.
func (l *Lab) moved() {
	if _, err := os.Stat(filepath.Join(l.options.Dir, endpoints.Name)); err != nil {
		return
	}
	if err := l.publish(); err != nil {
		l.log.Error("endpoints.json was not written", "error", err)
	}
}

func (s *service) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil || s.cmd.Process == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

func (s *service) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (s *service) kill() error { return s.signal(syscall.SIGKILL) }

// stop lets it drain.
func (s *service) stop() error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(drainWithin)
	defer timer.Stop()
	select {
	case <-s.ended:
		return nil
	case <-timer.C:
	}
	err := s.kill()
	<-s.ended
	return errors.Join(fmt.Errorf("%s did not drain within %s and was killed: see %s", s.label(), drainWithin, s.logPath()), err)
}

// await waits until it takes work.
func (s *service) await(ctx context.Context) error {
	why := "it does not answer"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.status+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			var body struct{ Waiting map[string]string }
			_ = json.NewDecoder(resp.Body).Decode(&body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			why = fmt.Sprint(body.Waiting)
		}
		s.mu.Lock()
		gaveUp := s.gaveUp
		s.mu.Unlock()
		if gaveUp != nil {
			return gaveUp
		}
		if !idle.For(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s is not ready: %s (see %s): %w", s.label(), why, s.logPath(), ctx.Err())
		}
	}
}
