//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/parts/partstest"
	"tieout.dev/services/internal/parts/securetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trust"
)

// labWithin bounds everything that runs on real parts, the first fetch of them
// left out.
const labWithin = 15 * time.Minute

// onRealParts starts two replicas of each service on real parts and looks at
// them from outside, as at 'tieout dev'. What goes between services and parts is
// secured, with logins and certificates, and what goes to the database passes
// what can cut it.
func onRealParts(t *testing.T) (*outside, *lab.Lab, *parts.Toxiproxy) {
	t.Helper()
	toxi, err := parts.StartToxiproxy(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = toxi.Stop() })
	o, l := onParts(t, func(o *lab.Options) {
		o.Replicas = map[string]int{}
		for _, name := range config.Services() {
			o.Replicas[name] = 2
		}
		o.Through = toxi.Through
		o.Secure, _ = securetest.New(t, t.TempDir())
	})
	return o, l, toxi
}

// onParts starts a lab with other options than the usual ones.
func onParts(t testing.TB, change func(*lab.Options)) (*outside, *lab.Lab) {
	t.Helper()
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+"/", "tieout.dev/services/cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	o := &outside{t: t, dir: partstest.Dir(t), bin: filepath.Join(bin, "tieout"), output: &bytes.Buffer{}}
	options := lab.Options{Dir: o.dir, Bin: bin, Jaeger: true, Out: os.Stderr}
	change(&options)
	l, err := lab.Start(t.Context(), options)
	var absent *parts.AbsentError
	if errors.As(err, &absent) {
		fmt.Fprintln(os.Stderr, absent) // make integration turns this into its exit code
		t.Fatalf("absent: %v", absent)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endsWithNothingLeft(t, o.dir, l) })
	file := l.File()
	o.file = &file
	o.portal = crm.Portal{BaseURL: file.Sandboxes["hubspot"].BaseURL, Token: file.Sandboxes["hubspot"].ReaderToken}
	return o, l
}

// endsWithNothingLeft: no process of the folder and no address of it remains.
func endsWithNothingLeft(t testing.TB, dir string, l *lab.Lab) {
	f := l.File()
	if t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*.log"))
		for _, path := range logs {
			if b, err := os.ReadFile(path); err == nil {
				t.Logf("%s ends with\n%s", filepath.Base(path), b[max(0, len(b)-2500):])
			}
		}
	}
	if err := l.Stop(); err != nil {
		t.Error(err)
	}
	addresses := append([]string{f.Control.Address, f.Redis, address(t, f.Postgres), address(t, f.Jaeger), address(t, f.OTLP), address(t, f.Console)}, f.Kafka...)
	for _, s := range f.Services {
		addresses = append(addresses, s.GRPC, s.Metrics)
	}
	for _, a := range addresses {
		if c, err := net.DialTimeout("tcp", a, time.Second); err == nil {
			_ = c.Close()
			t.Errorf("%s still answers", a)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) && filepath.Base(filepath.Dir(p)) != strconv.Itoa(os.Getpid()) {
			t.Errorf("%s still runs: %s", filepath.Base(filepath.Dir(p)), bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
}

func address(t testing.TB, text string) string {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// loss is something that a cluster suffers, and how it ends.
type loss struct {
	name string
	harm func() error
	heal func() error
}

// losses are those that the main job is done under.
func losses(ctx context.Context, o *outside, l *lab.Lab, toxi *parts.Toxiproxy) []loss {
	return []loss{
		{name: "nothing is harmed"},
		{name: "the first replica of each service is killed", harm: func() error { return each(l, 1, syscall.SIGKILL) }},
		{name: "the second replica of each service is killed", harm: func() error { return each(l, 2, syscall.SIGKILL) }},
		{
			name: "the first replica of each service is frozen for longer than its session, and thawed",
			harm: func() error {
				err := each(l, 1, syscall.SIGSTOP)
				<-time.After(frozenFor)
				return err
			},
			heal: func() error { return each(l, 1, syscall.SIGCONT) },
		},
		{name: "all replicas are rolled, one after the other", harm: func() error { return roll(ctx, l) }},
		{name: "Redis forgets everything", harm: func() error { return l.Parts.Redis.Flush(ctx) }},
		{name: "Redis is away", harm: l.Parts.Redis.Stop, heal: func() error { return l.Parts.Redis.Start(ctx) }},
		{name: "PostgreSQL stops at once and comes back", harm: func() error { return errors.Join(l.Parts.Postgres.Crash(), l.Parts.Postgres.Start(ctx)) }},
		{name: "connections are cut between commit and answer", harm: func() error {
			return toxi.Poison(ctx, "postgres", `{"name":"harm","type":"reset_peer","stream":"downstream","attributes":{"timeout":100}}`, cutFor)
		}},
		{name: "the broker that leads is killed", harm: func() error {
			n, err := leader(ctx, l, o.file.Sandboxes["quickbooks"].Account)
			if err != nil {
				return err
			}
			return l.Parts.Kafka.Kill(n)
		}, heal: func() error { return o.revive(ctx, l) }},
		{name: "all brokers are rolled", harm: func() error {
			var errs []error
			for n := range l.Parts.Kafka.Brokers {
				errs = append(errs, l.Parts.Kafka.StopBroker(n+1), l.Parts.Kafka.StartBroker(ctx, n+1))
			}
			return errors.Join(errs...)
		}},
	}
}

// frozenFor is longer than the session of a consumer group's member.
const (
	frozenFor = 9 * time.Second
	cutFor    = 4 * time.Second
)

// each sends a signal to one replica of every service.
func each(l *lab.Lab, replica int, sig syscall.Signal) error {
	var errs []error
	for _, name := range config.Services() {
		errs = append(errs, l.Signal(name, replica, sig))
	}
	return errors.Join(errs...)
}

// roll drains and starts every replica again, as an upgrade does.
func roll(ctx context.Context, l *lab.Lab) error {
	for _, name := range config.Services() {
		for n := 1; n <= l.Replicas(name); n++ {
			if err := l.Hold(name, n); err != nil {
				return err
			}
			if err := l.Resume(ctx, name, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// The main job on real parts, under the losses that a cluster has. Each deal is
// one invoice with the right cents in the end, and both sides agree.
func TestFiveProcessesOnRealParts(t *testing.T) {
	o, l, toxi := onRealParts(t)
	ctx, cancel := context.WithTimeout(t.Context(), labWithin)
	defer cancel()
	d := newDeals(o, 6)
	for _, c := range losses(ctx, o, l, toxi) {
		ok := t.Run(c.name, func(t *testing.T) {
			o.t = t
			from, before := time.Now(), len(d.want)
			d.winUnder(c)
			o.run("wait", "--settled", "--at-least", fmt.Sprint(len(d.want)), "--timeout", "180s")
			d.check(c.name)
			o.run("reconcile", "--wait")
			t.Logf("%d deals were won, %d are one invoice each, %s after the first of them", len(d.want)-before, len(d.want), time.Since(from).Round(100*time.Millisecond))
		})
		o.t = t
		if !ok {
			return
		}
	}
	d.checkWrittenBack()
	o.checkTraced(ctx, o.live()["nothing is harmed 0"][0].DocNumber)
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		t.Errorf("something is left for a person: %s", list)
	}
}

// winUnder wins deals while something is harmed: eight at least, and on until
// the harm is over.
func (d *deals) winUnder(c loss) {
	d.o.t.Helper()
	over := make(chan error, 1)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i, harmed := 0, false; i < 8 || !harmed; i++ {
		if i == 3 && c.harm != nil {
			go func() { over <- c.harm() }()
		} else if i == 3 {
			over <- nil
		}
		d.win(fmt.Sprintf("%s %d", c.name, i))
		select {
		case err := <-over:
			if err != nil {
				d.o.t.Fatal(err)
			}
			harmed = true
		case <-tick.C:
		}
	}
	if c.heal != nil {
		if err := c.heal(); err != nil {
			d.o.t.Fatal(err)
		}
	}
}

// leader is the broker (1 to 3) that leads the partition of an account's documents.
func leader(ctx context.Context, l *lab.Lab, account string) (int, error) {
	topic := document.Topic(event.Realtime)
	cl, err := bus(l)
	if err != nil {
		return 0, err
	}
	defer func() { _ = cl.Close() }()
	n, err := cl.Partitions(ctx, topic)
	if err != nil {
		return 0, err
	}
	at, err := cl.Leader(ctx, topic, stream.Partition(account, n))
	return slices.Index(l.Parts.Kafka.Brokers, at) + 1, err
}

// bus reaches the lab's brokers as its services do.
func bus(l *lab.Lab) (*stream.Client, error) {
	cfg := stream.Config{Brokers: l.Parts.Kafka.Brokers, ClientID: "test"}
	if s := l.Options().Secure; s != nil {
		password := filepath.Join(l.Options().Dir, "kafka.password")
		if err := os.WriteFile(password, []byte(s.Password), 0o600); err != nil {
			return nil, err
		}
		cfg.TLS, cfg.Login = trust.TLS{Enabled: true, CA: s.CA}, stream.Login{User: s.User, Password: trust.Secret(password)}
	}
	return stream.NewClient(cfg)
}

// revive starts the broker that was killed.
func (o *outside) revive(ctx context.Context, l *lab.Lab) error {
	for n, a := range l.Parts.Kafka.Brokers {
		if c, err := net.DialTimeout("tcp", a, time.Second); err == nil {
			_ = c.Close()
			continue
		}
		return l.Parts.Kafka.StartBroker(ctx, n+1)
	}
	return nil
}

// checkTraced: whoever has an invoice's number finds its whole way, through every
// process and both topics, in one trace.
func (o *outside) checkTraced(ctx context.Context, number string) {
	o.t.Helper()
	found := o.kept(ctx, "writer", map[string]string{"accounting.invoice.number": number}, wholeWay...)
	o.t.Logf("invoice %s leads to trace %s of %d spans", number, found.TraceID, len(found.Spans))
}

// jaegerTrace is a trace as Jaeger's HTTP API shows it.
type jaegerTrace struct {
	TraceID string
	Spans   []struct {
		OperationName, ProcessID string
		Tags                     []struct {
			Key   string
			Value any
		}
	}
	Processes map[string]struct{ ServiceName string }
}

// lacks returns which of "service operation…" no span begins with.
func (j jaegerTrace) lacks(want ...string) []string {
	var missing []string
	for _, w := range want {
		found := false
		for _, s := range j.Spans {
			found = found || strings.HasPrefix(j.Processes[s.ProcessID].ServiceName+" "+s.OperationName, w)
		}
		if !found {
			missing = append(missing, w)
		}
	}
	return missing
}
