package bubble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/cmd/tieout/books"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/run"
)

const (
	partitions = 2
	token      = "the one token"
	// readyWithin is virtual, as all time in here.
	// longest session of a group that the brokers take; its milliseconds fit 32 bits.
	longest     = 20 * 24 * time.Hour
	readyWithin = 2 * time.Minute
)

// began is when every story begins: a Monday morning.
func began() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

// pace is how often things are looked at that nothing wakes.
type pace struct {
	rest           time.Duration // 0: as in production
	pollEvery      time.Duration // of the CRM
	reconcileEvery time.Duration // 0: on demand alone
}

// bubble is the whole system in one synctest bubble.
type bubble struct {
	t    *testing.T
	ctx  context.Context // ends when the story is over
	over context.CancelFunc
	dir  string
	log  *slog.Logger
	pace pace

	network  *network
	person   *host // who tries it: the drivers of both vendors and the control plane's client
	kafka    *kfake.Cluster
	brokers  []string
	webhooks string
	world    *world.World
	registry *registry.Registry

	ports      map[string]int
	processes  map[string]*process
	born       map[string]int
	generation map[string]int
	running    sync.WaitGroup

	client     *http.Client
	think      time.Duration // before a person does the next thing in the CRM
	portal     crm.Portal
	company    books.Company
	ingest     controlv1.IngestServiceClient
	writer     controlv1.WriterServiceClient
	reconciler controlv1.ReconcilerServiceClient
	audit      controlv1.AuditServiceClient
	conns      []*grpc.ClientConn
}

// inside runs a story in a bubble of its own. The folder and the log are made
// outside: files know no virtual time.
func inside(t *testing.T, p pace, story func(b *bubble)) {
	t.Helper()
	dir := folder(t)
	log := slog.New(slog.DiscardHandler)
	if path := os.Getenv("TIEOUT_BUBBLE_LOG"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(began()))
		b := &bubble{t: t, dir: dir, log: log, pace: p, network: newNetwork(), ports: map[string]int{}, processes: map[string]*process{}, born: map[string]int{}, generation: map[string]int{}}
		b.ctx, b.over = context.WithCancel(t.Context())
		defer b.close()
		if err := b.open(t.Context()); err != nil {
			t.Error(err)
			return
		}
		story(b)
	})
}

// folder is in memory where the system has such a place: no power cut will ever
// hit these files, and waiting for a disk is what takes longest.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bubble")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (b *bubble) open(ctx context.Context) error {
	b.person = b.network.host("person")
	b.client = &http.Client{Transport: b.transport(b.person)}
	if err := b.openBroker(); err != nil {
		return err
	}
	if err := b.openWorld(ctx); err != nil {
		return err
	}
	if err := b.makeTopics(ctx); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	for _, name := range names() {
		if err := b.start(name); err != nil {
			return err
		}
	}
	return b.ready(ctx)
}

func (b *bubble) openBroker() (err error) {
	h := b.network.host("kafka")
	b.kafka, err = kfake.NewCluster(kfake.Ports(9001, 9002, 9003), kfake.ListenFn(h.Listen), kfake.GroupMaxSessionTimeout(longest))
	if err == nil {
		b.brokers = b.kafka.ListenAddrs()
	}
	return err
}

func (b *bubble) openWorld(ctx context.Context) (err error) {
	b.webhooks = b.address("webhooks")
	vendors := b.network.host("vendors")
	b.world, err = world.Start(ctx, world.Config{
		Dir: b.dir, Log: b.log, WebhookURL: "http://" + b.webhooks + "/webhooks/hubspot", HTTP: b.transport(vendors),
		Listen: func(name string) (net.Listener, error) { return vendors.Listen("tcp", b.address(name)) },
	})
	if err != nil {
		return err
	}
	b.registry = b.world.Registry()
	for i := range b.registry.Connections {
		if b.registry.Connections[i].PollEvery > 0 {
			b.registry.Connections[i].PollEvery = b.pace.pollEvery
		}
	}
	h, q := b.world.Sandboxes["hubspot"], b.world.Sandboxes["quickbooks"]
	b.portal = crm.Portal{BaseURL: h.BaseURL, Token: h.ReaderToken, HTTP: &http.Client{Transport: &thinking{b}}}
	b.company = books.Company{BaseURL: q.BaseURL, Realm: q.RealmID, Token: q.ReaderToken, HTTP: b.client}
	return b.registry.Check()
}

func (b *bubble) makeTopics(ctx context.Context) error {
	rt, err := run.New(run.Config{Kafka: b.brokers, Partitions: partitions, Replication: 3, Log: b.log, Dial: b.person.Dial})
	if err != nil {
		return err
	}
	return errors.Join(rt.Bus.EnsureTopics(ctx, rt.Topics()), rt.Close(ctx))
}

// connect makes the person's clients of the control plane.
func (b *bubble) connect() error {
	of := map[string]*grpc.ClientConn{}
	for _, name := range names() {
		c, err := b.dial(b.person, name)
		if err != nil {
			return err
		}
		of[name] = c
		b.conns = append(b.conns, c)
	}
	b.ingest, b.writer = controlv1.NewIngestServiceClient(of["ingest"]), controlv1.NewWriterServiceClient(of["writer"])
	b.reconciler, b.audit = controlv1.NewReconcilerServiceClient(of["reconciler"]), controlv1.NewAuditServiceClient(of["audit"])
	return nil
}

// dial connects a host to a service's control plane.
func (b *bubble) dial(from *host, service string) (*grpc.ClientConn, error) {
	return control.Dial(b.address(service), token, func(ctx context.Context, address string) (net.Conn, error) { return from.Dial(ctx, "tcp", address) })
}

// address is the same for every life of a service.
func (b *bubble) address(name string) string {
	if b.ports[name] == 0 {
		b.ports[name] = b.network.port()
	}
	return fmt.Sprintf("127.0.0.1:%d", b.ports[name])
}

func (b *bubble) transport(h *host) *http.Transport {
	return &http.Transport{DialContext: h.Dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
}

// thinking is the person at the CRM, who does one thing after the other: what
// happens at one instant of virtual time has no order.
type thinking struct{ b *bubble }

func (t *thinking) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && !idle.For(r.Context(), t.b.think) {
		return nil, r.Context().Err()
	}
	return t.b.client.Transport.RoundTrip(r)
}

// ready waits until each target has an owner and the CRM was listed once.
func (b *bubble) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		w, werr := b.writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
		i, ierr := b.ingest.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
		if werr == nil && ierr == nil && owned(w) && polled(i) {
			return nil
		}
		if !idle.For(ctx, time.Second) {
			return fmt.Errorf("not ready: %w", errors.Join(ctx.Err(), werr, ierr))
		}
	}
}

func owned(w *controlv1.WriterStatusResponse) bool {
	for _, t := range w.GetTargets() {
		if t.GetQuotaLimit() == 0 {
			return false
		}
	}
	return len(w.GetTargets()) > 0
}

func polled(i *controlv1.IngestStatusResponse) bool {
	for _, p := range i.GetPolls() {
		if p.GetCompleted() == 0 {
			return false
		}
	}
	return true
}

// close ends everything; a goroutine that stays behind fails the test.
func (b *bubble) close() {
	b.over()
	var ends []chan struct{}
	for name, p := range b.processes {
		delete(b.processes, name)
		p.cancel()
		ends = append(ends, p.ended)
	}
	for _, e := range ends {
		<-e
	}
	for _, c := range b.conns {
		_ = c.Close()
	}
	if b.world != nil {
		if err := b.world.Close(); err != nil {
			b.t.Error(err)
		}
	}
	if b.kafka != nil {
		b.kafka.Close()
	}
	b.person.kill()
	b.running.Wait()
}
