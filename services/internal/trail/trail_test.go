package trail_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.opentelemetry.io/otel/trace"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func open(t *testing.T, c *clock) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: filepath.Join(t.TempDir(), "a.db"), Name: "test", Clock: c.Now}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func appendFacts(t *testing.T, db *store.DB, facts ...trail.Fact) []trail.Fact {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return trail.Append(tx, facts...) }); err != nil {
		t.Fatal(err)
	}
	return facts
}

func fact(stream string, n int) trail.Fact {
	return trail.Fact{Stream: stream, Type: "slot.ended", Target: "quickbooks/1", Lane: "l", SlotSeq: int64(n), Detail: fmt.Sprint(n)}
}

// wire is a producer that keeps, loses or refuses what it is given.
type wire struct {
	mu   sync.Mutex
	sent []stream.Record
	next func(records []stream.Record) ([]stream.Record, error)
	to   trail.Producer
}

func (w *wire) Produce(ctx context.Context, records []stream.Record) (err error) {
	w.mu.Lock()
	next := w.next
	w.mu.Unlock()
	if next != nil {
		if records, err = next(records); err != nil {
			return err
		}
	}
	if w.to != nil {
		return w.to.Produce(ctx, records)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, records...)
	return nil
}

func (w *wire) details(t *testing.T) (out []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.sent {
		f, err := trail.Decode(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Detail)
	}
	return out
}

func (w *wire) set(next func([]stream.Record) ([]stream.Record, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = next
}

// run starts what runs until stop is called, which waits for it.
func run(t *testing.T, work func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("it does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
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

func TestCodecKeepsEveryField(t *testing.T) {
	want := &trail.Fact{}
	fill(reflect.ValueOf(want).Elem(), new(int))
	b, err := trail.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := trail.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	want.Posting.Tax, want.OccurredAt = money.Amount{}, time.Time{}
	b, _ = trail.Encode(want)
	if got, err := trail.Decode(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("empty amount and time: %+v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, []byte("\xff\xff"), {10, 1, 'x'}} {
		if _, err := trail.Decode(bad); err == nil {
			t.Errorf("%q is a fact", bad)
		}
	}
}

// fill gives every field a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(*n), 5000).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf([]string{fmt.Sprint(*n), "b"}))
	case v.Kind() == reflect.Int64:
		v.SetInt(int64(*n))
	default:
		v.SetString(fmt.Sprint("s", *n))
	}
}

func TestNumbersHaveNoGaps(t *testing.T) {
	db := open(t, newClock())
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for i := range 20 {
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					if err := trail.Append(tx, fact("a", i), fact("b", i), fact("a", i)); err != nil {
						return err
					}
					if i%3 == 0 {
						return errors.New("the change fails")
					}
					return nil
				})
				if (err != nil) != (i%3 == 0) {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	rows, err := trail.Outbox(db).Unpublished(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	next, ids := map[string]int64{}, map[string]bool{}
	for _, r := range rows {
		f, err := trail.Decode(r.Record.Value)
		if err != nil {
			t.Fatal(err)
		}
		next[r.Stream]++
		if f.Seq != next[r.Stream] || r.Seq != f.Seq || r.Stream != f.Stream+"/1" || r.Record.Key != f.Stream || ids[f.EventID] ||
			r.Record.Header(stream.HeaderEventID) != f.EventID || r.Record.Header(stream.HeaderTarget) != "quickbooks/1" {
			t.Fatalf("row %s/%d with %+v and headers %v", r.Stream, r.Seq, f, r.Record.Headers)
		}
		ids[f.EventID] = true
	}
	if next["a/1"] != 52 || next["b/1"] != 26 {
		t.Fatalf("numbers %v", next)
	}
}

func TestFactsCarryTheTrace(t *testing.T) {
	db := open(t, newClock())
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	err := db.Write(trace.ContextWithSpanContext(t.Context(), span), func(tx *store.Tx) error { return trail.Append(tx, fact("a", 1)) })
	if err != nil {
		t.Fatal(err)
	}
	rows, err := trail.Outbox(db).Unpublished(t.Context(), 10)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if got := trace.SpanContextFromContext(stream.Extract(t.Context(), rows[0].Record.Headers)); got.TraceID() != span.TraceID() {
		t.Fatalf("headers %v", rows[0].Record.Headers)
	}
}

func TestReincarnateBeginsEveryStreamAnew(t *testing.T) {
	c := newClock()
	db := open(t, c)
	appendFacts(t, db, fact("a", 1), fact("a", 2))
	var first, second int64
	for _, incarnation := range []*int64{&first, &second} {
		if err := db.Write(t.Context(), func(tx *store.Tx) (err error) { *incarnation, err = trail.Reincarnate(tx); return err }); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Hour)
	}
	got := appendFacts(t, db, fact("a", 3), fact("new", 1))
	if second <= first || first <= 1 || got[0].Incarnation != second || got[0].Seq != 1 || got[1].Incarnation != second || got[1].Seq != 1 {
		t.Fatalf("incarnations %d, %d, facts %+v", first, second, got)
	}
}

func TestRelaySendsInOrderAndResumesAtTheFirstUnsent(t *testing.T) {
	c := newClock()
	db, w := open(t, c), &wire{}
	relay := trail.NewRelay(db, trail.Outbox(db), w, c.Now, nil)
	failed := make(chan struct{}, 100)
	w.set(func(r []stream.Record) ([]stream.Record, error) {
		failed <- struct{}{}
		return nil, errors.New("broker is away")
	})
	appendFacts(t, db, fact("a", 1), fact("a", 2))
	stop := run(t, relay.Run)
	<-failed
	w.set(nil)
	appendFacts(t, db, fact("a", 3))
	until(t, "sent", func() bool { return len(w.details(t)) == 3 })
	appendFacts(t, db, fact("a", 4))
	relay.Wake()
	until(t, "woken", func() bool { return len(w.details(t)) == 4 })
	if got := w.details(t); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Fatalf("sent %v", got)
	}
	// stopped between sending and marking it would rightly leave its last row
	until(t, "marked", func() bool {
		rows, err := trail.Outbox(db).Unpublished(t.Context(), 10)
		return err == nil && len(rows) == 0
	})
	stop()
	if rows, err := trail.Outbox(db).Unpublished(t.Context(), 10); err != nil || len(rows) != 0 {
		t.Fatalf("unpublished %v, %v", rows, err)
	}
}

func TestOneRelayWorksAtATime(t *testing.T) {
	c := newClock()
	db, first, second := open(t, c), &wire{}, &wire{}
	stop := run(t, trail.NewRelay(db, trail.Outbox(db), first, c.Now, nil).Run)
	appendFacts(t, db, fact("a", 1))
	until(t, "first", func() bool { return len(first.details(t)) == 1 })
	first.set(func([]stream.Record) ([]stream.Record, error) { return nil, errors.New("frozen") })
	_ = run(t, trail.NewRelay(db, trail.Outbox(db), second, c.Now, nil).Run)
	appendFacts(t, db, fact("a", 2))
	if held, err := db.Lease(t.Context(), trail.Outbox(db).Name(), "third"); held || err != nil {
		t.Fatalf("the lease is free: %v, %v", held, err)
	}
	stop() // gives the lease back
	until(t, "second", func() bool { return len(second.details(t)) == 1 })
	if got := second.details(t); got[0] != "2" {
		t.Fatalf("sent %v", got)
	}
}

func TestTakeHoldsAtAGapAndDropsRepeats(t *testing.T) {
	c := newClock()
	from, db := open(t, c), open(t, c)
	facts := appendFacts(t, from, fact("a", 1), fact("a", 2), fact("a", 3), fact("a", 4), fact("b", 1))
	take := func(want []string, in ...trail.Fact) {
		t.Helper()
		var got []string
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			list := make([]*trail.Fact, len(in))
			for i := range in {
				list[i] = &in[i]
			}
			taken, err := trail.Take(tx, list)
			for _, f := range taken {
				got = append(got, f.Stream+f.Detail)
			}
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("took %v, %v, want %v", got, err, want)
		}
	}
	take([]string{"a1", "b1"}, facts[0], facts[2], facts[4])
	take(nil, facts[0], facts[3])
	take([]string{"a2", "a3", "a4"}, facts[1], facts[1], facts[2], facts[0], facts[3])
	older := facts[0]
	older.Incarnation = 7
	take([]string{"a1"}, older)
	var heads []trail.Head
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		heads, err = trail.Heads(tx, []trail.Head{{Stream: "a", Incarnation: 1}, {Stream: "a", Incarnation: 7}, {Stream: "none", Incarnation: 1}})
		return err
	})
	if err != nil || heads[0].Seq != 4 || heads[1].Seq != 1 || heads[2].Seq != 0 {
		t.Fatalf("heads %v, %v", heads, err)
	}
}

func TestBacklogAndCleaning(t *testing.T) {
	c := newClock()
	db, w := open(t, c), &wire{}
	backlog := func() (rows int64, oldest time.Time) {
		if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { rows, oldest, err = trail.Backlog(tx); return err }); err != nil {
			t.Fatal(err)
		}
		return rows, oldest
	}
	first := c.Now()
	appendFacts(t, db, fact("a", 1))
	c.pass(time.Second)
	appendFacts(t, db, fact("a", 2))
	if rows, oldest := backlog(); rows != 2 || !oldest.Equal(first) {
		t.Fatalf("backlog %d since %v", rows, oldest)
	}
	relay := trail.NewRelay(db, trail.Outbox(db), w, c.Now, nil)
	_ = run(t, relay.Run)
	until(t, "sent", func() bool { rows, _ := backlog(); return rows == 0 })
	var has int64
	away := true
	done := trail.NewCompleter(db, relay, map[string]trail.AskHeads{
		"audit": func(_ context.Context, streams []trail.Head) ([]trail.Head, error) { return streams, nil },
		"ingest": func(_ context.Context, streams []trail.Head) ([]trail.Head, error) {
			if away {
				return nil, errors.New("away")
			}
			return []trail.Head{{Stream: "a", Incarnation: streams[0].Incarnation, Seq: has}}, nil
		},
	}, nil)
	kept := func() (n int) {
		if _, err := done.Round(t.Context()); (err != nil) != away {
			t.Fatal(err)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM outbox`).Scan(&n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	c.pass(29 * 24 * time.Hour)
	if n := kept(); n != 2 {
		t.Fatalf("%d rows after 29 days", n)
	}
	c.pass(2 * 24 * time.Hour)
	if n := kept(); n != 2 {
		t.Fatalf("%d rows after 31 days, which a consumer that is away has not taken", n)
	}
	away, has = false, 1
	if n := kept(); n != 1 {
		t.Fatalf("%d rows after 31 days, of which every consumer has one", n)
	}
	until(t, "the other is sent again", func() bool { rows, _ := backlog(); return rows == 0 })
	has = 2
	if n := kept(); n != 1 {
		t.Fatalf("%d rows: what was sent again just now is kept", n)
	}
	c.pass(31 * 24 * time.Hour)
	if n := kept(); n != 0 {
		t.Fatalf("%d rows after 31 days, which all have", n)
	}
}

// consumer takes facts from Kafka as a service does.
type consumer struct {
	db  *store.DB
	mu  sync.Mutex
	got map[string][]string
}

func (c *consumer) handle(ctx context.Context, b *stream.Batch) error {
	facts := make([]*trail.Fact, 0, len(b.Records))
	for i := range b.Records {
		f, err := trail.Decode(b.Records[i].Value)
		if err != nil {
			return err
		}
		facts = append(facts, f)
	}
	var taken []*trail.Fact
	err := c.db.Write(ctx, func(tx *store.Tx) (err error) {
		if taken, err = trail.Take(tx, facts); err != nil {
			return err
		}
		if ok, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End); err != nil || !ok {
			return errors.Join(err, stream.ErrNotOwner)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock() // counted once it is committed: who waits for the count then asks the database
	defer c.mu.Unlock()
	for _, f := range taken {
		c.got[f.Stream] = append(c.got[f.Stream], f.Detail)
	}
	return nil
}

func (c *consumer) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, facts := range c.got {
		n += len(facts)
	}
	return n
}

func (c *consumer) heads(ctx context.Context, streams []trail.Head) (out []trail.Head, err error) {
	err = c.db.Read(ctx, func(tx *store.Tx) (err error) { out, err = trail.Heads(tx, streams); return err })
	return out, err
}

func TestLossInKafkaIsHealedInOrderAndOnce(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, trail.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	c := newClock()
	db, to := open(t, c), &consumer{db: open(t, c), got: map[string][]string{}}
	sent := make(chan struct{}, 100)
	w := &wire{to: cl, next: func(records []stream.Record) ([]stream.Record, error) {
		sent <- struct{}{}
		return append(slices.Clone(records[:3]), records[4:len(records)-1]...), nil // a hole and a lost tail, acknowledged
	}}
	relay := trail.NewRelay(db, trail.Outbox(db), w, c.Now, nil)
	facts := make([]trail.Fact, 0, 40)
	for i := range 20 {
		facts = append(facts, fact("writer/a", i), fact("writer/b", i))
	}
	appendFacts(t, db, facts...)
	_ = run(t, relay.Run)
	<-sent
	w.set(nil)
	reading, err := stream.NewConsumer(cl, stream.ConsumerConfig{Group: "g", Topics: []string{trail.Topic}, Offsets: to.db, Handle: to.handle, MaxWait: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_ = run(t, reading.Run)
	until(t, "what is not beyond a gap", func() bool { return to.count() == 3+19 })
	completer := trail.NewCompleter(db, relay, map[string]trail.AskHeads{"audit": to.heads}, nil)
	if n, err := completer.Round(t.Context()); n != 0 || err != nil {
		t.Fatalf("%d sent again at once, %v", n, err)
	}
	c.pass(61 * time.Second)
	if n, err := completer.Round(t.Context()); n != 17+1 || err != nil {
		t.Fatalf("%d sent again, %v, want 17 of one stream and the lost last of the other", n, err)
	}
	until(t, "all", func() bool { return to.count() == 40 })
	for stream, got := range to.got {
		for i, detail := range got {
			if detail != fmt.Sprint(i) {
				t.Fatalf("%s: %v", stream, got)
			}
		}
	}
	c.pass(61 * time.Second)
	if n, err := completer.Round(t.Context()); n != 0 || err != nil {
		t.Fatalf("%d sent again though all is taken, %v", n, err)
	}
	drill.Injected(t, int64(len(facts)-(3+19)), 28)
}

func TestConsumerThatGetsOnIsLeftAlone(t *testing.T) {
	c := newClock()
	db, w := open(t, c), &wire{}
	relay := trail.NewRelay(db, trail.Outbox(db), w, c.Now, nil)
	appendFacts(t, db, fact("a", 1), fact("a", 2), fact("a", 3))
	_ = run(t, relay.Run)
	until(t, "sent", func() bool { return len(w.details(t)) == 3 })
	head := int64(0)
	ask := func(_ context.Context, streams []trail.Head) ([]trail.Head, error) {
		return []trail.Head{{Stream: "a", Incarnation: 1, Seq: head}}, nil
	}
	completer := trail.NewCompleter(db, relay, map[string]trail.AskHeads{"audit": ask}, nil)
	round := func(want int64) {
		t.Helper()
		until(t, "relay", func() bool {
			rows, err := trail.Outbox(db).Unpublished(t.Context(), 10)
			return err == nil && len(rows) == 0
		})
		c.pass(61 * time.Second)
		if n, err := completer.Round(t.Context()); n != want || err != nil {
			t.Fatalf("%d sent again, %v, want %d", n, err, want)
		}
	}
	round(3)
	head = 1
	round(0)
	round(2)
	head = 3
	round(0)
}
