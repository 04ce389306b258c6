package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace/noop"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// portal is a source that holds records in memory.
type portal struct {
	mu      sync.Mutex
	records map[string]connector.Record
	fail    int  // so many fetches fail
	breaks  bool // a listing ends with an error
	quiet   bool // a listing of changes brings nothing
	fetched int
}

func (p *portal) put(id, content, customer string, mergedFrom ...event.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ref := dealRef(id)
	p.records[id] = connector.Record{Ref: ref, Version: content, ChangedAt: time.Now(), Customer: parse(customer), Data: []byte(`{"v":"` + content + `"}`), Hash: content, MergedFrom: mergedFrom}
}

func (p *portal) Changes(_ context.Context, _, _ string) iter.Seq2[connector.Change, error] {
	return func(yield func(connector.Change, error) bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, r := range p.records {
			if p.quiet {
				return
			}
			if !yield(connector.Change{Ref: r.Ref, Cursor: "c", Version: r.Version}, nil) {
				return
			}
		}
		if p.breaks {
			yield(connector.Change{}, fault.New(fault.Transient, "the portal is away"))
		}
	}
}

func (p *portal) Fetch(_ context.Context, _ string, ids []string) ([]connector.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched++
	if p.fail > 0 {
		p.fail--
		return nil, fault.New(fault.Transient, "the portal is away")
	}
	var out []connector.Record
	for _, id := range ids {
		r, ok := p.records[id]
		if !ok {
			r = connector.Record{Ref: dealRef(id), Deleted: true, Absent: true, ChangedAt: time.Now(), Data: []byte(`{}`)}
		}
		out = append(out, r)
	}
	return out, nil
}

func (p *portal) List(context.Context, string) iter.Seq2[event.Ref, error] {
	return func(yield func(event.Ref, error) bool) {
		p.mu.Lock()
		ids := slices.Sorted(maps.Keys(p.records))
		p.mu.Unlock()
		for _, id := range ids {
			if !yield(dealRef(id), nil) {
				return
			}
		}
	}
}

// hook takes "id id id" as a delivery, signed by the word secret.
type hook struct{}

func (hook) Receive(r *http.Request, _ string, body []byte) ([]connector.Hint, error) {
	if r.Header.Get("Signature") != "secret" {
		return nil, fault.New(fault.Unauthorized, "forged")
	}
	var out []connector.Hint
	for _, id := range strings.Fields(string(body)) {
		h := connector.Hint{Ref: dealRef(id)}
		if delivery := r.Header.Get("Delivery"); delivery != "" {
			h.DeliveryID = delivery + id
		}
		out = append(out, h)
	}
	return out, nil
}

func parse(s string) event.Ref {
	r, err := event.ParseRef(s)
	if err != nil {
		return event.Ref{}
	}
	return r
}

func dealRef(id string) event.Ref {
	return event.Ref{System: "hubspot", Account: "1", Type: "deal", ID: id}
}

type world struct {
	t      *testing.T
	in     *Ingest
	portal *portal
	db     *store.DB
	bus    *stream.Client
	doc    func() *described // of the HTTP API
}

func open(t *testing.T) *world {
	t.Helper()
	p := &portal{records: map[string]connector.Record{}}
	w := openOn(t, registry.Connection{ID: "crm", Tenant: "acme", Account: "hubspot/1", App: "hubspot", PollEvery: time.Hour}, &connector.Connection{Source: p, Webhook: hook{}})
	w.portal = p
	return w
}

// openOn makes the service for one connection of deals.
func openOn(t *testing.T, crm registry.Connection, conn *connector.Connection) *world {
	t.Helper()
	dir := t.TempDir()
	parts, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parts.Close() })
	bus, err := stream.NewClient(stream.Config{Brokers: parts.Kafka, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	if err := bus.EnsureTopics(t.Context(), []stream.Topic{{Name: event.Realtime.Topic(), Partitions: 1}, {Name: event.Bulk.Topic(), Partitions: 1}, {Name: trail.Topic, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: filepath.Join(dir, "ingest.db"), Name: Name, Migrations: Migrations}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	memory := redis.NewClient(&redis.Options{Addr: parts.Redis, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { memory.Close() })
	w := &world{t: t, db: db, bus: bus, doc: sync.OnceValue(func() *described { return readDocument(t) })}
	reg := &registry.Registry{
		Entities:    []registry.Entity{{ID: "ie", Tenant: "acme", Zone: "UTC"}},
		Connections: []registry.Connection{crm, {ID: "books", Account: "quickbooks/9"}},
		Routes: []registry.Route{
			{ID: "deals", Connection: "crm", Type: "deal", Target: "quickbooks/9", Entity: "ie", Mapping: "m"},
			{ID: "back", Connection: "books", Type: "INVOICE", Target: "hubspot/1", Entity: "ie", Mapping: "b", WriteBack: true},
		},
	}
	w.in, err = New(Deps{
		DB: db, Bus: bus, Redis: memory, Registry: reg, Connections: map[string]*connector.Connection{"crm": conn},
		Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler), Now: time.Now, Instance: "one", APIKey: "k",
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run() {
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.in.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	})
}

func (w *world) deliver(signature, body string, delivery ...string) int {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/hubspot", strings.NewReader(body))
	r.Header.Set("Signature", signature)
	r.Header.Set("Delivery", strings.Join(delivery, ""))
	out := httptest.NewRecorder()
	w.in.Handler().ServeHTTP(out, r)
	return out.Code
}

func (w *world) count(query string, args ...any) int64 {
	w.t.Helper()
	var n int64
	if err := w.db.Read(w.t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// until waits for a condition, in bounded time.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

const customer = "hubspot/1/company/5"

func TestWebhookBecomesOneEvent(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	w.run()
	for range 10 {
		if code := w.deliver("secret", "7 7"); code != http.StatusOK {
			t.Fatalf("answered %d", code)
		}
	}
	w.until("the event is published", func() bool { return w.count(`SELECT COUNT(*) FROM event WHERE published_at IS NOT NULL`) == 1 })
	w.portal.put("7", "b", customer)
	w.deliver("secret", "7")
	w.until("the second revision is published", func() bool { return w.count(`SELECT COUNT(*) FROM event WHERE published_at IS NOT NULL`) == 2 })
	if n := w.count(`SELECT MAX(seq) FROM event WHERE lane = $1`, customer); n != 2 {
		t.Errorf("the lane's last slot is %d", n)
	}
	// asked for once more while it was read, it is read once more
	w.until("no hint is left", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
	if n := w.count(`SELECT COUNT(*) FROM event`); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestForgedAndLargeDeliveries(t *testing.T) {
	w := open(t)
	if code := w.deliver("guess", "7"); code != http.StatusUnauthorized {
		t.Errorf("a forged delivery was answered %d", code)
	}
	if code := w.deliver("secret", strings.Repeat("x", maxWebhook+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large delivery was answered %d", code)
	}
	if code := w.deliver("secret", "7\x00 8\xff"); code != http.StatusOK { // nothing would help, were it delivered again
		t.Errorf("ids that no record has were answered %d", code)
	}
	r := httptest.NewRequest(http.MethodPost, "/webhooks/other", nil)
	out := httptest.NewRecorder()
	w.in.Handler().ServeHTTP(out, r)
	if out.Code != http.StatusNotFound {
		t.Errorf("an unknown app was answered %d", out.Code)
	}
	if n := w.count(`SELECT COUNT(*) FROM hint`); n != 0 {
		t.Errorf("%d hints were stored", n)
	}
}

// What no webhook told, the poll finds; a portal that is away costs time only.
func TestPollFindsWhatWasLost(t *testing.T) {
	w := open(t)
	for i := range 120 {
		w.portal.put(fmt.Sprint(i), "a", customer)
	}
	w.portal.fail = 2
	w.run()
	w.until("all are admitted", func() bool { return w.count(`SELECT COUNT(*) FROM event`) == 120 })
	p, err := w.in.Server().Poll(t.Context(), &controlv1.PollRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w.until("a poll that started later is complete", func() bool {
		s, err := w.in.Server().IngestStatus(t.Context(), &controlv1.IngestStatusRequest{})
		return err == nil && s.GetPolls()[0].GetCompleted() >= p.GetPolls()[0].GetStarted()
	})
	if n := w.count(`SELECT COUNT(*) FROM event`); n != 120 {
		t.Errorf("%d events after a second poll", n)
	}
	if gaps := w.count(`SELECT MAX(seq) - COUNT(*) FROM event WHERE lane = $1`, customer); gaps != 0 {
		t.Errorf("the lane has %d gaps", gaps)
	}
}

// A posting is written back once, however often the fact arrives, and only a
// change makes another revision.
func TestWriteBack(t *testing.T) {
	w := open(t)
	w.run()
	fact := trail.Fact{
		Stream: "writer/quickbooks/9/ie", Type: "op.settled", Outcome: "posted", Target: "quickbooks/9", Entity: "ie", Customer: customer, SourceEventID: strings.Repeat("ab", 32), TraceID: strings.Repeat("1", 32),
		Posting: &trail.Posting{Kind: "INVOICE", Part: "invoice", N: 1, OtherRef: "quickbooks/9/invoice/12", Number: "1001", Status: "open", CustomerRef: "quickbooks/9/customer/3", SourceRef: "hubspot/1/deal/7"},
	}
	again := fact
	void := fact
	voided := *fact.Posting
	voided.Status = "void"
	void.Posting = &voided
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error { return trail.Append(tx, fact, again, void) }); err != nil {
		t.Fatal(err)
	}
	w.in.facts.Wake()
	w.until("both states are admitted", func() bool { return w.count(`SELECT COUNT(*) FROM event WHERE route = 'back'`) == 2 })
	if n := w.count(`SELECT COUNT(*) FROM event WHERE target = 'hubspot/1' AND lane = 'quickbooks/9/customer/3'`); n != 2 {
		t.Errorf("%d write-backs stand in the books' customer's lane", n)
	}
}

// What a backfill posts is written back in bulk, so that it does not stand in
// the way of what people wait for.
func TestAWriteBackKeepsItsClass(t *testing.T) {
	w := open(t)
	w.run()
	for n, class := range []string{"bulk", "realtime"} {
		id := strings.Repeat(strconv.Itoa(n), 64)
		err := w.db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO event (target, lane, seq, event_id, ref, rev, route, slot_no, class, body, trace, admitted_at, published_at, ended_at)
				VALUES ('quickbooks/9', $1, $2, $3, $4, 1, 'deals', 1, $5, 'x', '', 0, 1, 1)`, customer, 100+n, id, "hubspot/1/deal/"+strconv.Itoa(70+n), class)
			if err != nil {
				return err
			}
			return trail.Append(tx, trail.Fact{
				Stream: "writer/quickbooks/9/ie", Type: "op.settled", Outcome: "posted", Target: "quickbooks/9", Entity: "ie", Customer: customer, SourceEventID: id,
				Posting: &trail.Posting{Kind: "INVOICE", Part: "invoice", N: 1, OtherRef: "quickbooks/9/invoice/" + strconv.Itoa(20+n), Number: "1", Status: "open", SourceRef: "hubspot/1/deal/" + strconv.Itoa(70+n)},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.in.facts.Wake()
	w.until("both are admitted", func() bool { return w.count(`SELECT COUNT(*) FROM event WHERE route = 'back'`) == 2 })
	for n, class := range []string{"bulk", "realtime"} {
		if got := w.count(`SELECT COUNT(*) FROM event WHERE route = 'back' AND ref = 'quickbooks/9/invoice/` + strconv.Itoa(20+n) + `' AND class = '` + class + `'`); got != 1 {
			t.Errorf("the write-back of a %s event is not %s", class, class)
		}
	}
}

// A record that cannot get a lane is put in front of a person, and let go when
// it can.
func TestUnusableRecord(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	r := w.portal.records["7"]
	r.Problem = "two companies and none is primary"
	w.portal.records["7"] = r
	w.run()
	w.until("the exception is open", func() bool { return w.count(`SELECT COUNT(*) FROM exception WHERE state = 'open'`) == 1 })
	list, err := w.in.Server().ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{})
	if err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetOwner() == "" || list.GetItems()[0].GetFix() == "" {
		t.Fatalf("listed %v, %v", list, err)
	}
	id := list.GetItems()[0].GetId()
	at, err := w.in.Server().IngestStatus(t.Context(), &controlv1.IngestStatusRequest{})
	if err != nil || !at.GetOldest().AsTime().Equal(list.GetItems()[0].GetOpenedAt().AsTime()) {
		t.Errorf("the oldest is of %v, %v", at.GetOldest(), err)
	}
	for subject, n := range map[string]int{"hubspot/1/deal/7": 1, "hubspot/1/deal/8": 0} {
		if of, err := w.in.Server().ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{Subject: subject}); err != nil || len(of.GetItems()) != n {
			t.Errorf("of %s: %v, %v", subject, of, err)
		}
	}
	w.portal.put("7", "b", customer)
	if _, err := w.in.Server().Act(t.Context(), &controlv1.ActRequest{Id: id, Action: "retry", Reason: "chosen", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	if f := w.told(id); len(f) != 1 || f[0].Outcome != "retry" || f[0].Detail != "chosen" || f[0].Actor != "ann" || f[0].Subject != "hubspot/1/deal/7" {
		t.Errorf("told of the retry: %+v", f)
	}
	w.until("the record is admitted", func() bool { return w.count(`SELECT COUNT(*) FROM event`) == 1 })
	w.until("the exception is released", func() bool { return w.count(`SELECT COUNT(*) FROM exception WHERE state = 'open'`) == 0 })
}

// What a killed predecessor was reading is read at once, not when its claim ends.
func TestClaimsOfAPredecessorAreGivenBack(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	w.deliver("secret", "7")
	if claimed, err := w.in.sources[0].claim(t.Context(), "deal", fetchBatch); err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v: %v", claimed, err)
	}
	if _, due, err := w.in.sources[0].dueOf(t.Context(), "deal"); err != nil || due {
		t.Fatalf("due although it is claimed (%v)", err)
	}
	if err := DropClaims(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	if class, due, err := w.in.sources[0].dueOf(t.Context(), "deal"); err != nil || !due || class != event.Realtime {
		t.Fatalf("due %v in class %s (%v)", due, class, err)
	}
}
