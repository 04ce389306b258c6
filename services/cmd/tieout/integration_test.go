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
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/cmd/tieout/crm"
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

// onRealParts starts the five services on real parts and looks at them from
// outside, as at 'tieout dev'. Two replicas of the writer share the targets; what
// goes between services and parts is secured, with logins and certificates.
func onRealParts(t *testing.T) (*outside, *lab.Lab) {
	t.Helper()
	return onParts(t, func(o *lab.Options) {
		o.Replicas = map[string]int{"writer": 2}
		o.Secure, _ = securetest.New(t, t.TempDir())
	})
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

// The main job on real parts, under the losses that a cluster has. Each deal is
// one invoice with the right cents in the end, and both sides agree.
func TestFiveProcessesOnRealParts(t *testing.T) {
	o, l := onRealParts(t)
	ctx, cancel := context.WithTimeout(t.Context(), labWithin)
	defer cancel()
	d := newDeals(o, 6)
	for _, c := range []struct {
		name string
		harm func() error
		heal func() error
	}{
		{name: "nothing is harmed"},
		{name: "the first writer is killed", harm: func() error { return l.Kill("writer", 1) }},
		{name: "the second writer is killed", harm: func() error { return l.Kill("writer", 2) }},
		{name: "ingest and transform are killed", harm: func() error { return errors.Join(l.Kill("ingest", 1), l.Kill("transform", 1)) }},
		{name: "Redis forgets everything", harm: func() error { return l.Parts.Redis.Flush(ctx) }},
		{name: "Redis is away", harm: l.Parts.Redis.Stop, heal: func() error { return l.Parts.Redis.Start(ctx) }},
		{name: "PostgreSQL stops at once and comes back", harm: func() error { return errors.Join(l.Parts.Postgres.Crash(), l.Parts.Postgres.Start(ctx)) }},
		{name: "the broker that leads is killed", harm: func() error { return l.Parts.Kafka.Kill(o.leader(ctx, l)) }, heal: func() error { return o.revive(ctx, l) }},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			o.t = t
			from := time.Now()
			for i := range 8 {
				d.win(fmt.Sprintf("%s %d", c.name, i))
				if i == 3 && c.harm != nil {
					if err := c.harm(); err != nil {
						t.Fatal(err)
					}
				}
			}
			o.run("wait", "--settled", "--at-least", fmt.Sprint(len(d.want)), "--timeout", "180s")
			if c.heal != nil {
				if err := c.heal(); err != nil {
					t.Fatal(err)
				}
			}
			d.check(c.name)
			t.Logf("%d deals are one invoice each, %s after the first of these eight", len(d.want), time.Since(from).Round(100*time.Millisecond))
		})
		o.t = t
		if !ok {
			return
		}
	}
	o.run("reconcile", "--wait")
	d.checkWrittenBack()
	o.checkTraced(ctx, o.live()["nothing is harmed 0"][0].DocNumber)
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		t.Errorf("something is left for a person: %s", list)
	}
}

// leader is the broker (1 to 3) that leads the partition of the books' documents.
func (o *outside) leader(ctx context.Context, l *lab.Lab) int {
	o.t.Helper()
	topic := document.Topic(event.Realtime)
	cl := bus(o.t, l)
	defer cl.Close()
	n, err := cl.Partitions(ctx, topic)
	if err != nil {
		o.t.Fatal(err)
	}
	want := stream.Partition(o.file.Sandboxes["quickbooks"].Account, n)
	leader, err := cl.Leader(ctx, topic, want)
	if err != nil {
		o.t.Fatal(err)
	}
	i := slices.Index(l.Parts.Kafka.Brokers, leader)
	o.t.Logf("broker %d leads partition %d of %s", i+1, want, topic)
	return i + 1
}

// bus reaches the lab's brokers as its services do.
func bus(t testing.TB, l *lab.Lab) *stream.Client {
	t.Helper()
	cfg := stream.Config{Brokers: l.Parts.Kafka.Brokers, ClientID: "test"}
	if s := l.Options().Secure; s != nil {
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte(s.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.TLS, cfg.Login = trust.TLS{Enabled: true, CA: s.CA}, stream.Login{User: s.User, Password: trust.Secret(password)}
	}
	cl, err := stream.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cl
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
