package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/audit/cloudevent"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

const (
	books    = "quickbooks/46208"
	crm      = "hubspot/48213"
	deal     = crm + "/deal/123"
	company  = crm + "/company/5"
	invoice  = books + "/invoice/145"
	customer = books + "/customer/58"
	trace1   = "4bf92f3577b34da6a3ce929d0e0e4736"
)

// world is a producer of facts, a broker and the audit service.
type world struct {
	t        *testing.T
	bus      *stream.Client
	db       *store.DB // audit's
	producer *store.DB
	audit    *audit.Audit
	ahead    *atomic.Int64 // how far the clock of audit's database runs before ours
}

func newWorld(t *testing.T, notices ...audit.Notices) *world {
	t.Helper()
	parts, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parts.Close() })
	bus, err := stream.NewClient(stream.Config{Brokers: parts.Kafka, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	if err := bus.EnsureTopics(t.Context(), []stream.Topic{{Name: trail.Topic, Partitions: 2}, {Name: cloudevent.Topic, Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	ahead := &atomic.Int64{}
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	w := &world{t: t, bus: bus, db: open(t, audit.Name, clock), producer: open(t, "producer", nil), ahead: ahead}
	var people audit.Notices
	for _, n := range notices {
		people = n
	}
	w.audit, err = audit.New(audit.Deps{
		DB: w.db, Bus: bus, Registry: &registry.Registry{}, Tracer: sdktrace.NewTracerProvider().Tracer("test"), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Instance: "i", Version: "v", Page: func(ref string) string { return "https://crm.example/" + ref }, Notices: people,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func open(t *testing.T, name string, clock func() time.Time) *store.DB {
	t.Helper()
	cfg := store.Config{Path: filepath.Join(t.TempDir(), name+".db"), Name: name, Clock: clock}
	if name == audit.Name {
		cfg.Migrations = audit.Migrations
	}
	db, err := store.Open(t.Context(), storetest.On(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// run starts the service; stop waits for its end.
func (w *world) run() (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.audit.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Error(err)
			}
		case <-time.After(20 * time.Second):
			w.t.Error("audit does not stop")
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// write appends facts at the producer and returns them as records of the trail.
func (w *world) write(facts ...trail.Fact) []stream.Record {
	w.t.Helper()
	if err := w.producer.Write(w.t.Context(), func(tx *store.Tx) error { return trail.Append(tx, facts...) }); err != nil {
		w.t.Fatal(err)
	}
	rows, err := trail.Outbox(w.producer).Unpublished(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := trail.Outbox(w.producer).MarkPublished(w.t.Context(), rows); err != nil {
		w.t.Fatal(err)
	}
	records := make([]stream.Record, len(rows))
	for i := range rows {
		records[i] = rows[i].Record
	}
	return records
}

func (w *world) send(records ...stream.Record) {
	w.t.Helper()
	if err := w.bus.Produce(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(query string) (n int64) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(&n) }); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

func (w *world) taken(n int64) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%d entries", n), func() bool { return w.count(`SELECT COUNT(*) FROM entry`) >= n })
}

func eur(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "EUR"} }

func at(second int) time.Time { return time.Date(2026, 11, 24, 9, 0, second, 0, time.UTC) }

// won is what happens when a deal is won: the facts that ingest, transform and
// writer tell, with the write-back. op tells deals apart.
func won(deal, company, invoice, number, op, trace string) []trail.Fact {
	event, back := strings.Repeat("a", 40)+op, strings.Repeat("b", 40)+op
	base := trail.Fact{Tenant: "acme", Entity: "acme-ie", Target: books, Lane: company, SlotSeq: 1, Subject: deal, Customer: company, Rev: 1, Route: "deals", TraceID: trace, SourceEventID: event}
	fact := func(second int, stream, typ, outcome string, change func(*trail.Fact)) trail.Fact {
		f := base
		f.Stream, f.Type, f.Outcome, f.Time = stream, typ, outcome, at(second)
		if change != nil {
			change(&f)
		}
		return f
	}
	party := &trail.Posting{Kind: "CUSTOMER", Part: "customer", N: 1, OtherRef: customer, SourceRef: company}
	posted := &trail.Posting{Kind: "INVOICE", Part: "invoice", N: 1, OtherRef: invoice, Number: number, Status: "open", Net: eur(10000), Tax: eur(2300), Gross: eur(12300),
		SourceRef: deal, CustomerRef: customer, IssueDate: "2026-11-24"}
	writer, writerCRM := "writer/"+books+"/acme-ie", "writer/"+crm+"/acme-ie"
	writeBack := func(f *trail.Fact) {
		f.Target, f.Lane, f.Subject, f.Route, f.SourceEventID = crm, customer, invoice, "numbers", back
	}
	return []trail.Fact{
		fact(1, "ingest/"+books+"/acme-ie", "event.admitted", "put", func(f *trail.Fact) { f.OccurredAt = at(0) }),
		fact(2, "transform/"+books+"/acme-ie", "event.rendered", "documents", nil),
		fact(3, writer, "op.settled", "posted", func(f *trail.Fact) { f.OpIDs, f.Posting = []string{"customer" + op}, party }),
		fact(4, writer, "call.sent", "sent", func(f *trail.Fact) {
			f.OpIDs, f.Subject, f.TraceID, f.SourceEventID = []string{"foreign", op}, crm+"/deal/999", strings.Repeat("f", 32), strings.Repeat("f", 64)
		}), // one request for several records
		fact(5, writer, "op.settled", "posted", func(f *trail.Fact) { f.OpIDs, f.Posting = []string{op}, posted }),
		fact(5, writer, "link.created", "primary", func(f *trail.Fact) { f.OpIDs, f.Posting = []string{op}, posted }),
		fact(5, writer, "slot.ended", "posted", nil),
		fact(6, "ingest/"+crm+"/acme-ie", "event.admitted", "posting", func(f *trail.Fact) { writeBack(f); f.OccurredAt = at(5) }),
		fact(7, writerCRM, "op.settled", "posted", func(f *trail.Fact) {
			writeBack(f)
			f.OpIDs = []string{"back" + op}
			f.Posting = &trail.Posting{Kind: "MARKER", Part: "marker", N: 1, OtherRef: deal, Number: number, SourceRef: invoice}
		}),
		fact(8, writerCRM, "slot.ended", "posted", writeBack),
	}
}

func TestEntriesAndPublicRecordsExactlyOnce(t *testing.T) {
	w := newWorld(t)
	stop := w.run()
	facts := won(deal, company, invoice, "1001", "op1", trace1)
	records := w.write(facts...)
	fifth := slices.IndexFunc(records, func(r stream.Record) bool { f, _ := trail.Decode(r.Value); return f.Type == "call.sent" })
	lost := records[fifth]
	w.send(append(slices.Delete(slices.Clone(records), fifth, fifth+1), stream.Record{Topic: trail.Topic, Key: "x", Value: []byte("\xff")})...)
	w.taken(int64(len(records)) - 4) // what follows the gap in its stream waits
	if n := w.count(`SELECT COUNT(*) FROM entry WHERE type = 'link.created'`); n != 0 {
		t.Fatal("a fact beyond a gap was taken")
	}
	w.send(lost)
	w.send(records...) // the completer sends again from the gap on, and more
	w.send(records...)
	w.taken(int64(len(records)))
	stop()

	w.audit = w.again()
	w.run()
	w.send(w.write(trail.Fact{Stream: "writer/x/y", Type: "exception.opened", Exception: "w-1", Target: books, Time: at(9)})...)
	w.taken(int64(len(records)) + 1)
	until(t, "published", func() bool { return w.count(`SELECT COUNT(*) FROM outbox WHERE published_at IS NULL`) == 0 })
	if n := w.count(`SELECT COUNT(*) FROM entry`); n != int64(len(records))+1 {
		t.Errorf("%d entries of %d facts", n, len(records)+1)
	}
	w.checkPublic(len(records) + 1)
	st, err := w.audit.Server().AuditStatus(t.Context(), &controlv1.AuditStatusRequest{})
	if err != nil || st.GetEntries() != int64(len(records))+1 || st.GetUnpublished() != 0 || st.GetService().GetName() != "audit" {
		t.Errorf("status %v, %v", st, err)
	}
	heads, err := w.audit.Server().StreamHeads(t.Context(), &controlv1.StreamHeadsRequest{Streams: []*controlv1.StreamHead{{Stream: "writer/" + books + "/acme-ie", Incarnation: 1}}})
	if err != nil || heads.GetStreams()[0].GetSeq() != 5 {
		t.Errorf("heads %v, %v", heads, err)
	}
	drill.Injected(t, 1, 38) // the record above that is no fact
}

// again is the service after a restart, on the same database.
func (w *world) again() *audit.Audit {
	w.t.Helper()
	a, err := audit.New(audit.Deps{DB: w.db, Bus: w.bus, Registry: &registry.Registry{}, Tracer: sdktrace.NewTracerProvider().Tracer("test"), Log: slog.New(slog.DiscardHandler), Now: time.Now, Instance: "j"})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// checkPublic reads the public topic as another team would: repeats are known by
// their number, no id has two, and a key has no gap.
func (w *world) checkPublic(want int) {
	t := w.t
	t.Helper()
	reader := open(t, "reader", nil)
	var mu sync.Mutex
	ids, next := map[string]bool{}, map[string]int64{}
	consumer, err := stream.NewConsumer(w.bus, stream.ConsumerConfig{
		Group: "another-team", Topics: []string{cloudevent.Topic}, Offsets: reader,
		Handle: func(ctx context.Context, b *stream.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range b.Records {
				e, err := cloudevent.Decode(&b.Records[i])
				if err != nil {
					t.Error(err)
					continue
				}
				if e.Seq <= next[e.Key] && ids[e.ID] {
					continue // sent twice, as a relay may: a number at or below the last one is a repeat
				}
				next[e.Key]++
				if ids[e.ID] || e.Seq != next[e.Key] || e.Key != b.Records[i].Key || e.ID != e.Data.EventID || e.Type != "dev.tieout."+e.Data.Type+".v1" {
					t.Errorf("record %+v, seen %v, its number should be %d", e, ids[e.ID], next[e.Key])
				}
				if e.Subject == deal && !strings.Contains(e.TraceParent, trace1) {
					t.Errorf("%s of %s is not in the trace: %q", e.Type, e.Subject, e.TraceParent)
				}
				ids[e.ID] = true
			}
			return reader.Write(ctx, func(tx *store.Tx) error {
				_, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
				return err
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = consumer.Run(ctx) })
	until(t, "public records", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) >= want })
	cancel()
	running.Wait()
	if len(ids) != want || next["acme-ie/"+company] != int64(want-1) {
		t.Errorf("%d public records of %d, by key %v", len(ids), want, next)
	}
}

func TestJourneyByAnyID(t *testing.T) {
	w := newWorld(t)
	w.run()
	other := crm + "/deal/777"
	w.send(w.write(won(deal, company, invoice, "1001", "op1", trace1)...)...)
	w.send(w.write(won(other, crm+"/company/6", books+"/invoice/146", "1002", "op2", strings.Repeat("e", 32))...)...)
	parked := trail.Fact{Stream: "writer/" + books + "/acme-ie", Type: "exception.opened", Time: at(20), Subject: other, Customer: crm + "/company/6", Exception: "w-00112233445566aa", Outcome: "tax", Target: books}
	paused := trail.Fact{Stream: "writer/" + books + "/", Type: "exception.opened", Time: at(21), Exception: "w-ffeeddccbbaa9988", Outcome: "connection", Target: books}
	w.send(w.write(parked, paused)...)
	w.taken(22)
	journey := func(id string) *controlv1.JourneyResponse {
		t.Helper()
		j, err := w.audit.Server().Journey(t.Context(), &controlv1.JourneyRequest{Id: id})
		if err != nil {
			t.Fatalf("journey %s: %v", id, err)
		}
		return j
	}
	first := w.firstEvent()
	mark := document.Mark(books, deal, "invoice", 1)
	for _, id := range []string{deal, "deal/123", "hubspot/deal/123", " 1001 ", invoice, "invoice/145", "quickbooks/invoice/145", "op1", "backop1", strings.Repeat("a", 40) + "op1",
		strings.Repeat("b", 40) + "op1", trace1, mark, strings.ToLower(mark), first} {
		j := journey(id)
		if j.GetSubject() != deal || j.GetCustomer() != company || j.GetInvoiceNumber() != "1001" || len(j.GetDocuments()) != 1 || len(j.GetSteps()) != 12 {
			t.Errorf("journey %s: subject %s, customer %s, number %s, %d documents, %d steps", id, j.GetSubject(), j.GetCustomer(), j.GetInvoiceNumber(), len(j.GetDocuments()), len(j.GetSteps()))
		}
	}
	checkSteps(t, journey("1001"))
	if j := journey(company); j.GetSubject() != company || len(j.GetSteps()) != 12 || j.GetInvoiceNumber() != "1001" {
		t.Errorf("customer: %v", j)
	}
	if j := journey("w-00112233445566aa"); j.GetSubject() != other || j.GetInvoiceNumber() != "1002" {
		t.Errorf("exception: %v", j)
	}
	if j := journey("w-ffeeddccbbaa9988"); len(j.GetSteps()) != 2 || j.GetSteps()[0].GetRef() != books {
		t.Errorf("exception of a connection: %v", j)
	}
	for id, code := range map[string]codes.Code{"deal/124": codes.NotFound, "": codes.InvalidArgument, "customer/58": codes.InvalidArgument} {
		if _, err := w.audit.Server().Journey(t.Context(), &controlv1.JourneyRequest{Id: id}); status.Code(err) != code {
			t.Errorf("journey %q: %v", id, err)
		}
	}
}

func (w *world) firstEvent() (id string) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT event_id FROM entry WHERE subject = $1 AND type = 'event.admitted'`, deal).Scan(&id)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func checkSteps(t *testing.T, j *controlv1.JourneyResponse) {
	t.Helper()
	var got []string
	for i, s := range j.GetSteps() {
		got = append(got, s.GetService()+" "+s.GetWhat())
		if i > 0 && s.GetAt().AsTime().Before(j.GetSteps()[i-1].GetAt().AsTime()) {
			t.Errorf("step %d is before the one before it", i)
		}
		if s.GetTraceId() != trace1 && s.GetWhat() != "call.sent" {
			t.Errorf("step %v is not in the trace", s)
		}
	}
	want := []string{"hubspot record.changed", "ingest event.admitted", "transform event.rendered", "writer op.settled", "writer call.sent", "writer op.settled", "writer link.created",
		"writer slot.ended", "ingest event.admitted", "writer op.settled", "writer slot.ended", "audit audit.recorded"}
	if !slices.Equal(got, want) {
		t.Errorf("steps %v\nwant  %v", got, want)
	}
	if s := j.GetSteps(); s[0].GetDetail() != "https://crm.example/"+deal || s[4].GetOpId() != "op1" || s[8].GetRef() != invoice {
		t.Errorf("change %v, call %v, write-back %v", s[0], s[4], s[8])
	}
	d := j.GetDocuments()[0]
	if d.GetRef() != invoice || d.GetNumber() != "1001" || d.GetState() != "open" || d.GetNet().GetMinor() != 10000 || d.GetTax().GetMinor() != 2300 || d.GetGross().GetMinor() != 12300 {
		t.Errorf("document %v", d)
	}
}

// A voided document is told in its latest state.
func TestJourneyTellsTheLatestState(t *testing.T) {
	w := newWorld(t)
	w.run()
	facts := won(deal, company, invoice, "1001", "op1", trace1)
	voided := facts[4]
	posting := *voided.Posting
	posting.Status, posting.Net, posting.Tax, posting.Gross = "void", eur(0), eur(0), eur(0)
	voided.Posting, voided.Time, voided.OpIDs = &posting, at(30), []string{"op9"}
	w.send(w.write(append(facts, voided)...)...)
	w.taken(11)
	j, err := w.audit.Server().Journey(t.Context(), &controlv1.JourneyRequest{Id: "op9"})
	if err != nil || len(j.GetDocuments()) != 1 || j.GetDocuments()[0].GetState() != "void" || j.GetDocuments()[0].GetGross().GetMinor() != 0 {
		t.Fatalf("%v, %v", j, err)
	}
}
