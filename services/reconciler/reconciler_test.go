package reconciler_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/reconciler"
)

const target = "quickbooks/1"

func deal(n int) event.Ref {
	return event.Ref{System: "hubspot", Account: "1", Type: "deal", ID: fmt.Sprint(n)}
}

func inv(n int) event.Ref {
	return event.Ref{System: "quickbooks", Account: "1", Type: "invoice", ID: fmt.Sprint(n)}
}

func eur(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "EUR"} }

// vendors are a CRM and books in memory, with faults.
type vendors struct {
	asked    int // how often the writer was asked what it has told
	mu       sync.Mutex
	deals    map[int]int64 // net; negative: the record is unusable
	pushed   map[int]bool  // deals that are not in the CRM
	invoices []connector.Posting
	// companies of the CRM, customers of the books
	companies []int
	customers []connector.Posting
	open      map[string]string
	openAt    string       // the target; empty: all
	won       time.Time    // when the unusable ones were won; zero: they are not
	rechecked []string     // what a repair asked ingest for
	busy      int          // reads that are refused for a moment
	refuse    func() error // asked at the end of a list of the books
	broken    bool
	leaveOut  bool
	largest   int // batch that was fetched
	listed    func()
}

func (v *vendors) Changes(context.Context, string, string) iter.Seq2[connector.Change, error] {
	return func(func(connector.Change, error) bool) {}
}

func (v *vendors) listDeals(yield func(event.Ref, error) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n := range v.deals {
		if !v.pushed[n] && !yield(deal(n), nil) {
			return
		}
	}
}

func (v *vendors) Fetch(_ context.Context, _ string, ids []string) ([]connector.Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy > 0 {
		v.busy--
		return nil, &fault.Error{Kind: fault.RateLimited, RetryAfter: time.Millisecond}
	}
	v.largest = max(v.largest, len(ids))
	var out []connector.Record
	for _, id := range ids {
		r := connector.Record{Ref: event.Ref{System: "hubspot", Account: "1", Type: "deal", ID: id}}
		for n, net := range v.deals {
			if fmt.Sprint(n) == id && net < 0 {
				r.Problem = "it has two customers"
				r.QualifiedAt = v.won
			}
		}
		out = append(out, r)
	}
	if v.leaveOut {
		out = out[1:]
	}
	return out, nil
}

// render makes one invoice of a deal; one of net 0 is lost.
func (v *vendors) render(_ context.Context, _ registry.Route, r connector.Record) (*document.Rendering, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, net := range v.deals {
		if fmt.Sprint(n) != r.Ref.ID {
			continue
		}
		p := document.Part{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Issued, Subject: r.Ref.String()}
		if net == 0 {
			p.Desired = document.Voided
		} else {
			p.Invoice = &document.Invoice{IssueDate: "2026-11-10", Currency: "EUR", Totals: document.Totals{Net: eur(net)}}
		}
		return &document.Rendering{Verdict: document.Documents, Parts: []document.Part{{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure}, p}}, nil
	}
	return nil, fmt.Errorf("render %s", r.Ref)
}

// source and books are the two sides of vendors.
type source struct{ *vendors }

func (s source) List(_ context.Context, typ string) iter.Seq2[event.Ref, error] {
	if typ == "deal" {
		return s.listDeals
	}
	return func(yield func(event.Ref, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, n := range s.companies {
			if !yield(company(n), nil) {
				return
			}
		}
	}
}

type books struct {
	connector.Target
	*vendors
}

func (b books) List(_ context.Context, kind document.Kind, _, _ string) iter.Seq2[connector.Posting, error] {
	return func(yield func(connector.Posting, error) bool) {
		b.mu.Lock()
		list, broken, listed, refuse := slices.Clone(b.invoices), b.broken, b.listed, b.refuse
		if kind == document.CustomerKind {
			list, broken, listed = slices.Clone(b.customers), false, nil
		}
		b.mu.Unlock()
		if listed != nil {
			listed()
		}
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
		if refuse != nil {
			if err := refuse(); err != nil {
				yield(connector.Posting{}, err)
				return
			}
		}
		if broken {
			yield(connector.Posting{}, fault.New(fault.Rejected, "page 2 is missing"))
		}
	}
}

func (v *vendors) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func posting(n int, net int64) connector.Posting {
	return connector.Posting{
		Ref: inv(n), Kind: document.InvoiceKind, Mark: document.Mark(target, deal(n).String(), "invoice", 1), Number: fmt.Sprint(1000 + n), Status: connector.Open,
		IssueDate: "2026-11-10", Currency: "EUR", Net: eur(net), Tax: eur(net / 4), Gross: eur(net + net/4),
	}
}

// settled is the fact that a posting was confirmed.
func settled(n int, net int64) trail.Fact {
	p := posting(n, net)
	return trail.Fact{
		Stream: "writer/" + target + "/acme", Type: "op.settled", Outcome: "posted", Target: target, Entity: "acme", Subject: deal(n).String(), OpIDs: []string{fmt.Sprint("op", n)},
		Posting: &trail.Posting{
			Kind: "INVOICE", Part: "invoice", N: 1, OtherRef: p.Ref.String(), Number: p.Number, Status: string(p.Status), Net: p.Net, Tax: p.Tax, Gross: p.Gross,
			IssueDate: p.IssueDate, SourceRef: deal(n).String(),
		},
	}
}

func company(n int) event.Ref {
	return event.Ref{System: "hubspot", Account: "1", Type: "company", ID: fmt.Sprint(n)}
}

func customer(n int) connector.Posting {
	return connector.Posting{Ref: event.Ref{System: "quickbooks", Account: "1", Type: "customer", ID: fmt.Sprint(n)}, Kind: document.CustomerKind}
}

// linked is the fact that a company's customer was created or found.
func linked(n, at int) trail.Fact {
	return trail.Fact{
		Stream: "writer/" + target + "/acme", Type: "op.settled", Outcome: "posted", Target: target, Entity: "acme", Subject: deal(n).String(),
		Posting: &trail.Posting{Kind: "CUSTOMER", Part: "customer", N: 1, OtherRef: customer(at).Ref.String(), SourceRef: company(n).String()},
	}
}

// Every customer that a record is linked to must be there; one that a person
// removed is named. Others' customers, and those of removed records, explain
// themselves; a record that was merged away does not count.
func TestCustomersAreCompared(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		w.companies = []int{1, 2}
		w.customers = []connector.Posting{customer(1), customer(2), customer(3), customer(4)}
	})
	// 5 was merged into 1; 3 was deleted at the source; 4 was entered by hand.
	w.tell(linked(1, 1), linked(2, 2), linked(3, 3), linked(5, 1))
	res := w.reconcile("acme", "2026-11")
	row := res.GetRows()[len(res.GetRows())-1]
	if row.GetKind() != "customer" || row.GetSource().GetCount() != 2 || row.GetJournal().GetCount() != 3 || row.GetBooks().GetCount() != 4 || row.GetUnexplained().GetCount() != 0 {
		t.Fatalf("in balance: %v", res)
	}
	causes := map[string]int64{}
	for _, e := range row.GetExplained() {
		causes[e.GetCause()] = e.GetSide().GetCount()
	}
	if causes["gone_at_source"] != 1 || causes["not_ours"] != 1 {
		t.Errorf("explained: %v", causes)
	}
	w.set(func() { w.customers = w.customers[1:] })
	res = w.reconcile("acme", "")
	row = res.GetRows()[len(res.GetRows())-1]
	if row.GetUnexplained().GetCount() != 1 || len(res.GetBreaks()) != 1 {
		t.Fatalf("a customer that a person removed: %v", res)
	}
	b := res.GetBreaks()[0]
	if b.GetKind() != "missing" || b.GetCause() != "customer_removed_in_books" || b.GetSourceRef() != company(1).String() || b.GetBooksRef() != customer(1).Ref.String() || b.GetRepair() == "" {
		t.Errorf("break %v", b)
	}
}

type world struct {
	*vendors
	t        *testing.T
	bus      *stream.Client
	db       *store.DB
	producer *store.DB
	server   *reconciler.Server
}

func open(t *testing.T, name string) *store.DB {
	t.Helper()
	cfg := store.Config{Path: filepath.Join(t.TempDir(), name+".db"), Name: name}
	if name == reconciler.Name {
		cfg.Migrations = reconciler.Migrations
	}
	db, err := store.Open(t.Context(), storetest.On(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// newWorld runs the service on an embedded broker.
func newWorld(t *testing.T) *world {
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
	if err := bus.EnsureTopics(t.Context(), []stream.Topic{{Name: trail.Topic, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	v := &vendors{deals: map[int]int64{}, open: map[string]string{}}
	w := &world{vendors: v, t: t, bus: bus, db: open(t, reconciler.Name), producer: open(t, "producer")}
	r, err := reconciler.New(reconciler.Deps{
		DB: w.db, Bus: bus, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler), Now: time.Now, Instance: "i", Version: "v",
		Registry: &registry.Registry{
			Entities:    []registry.Entity{{ID: "acme", Tenant: "t", Currency: "EUR", Zone: "Europe/Dublin"}, {ID: "idle", Currency: "USD", Zone: "UTC"}},
			Connections: []registry.Connection{{ID: "crm", Account: "hubspot/1"}},
			Routes: []registry.Route{
				{ID: "deals", Connection: "crm", Type: "deal", Target: target, Entity: "acme"},
				{ID: "numbers", Connection: "books", Type: "INVOICE", Target: "hubspot/1", Entity: "acme", WriteBack: true},
			},
		},
		Sources: map[string]connector.Source{"crm": source{v}}, Targets: map[string]connector.Target{target: books{vendors: v}}, Render: v.render,
		Told: func(ctx context.Context) (told []trail.Head, err error) {
			err = w.producer.Read(ctx, func(tx *store.Tx) error { told, err = trail.Told(tx); return err })
			v.mu.Lock()
			defer v.mu.Unlock()
			v.asked++
			return told, err
		},
		Pushed: func(context.Context, string, string) ([]connector.Record, error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			var out []connector.Record
			for n := range v.pushed {
				out = append(out, connector.Record{Ref: deal(n), Customer: event.Ref{System: "hubspot", Account: "1", Type: "company", ID: fmt.Sprint(n)}})
			}
			return out, nil
		},
		Recheck: func(_ context.Context, ref, target string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.rechecked = append(w.rechecked, ref+" in "+target)
			return nil
		},
		Open: func(context.Context) (out []reconciler.Open, err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			for ref, cause := range v.open {
				out = append(out, reconciler.Open{Ref: ref, Cause: cause, Target: v.openAt})
			}
			return out, nil
		},
		LookAgain: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = r.Server()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the reconciler does not stop")
		}
	})
	return w
}

// tell writes facts at the producer, as the writer would, and waits until they
// are taken.
func (w *world) tell(facts ...trail.Fact) {
	w.t.Helper()
	w.write(facts...)
	w.publish()
	last := facts[len(facts)-1]
	until(w.t, "the facts are taken", func() bool {
		res, err := w.server.StreamHeads(w.t.Context(), &controlv1.StreamHeadsRequest{Streams: []*controlv1.StreamHead{{Stream: last.Stream, Incarnation: last.Incarnation}}})
		return err == nil && res.GetStreams()[0].GetSeq() >= last.Seq
	})
}

func (w *world) write(facts ...trail.Fact) {
	w.t.Helper()
	if err := w.producer.Write(w.t.Context(), func(tx *store.Tx) error { return trail.Append(tx, facts...) }); err != nil {
		w.t.Fatal(err)
	}
}

// publish sends what was written.
func (w *world) publish() {
	w.t.Helper()
	box := trail.Outbox(w.producer)
	rows, err := box.Unpublished(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	records := make([]stream.Record, 0, len(rows))
	for i := range rows {
		records = append(records, rows[i].Record, rows[i].Record) // each twice
	}
	if err := w.bus.Produce(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
	if err := box.MarkPublished(w.t.Context(), rows); err != nil {
		w.t.Fatal(err)
	}
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

// balanced puts a document on all three sides.
func (w *world) balanced(n int, net int64) {
	w.t.Helper()
	w.set(func() { w.deals[n] = net; w.invoices = append(w.invoices, posting(n, net)) })
	w.tell(settled(n, net))
}

func (w *world) reconcile(entity, period string) *controlv1.ReconcileResponse {
	w.t.Helper()
	res, err := w.server.Reconcile(w.t.Context(), &controlv1.ReconcileRequest{Entity: entity, Period: period})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) text(query string) (s string) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(&s) }); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestInBalance(t *testing.T) {
	w := newWorld(t)
	for n := range 3 {
		w.balanced(n+1, int64(1000*(n+1)))
	}
	w.set(func() {
		for n := 100; n < 350; n++ {
			w.deals[n] = 0 // lost deals: read in batches, asking for nothing
		}
		w.busy = 2
	})
	for _, period := range []string{"", "2026-11"} {
		res := w.reconcile("acme", period)
		if len(res.GetRows()) != 1 || len(res.GetBreaks()) != 0 {
			t.Fatalf("period %q: %v", period, res)
		}
		row := res.GetRows()[0]
		for _, s := range []*controlv1.Side{row.GetSource(), row.GetJournal(), row.GetBooks()} {
			if s.GetCount() != 3 || s.GetNet().GetMinor() != 6000 || s.GetGross().GetMinor() != 7500 {
				t.Errorf("period %q: side %v of %v", period, s, row)
			}
		}
		if row.GetUnexplained().GetCount() != 0 || row.GetKind() != "invoice" || row.GetCurrency() != "EUR" {
			t.Errorf("row %v", row)
		}
	}
	if row := w.reconcile("acme", "2026-10").GetRows(); len(row) != 0 {
		t.Errorf("another month: %v", row)
	}
	if w.largest > 100 {
		t.Errorf("%d records were read at once", w.largest)
	}
}

// Each kind of break, from the vendors' own lists.
func TestBreaks(t *testing.T) {
	w := newWorld(t)
	for n := 1; n <= 5; n++ {
		w.balanced(n, 1000)
	}
	w.set(func() {
		w.invoices = slices.DeleteFunc(w.invoices, func(p connector.Posting) bool { return p.Ref == inv(1) }) // deleted by a person
		delete(w.deals, 2)
		w.deals[3] = 1500
		copied := posting(4, 1000)
		copied.Ref = inv(44)
		w.invoices = append(w.invoices, copied)
		w.invoices[slices.IndexFunc(w.invoices, func(p connector.Posting) bool { return p.Ref == inv(5) })].Net = eur(900)
		foreign := posting(9, 7)
		foreign.Mark = ""
		w.invoices = append(w.invoices, foreign)
		w.deals[6], w.open[deal(6).String()] = 250, "parked"
		w.deals[7] = -1
	})
	res := w.reconcile("acme", "")
	got := map[string]string{}
	for _, b := range res.GetBreaks() {
		got[b.GetKind()+" "+b.GetCause()] = fmt.Sprint(b.GetState(), " ", b.GetAmount().GetMinor())
		if b.GetId() == "" || b.GetRepair() == "" {
			t.Errorf("break %v", b)
		}
	}
	want := map[string]string{
		"missing deleted_in_books": "open 1000", "orphan no_source_record": "open -1000", "amount source_changed": "open 500", "duplicate same_record": "open -1000",
		"stale edited_in_books": "open 100", "orphan not_ours": "explained -7", "missing parked": "explained 250",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	row := res.GetRows()[0]
	sum := row.GetUnexplained().GetNet().GetMinor()
	for _, e := range row.GetExplained() {
		sum += e.GetSide().GetNet().GetMinor()
	}
	if row.GetUnexplained().GetCount() != 5 || row.GetSource().GetNet().GetMinor()-row.GetBooks().GetNet().GetMinor() != sum {
		t.Errorf("row %v", row)
	}
	if n := w.text(`SELECT count(*) FROM breaks WHERE state = 'open' AND repair <> ''`); n != "5" {
		t.Errorf("%s open breaks are kept", n)
	}
	ids := w.ids(res)
	if again := w.ids(w.reconcile("", "")); !slices.Equal(ids, again) {
		t.Errorf("found twice, they are others:\n%v\n%v", ids, again)
	}
}

// A run waits for what the writer has told and the journal has not: else the
// writer's own change would be taken for somebody's edit.
// A deal that is won and cannot be rendered is on the source's side, explained
// by its exception, in the month of the entity's own calendar.
func TestWhatIsRejectedIsExplained(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		w.deals = map[int]int64{1: -1, 2: -1}
		w.open = map[string]string{deal(1).String(): "parked", deal(2).String(): "parked"}
	})
	if res := w.reconcile("acme", ""); len(res.GetBreaks()) != 0 {
		t.Errorf("nothing is won: %v", res)
	}
	w.set(func() { w.won = time.Date(2026, 7, 31, 23, 30, 0, 0, time.UTC) })
	res := w.reconcile("acme", "2026-08")
	if len(res.GetRows()) != 1 || len(res.GetBreaks()) != 2 {
		t.Fatalf("%v", res)
	}
	row := res.GetRows()[0]
	if row.GetSource().GetCount() != 2 || row.GetUnexplained().GetCount() != 0 || row.GetExplained()[0].GetCause() != "parked" || row.GetExplained()[0].GetSide().GetCount() != 2 {
		t.Errorf("%v", row)
	}
	if res := w.reconcile("acme", "2026-07"); len(res.GetRows()) != 0 {
		t.Errorf("the month before has them too: %v", res)
	}
}

func TestARunWaitsForTheJournal(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.set(func() { w.deals[1], w.invoices[0], w.asked = 1500, posting(1, 1500), 0 })
	w.write(settled(1, 1500))
	report := make(chan *controlv1.ReconcileResponse, 1)
	go func() { report <- w.reconcile("acme", "") }()
	until(t, "the run asks", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.asked == 1 })
	select {
	case res := <-report:
		t.Fatalf("it ended without the journal: %v", res)
	case <-time.After(300 * time.Millisecond):
	}
	w.publish()
	if res := <-report; len(res.GetBreaks()) != 0 || res.GetRows()[0].GetJournal().GetNet().GetMinor() != 1500 {
		t.Errorf("%v", res)
	}
}

func (w *world) ids(res *controlv1.ReconcileResponse) (out []string) {
	for _, b := range res.GetBreaks() {
		out = append(out, b.GetId())
	}
	return out
}

// A repair asks for the document in the books that its break is about.
func TestARepairNamesItsBooks(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.deals[2] = 300 })
	w.reconcile("acme", "")
	if _, err := w.server.Repair(t.Context(), &controlv1.RepairRequest{Action: "recheck", All: true, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{deal(2).String() + " in " + target}; !slices.Equal(w.rechecked, want) {
		t.Errorf("asked for %v, not %v", w.rechecked, want)
	}
}

// A break that is gone in the next run is repaired; the runs are on the trail.
func TestRepairedWhenSeenEqual(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.set(func() { w.deals[2] = 300 })
	if res := w.reconcile("acme", ""); len(res.GetBreaks()) != 1 || res.GetBreaks()[0].GetCause() != "never_posted" {
		t.Fatalf("%v", res)
	}
	w.reconcile("acme", "2026-10") // another period says nothing about it
	if s := w.text(`SELECT state FROM breaks`); s != "open" {
		t.Errorf("the break is %s", s)
	}
	w.balanced(2, 300)
	if res := w.reconcile("acme", ""); len(res.GetBreaks()) != 0 {
		t.Fatalf("%v", res)
	}
	if s := w.text(`SELECT state FROM breaks`); s != "repaired" {
		t.Errorf("the break is %s", s)
	}
	if s := w.text(`SELECT string_agg(state, ',') FROM run`); s != "done,done,done" {
		t.Errorf("runs %s", s)
	}
	until(t, "runs and the break on the trail", func() bool { return w.text(`SELECT count(*) FROM outbox WHERE published_at IS NOT NULL`) == "7" })
}

// What moves while the lists are read is no break.
func TestWhatMovesIsNoBreak(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	looks := 0
	w.set(func() {
		w.listed = func() { // after the books were listed a deal is won, and posted before the second look
			looks++
			w.set(func() {
				if looks == 1 {
					w.deals[2] = 300
				} else {
					w.deals[3] = 40 // and another is won in the second look
				}
			})
			if looks == 1 {
				go func() { w.set(func() { w.invoices = append(w.invoices, posting(2, 300)) }) }()
			}
		}
	})
	res := w.reconcile("acme", "")
	for _, b := range res.GetBreaks() {
		if b.GetState() != "explained" || b.GetCause() != "in_flight" {
			t.Errorf("break %v", b)
		}
	}
	if res.GetRows()[0].GetUnexplained().GetCount() != 0 || looks != 2 {
		t.Errorf("%d looks, %v", looks, res)
	}
}

// The newest telling of a document counts; a void leaves it void; a document
// that was found in the books is in the journal too.
func TestJournalKeepsTheNewest(t *testing.T) {
	w := newWorld(t)
	w.balanced(1, 1000)
	w.balanced(2, 500)
	voided, found := settled(1, 0), settled(3, 70)
	voided.Posting.Status, voided.OpIDs = "void", []string{"op-void"}
	found.Type, found.Outcome, found.OpIDs = "link.created", "matched", nil
	refused := settled(2, 9)
	refused.Outcome = "refused:rejected"
	marker := settled(2, 500)
	marker.Posting.Kind, marker.Posting.Part = "MARKER", "marker"
	w.tell(settled(2, 600), voided, found, refused, marker)
	w.set(func() {
		w.deals[1], w.deals[2], w.deals[3] = 0, 600, 70
		w.invoices = []connector.Posting{posting(2, 600), posting(3, 70)}
	})
	row := w.reconcile("acme", "").GetRows()[0]
	if row.GetJournal().GetCount() != 2 || row.GetJournal().GetNet().GetMinor() != 670 || row.GetUnexplained().GetCount() != 0 || len(row.GetExplained()) != 0 {
		t.Errorf("row %v", row)
	}
	if s := w.text(`SELECT status || ' ' || op_id FROM journal WHERE source_ref = 'hubspot/1/deal/1'`); s != "void op-void" {
		t.Errorf("the voided document is %s", s)
	}
}

// Nothing is inferred from half a list.
func TestIncompleteScansAreErrors(t *testing.T) {
	for name, spoil := range map[string]func(v *vendors){
		"books":           func(v *vendors) { v.broken = true },
		"record left out": func(v *vendors) { v.leaveOut = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.balanced(1, 1000)
			w.set(func() { spoil(w.vendors) })
			res, err := w.server.Reconcile(t.Context(), &controlv1.ReconcileRequest{})
			if status.Code(err) != codes.Unavailable {
				t.Fatalf("%v, %v", res, err)
			}
			if s := w.text(`SELECT state || ' ' || (SELECT count(*) FROM breaks) FROM run`); s != "failed 0" {
				t.Errorf("run %s", s)
			}
		})
	}
}

func TestRequestsThatNameNothing(t *testing.T) {
	w := newWorld(t)
	for req, code := range map[*controlv1.ReconcileRequest]codes.Code{
		{Entity: "nobody"}:  codes.NotFound,
		{Period: "2026-13"}: codes.InvalidArgument,
		{Period: "11/2026"}: codes.InvalidArgument,
		{Entity: "idle"}:    codes.OK,
	} {
		if _, err := w.server.Reconcile(t.Context(), req); status.Code(err) != code {
			t.Errorf("%v: %v", req, err)
		}
	}
	st, err := w.server.ReconcilerStatus(t.Context(), &controlv1.ReconcilerStatusRequest{})
	if err != nil || st.GetService().GetName() != "reconciler" || !strings.Contains(st.GetService().GetVersion(), "v") {
		t.Errorf("status %v, %v", st, err)
	}
}
