package stream_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
)

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster) *stream.Client {
	t.Helper()
	cl, err := stream.NewClient(stream.Config{Brokers: c.ListenAddrs(), ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func topics(t *testing.T, cl *stream.Client, partitions int, names ...string) {
	t.Helper()
	want := make([]stream.Topic, 0, len(names))
	for _, name := range names {
		want = append(want, stream.Topic{Name: name, Partitions: partitions, Config: map[string]string{"cleanup.policy": "delete"}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cl.EnsureTopics(ctx, want); err != nil {
		t.Fatal(err)
	}
}

func database(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: filepath.Join(t.TempDir(), "a.db"), Name: "test"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// sink stores what it is given: the numbers of the records and the offset row.
type sink struct {
	db *store.DB

	mu   sync.Mutex
	got  []string // topic/partition/value
	fail func(b *stream.Batch) error
	gaps []stream.Gap
	gens []stream.Generation
	gone []int32
}

func (s *sink) handle(ctx context.Context, b *stream.Batch) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(b); err != nil {
			return err
		}
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		ok, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		if err != nil || !ok {
			return errors.Join(err, stream.ErrNotOwner)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range b.Records {
			s.got = append(s.got, fmt.Sprintf("%s/%d/%s", r.Topic, r.Partition, r.Value))
		}
		return nil
	})
}

func (s *sink) config(group string, topics ...string) stream.ConsumerConfig {
	return stream.ConsumerConfig{Group: group, Topics: topics, Offsets: s.db, Handle: s.handle, MaxWait: 200 * time.Millisecond,
		OnAssigned: func(g stream.Generation) { s.mu.Lock(); defer s.mu.Unlock(); s.gens = append(s.gens, g) },
		OnRevoked:  func(g stream.Generation) { s.mu.Lock(); defer s.mu.Unlock(); s.gone = append(s.gone, g.ID) },
		OnGap: func(_ context.Context, g stream.Gap) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.gaps = append(s.gaps, g)
			return nil
		}}
}

func (s *sink) values() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.got) }

// consume runs a consumer until stop is called, which waits for its end.
func consume(t *testing.T, cl *stream.Client, cfg stream.ConsumerConfig) (c *stream.Consumer, stop func()) {
	t.Helper()
	c, err := stream.NewConsumer(cl, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the consumer does not stop")
		}
	})
	t.Cleanup(stop)
	return c, stop
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

func records(topic string, from, n int) []stream.Record {
	out := make([]stream.Record, n)
	for i := range out {
		out[i] = stream.Record{Topic: topic, Key: fmt.Sprintf("k%d", (from+i)%7), Value: fmt.Append(nil, from+i)}
	}
	return out
}

func produce(t *testing.T, cl *stream.Client, rs []stream.Record) {
	t.Helper()
	if err := cl.Produce(t.Context(), rs); err != nil {
		t.Fatal(err)
	}
}

func TestPartitionIsFNV1a(t *testing.T) {
	for _, key := range []string{"", "a", "hubspot/48213/company/5", "quickbooks/4620816365"} {
		h := fnv.New64a()
		_, _ = h.Write([]byte(key))
		if got, want := stream.Partition(key, 12), int(h.Sum64()%12); got != want {
			t.Errorf("%q: partition %d, want %d", key, got, want)
		}
	}
}

func TestEnsureTopicsMakesAndChecks(t *testing.T) {
	cl := client(t, cluster(t))
	topics(t, cl, 3, "a", "b")
	topics(t, cl, 3, "a", "b", "c")
	err := cl.EnsureTopics(t.Context(), []stream.Topic{{Name: "a", Partitions: 4}})
	if err == nil || !strings.Contains(err.Error(), "topic a has partitions 3, this program wants 4") {
		t.Fatalf("another number of partitions: %v", err)
	}
	drill.Injected(t, 1, 35)
}

func TestRecordsArriveInOrderAndTheRowCounts(t *testing.T) {
	cl, db := client(t, cluster(t)), database(t)
	topics(t, cl, 3, "t")
	s := &sink{db: db}
	produce(t, cl, records("t", 0, 100))
	c, stop := consume(t, cl, s.config("g", "t"))
	until(t, "first records", func() bool { return len(s.values()) == 100 })
	produce(t, cl, records("t", 100, 900))
	until(t, "all records", func() bool { return len(s.values()) == 1000 })
	last := map[string]int{}
	for _, v := range s.values() {
		var p, n int
		if _, err := fmt.Sscanf(v, "t/%d/%d", &p, &n); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("k%d", n%7)
		if want := stream.Partition(key, 3); p != want {
			t.Fatalf("%s of key %s, want partition %d", v, key, want)
		}
		if before, ok := last[key]; ok && n <= before {
			t.Fatalf("key %s: %d after %d", key, n, before)
		}
		last[key] = n
	}
	stop()
	sum := int64(0)
	for p := range 3 {
		next, _, _, err := db.Offset(t.Context(), "t", p)
		if err != nil {
			t.Fatal(err)
		}
		sum += next
	}
	if sum != 1000 || len(c.Lag()) != 0 || len(s.gaps) != 0 || len(s.gens) != 1 || len(s.gone) != 1 {
		t.Fatalf("rows %d, lag %v, gaps %v, generations %v, revoked %v", sum, c.Lag(), s.gaps, s.gens, s.gone)
	}
}

func TestFailedBatchComesAgainAndLagShows(t *testing.T) {
	cl, db := client(t, cluster(t)), database(t)
	topics(t, cl, 1, "t")
	produce(t, cl, records("t", 0, 5))
	s := &sink{db: db}
	release := make(chan struct{})
	tries := 0
	s.fail = func(*stream.Batch) error {
		if tries++; tries < 3 {
			return errors.New("database is away")
		}
		<-release
		return nil
	}
	c, _ := consume(t, cl, s.config("g", "t"))
	until(t, "lag", func() bool { return c.Lag()[stream.TopicPartition{Topic: "t"}] == 5 })
	close(release)
	until(t, "records", func() bool { return len(s.values()) == 5 })
	until(t, "no lag", func() bool { return c.Lag()[stream.TopicPartition{Topic: "t"}] == 0 })
}

func TestRowMovedByAnotherIsReadAgain(t *testing.T) {
	cl, db := client(t, cluster(t)), database(t)
	topics(t, cl, 1, "t")
	s := &sink{db: db}
	once := sync.OnceFunc(func() {
		err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := store.Advance(tx, "t", 0, 0, 3); return err })
		if err != nil {
			t.Error(err)
		}
	})
	s.fail = func(*stream.Batch) error { once(); return nil }
	produce(t, cl, records("t", 0, 5))
	_, _ = consume(t, cl, s.config("g", "t"))
	until(t, "the rest", func() bool { return len(s.values()) == 2 })
	if got := s.values(); !slices.Equal(got, []string{"t/0/3", "t/0/4"}) {
		t.Fatalf("got %v, want what the other owner had not stored", got)
	}
}

func TestMembersOwnTheSamePartitionsOfAllTopics(t *testing.T) {
	k, db := cluster(t), database(t)
	a, b := client(t, k), client(t, k)
	topics(t, a, 4, "x", "y")
	first, second := &sink{db: db}, &sink{db: db}
	_, stopFirst := consume(t, a, first.config("g", "x", "y"))
	_, _ = consume(t, b, second.config("g", "x", "y"))
	newest := func(s *sink) map[string][]int {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.gens) == 0 {
			return nil
		}
		return s.gens[len(s.gens)-1].Partitions
	}
	until(t, "shared", func() bool { return len(newest(first)["x"]) == 2 && len(newest(second)["x"]) == 2 })
	for _, s := range []*sink{first, second} {
		if got := newest(s); !slices.Equal(got["x"], got["y"]) {
			t.Fatalf("partitions %v", got)
		}
	}
	produce(t, a, records("x", 0, 200))
	produce(t, a, records("y", 0, 200))
	stopFirst()
	until(t, "taken over", func() bool { return len(newest(second)["x"]) == 4 })
	produce(t, b, records("x", 200, 100))
	until(t, "all", func() bool { return len(first.values())+len(second.values()) >= 500 })
	all := append(first.values(), second.values()...)
	slices.Sort(all)
	if len(all) != 500 || len(slices.Compact(all)) != 500 {
		t.Fatalf("%d records stored, want each of 500 once", len(all))
	}
	second.mu.Lock()
	defer second.mu.Unlock()
	drill.Injected(t, int64(len(second.gens)-1), 29)
}

func TestGaps(t *testing.T) {
	for _, tc := range []struct {
		kind   stream.GapKind
		before func(t *testing.T, k *kfake.Cluster, cl *stream.Client, db *store.DB)
		want   []string
	}{
		{stream.GapBeyondEnd, func(t *testing.T, k *kfake.Cluster, cl *stream.Client, db *store.DB) {
			move(t, db, 5, 9)
		}, []string{"t/0/100"}},
		{stream.GapRenewed, func(t *testing.T, k *kfake.Cluster, cl *stream.Client, db *store.DB) {
			remake(t, k)
			produce(t, cl, records("t", 50, 7))
		}, []string{"t/0/50", "t/0/51", "t/0/52", "t/0/53", "t/0/54", "t/0/55", "t/0/56", "t/0/100"}},
		{stream.GapTrimmed, func(t *testing.T, k *kfake.Cluster, cl *stream.Client, db *store.DB) {
			produce(t, cl, records("t", 5, 3))
			trim(t, k, 7)
		}, []string{"t/0/7", "t/0/100"}},
		{stream.GapBehindGroup, func(t *testing.T, k *kfake.Cluster, cl *stream.Client, db *store.DB) {
			move(t, db, 5, 4)
		}, []string{"t/0/4", "t/0/100"}},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			k, db := cluster(t), database(t)
			cl := client(t, k)
			topics(t, cl, 1, "t")
			produce(t, cl, records("t", 0, 5))
			s := &sink{db: db}
			_, stop := consume(t, cl, s.config("g", "t"))
			until(t, "first run", func() bool { return len(s.values()) == 5 })
			stop()
			tc.before(t, k, cl, db)
			s = &sink{db: db}
			_, _ = consume(t, cl, s.config("g", "t"))
			until(t, "gap", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.gaps) == 1 })
			if got := s.gaps[0].Kind; got != tc.kind {
				t.Fatalf("gap %+v, want %s", s.gaps[0], tc.kind)
			}
			until(t, "row", func() bool {
				next, _, _, err := db.Offset(t.Context(), "t", 0)
				return err == nil && next == s.gaps[0].Resume || len(s.values()) > 0
			})
			produce(t, cl, records("t", 100, 1))
			until(t, "the new record", func() bool { return slices.Contains(s.values(), "t/0/100") })
			if got := s.values(); !slices.Equal(got, tc.want) {
				t.Fatalf("got %v, want %v", got, tc.want)
			}
		})
	}
	drill.Injected(t, 1, 34, 36, 55) // a case above each: trimmed, renewed, behind the group
}

func move(t *testing.T, db *store.DB, from, to int64) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		ok, err := store.Advance(tx, "t", 0, from, to)
		if !ok {
			t.Errorf("the row does not stand at %d", from)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func remake(t *testing.T, k *kfake.Cluster) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(k.ListenAddrs()...), Transport: transport}
	if _, err := admin.DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	topics(t, client(t, k), 1, "t") // a client that has not seen the old one
}

func trim(t *testing.T, k *kfake.Cluster, before int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	ask(t, k, req)
}

// What the group's offset in Kafka says counts for nothing, be it lost, behind or
// ahead: the row in the database does.
func TestTheGroupsOffsetIsNotBelieved(t *testing.T) {
	for _, c := range []struct {
		name   string
		offset int64
	}{{"set to the earliest", 0}, {"set to the latest", 10}} {
		t.Run(c.name, func(t *testing.T) {
			k, db := cluster(t), database(t)
			cl := client(t, k)
			topics(t, cl, 1, "t")
			produce(t, cl, records("t", 0, 5))
			s := &sink{db: db}
			_, stop := consume(t, cl, s.config("g", "t"))
			until(t, "the first half", func() bool { return len(s.values()) == 5 })
			stop()
			produce(t, cl, records("t", 5, 5))
			commit(t, k, "g", c.offset)
			_, _ = consume(t, cl, s.config("g", "t"))
			until(t, "the second half", func() bool { return len(s.values()) == 10 })
			if got := s.values(); len(slices.Compact(slices.Sorted(slices.Values(got)))) != 10 {
				t.Errorf("%v: each record is stored once", got)
			}
		})
	}
	drill.Injected(t, 2, 31, 32)
}

// commit sets a group's offset, as an operator does with Kafka's tools.
func commit(t *testing.T, k *kfake.Cluster, group string, offset int64) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(k.ListenAddrs()...), Transport: transport}
	until(t, "the group's offset is set", func() bool {
		res, err := admin.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
			GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{"t": {{Partition: 0, Offset: offset}}},
		})
		return err == nil && len(res.Topics["t"]) == 1 && res.Topics["t"][0].Error == nil
	})
}

func TestProduceOutlivesAFailoverButNotARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		k, err := kfake.NewCluster(kfake.Ports(9001), kfake.SeedTopics(1, "t"), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs(), Dial: network.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cl.Close() }()
		fail := func(err *kerr.Error) *kfake.FaultHandle {
			return k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1})
		}
		away := fail(kerr.NotLeaderForPartition)
		time.AfterFunc(25*time.Second, func() { away.Remove() })
		if err := cl.Produce(t.Context(), records("t", 0, 3)); err != nil {
			t.Fatalf("the leader was away for 25 s: %v", err)
		}
		away = fail(kerr.NotLeaderForPartition)
		start := time.Now()
		if err := cl.Produce(t.Context(), records("t", 3, 1)); !errors.Is(err, kafka.NotLeaderForPartition) || time.Since(start) < 30*time.Second {
			t.Fatalf("gave up after %v: %v", time.Since(start), err)
		}
		away.Remove()
		fail(kerr.MessageTooLarge)
		start = time.Now()
		if err := cl.Produce(t.Context(), records("t", 3, 1)); !errors.Is(err, kafka.MessageSizeTooLarge) || time.Since(start) > time.Second {
			t.Fatalf("refused record: %v after %v", err, time.Since(start))
		}
		if high := k.PartitionInfo("t", 0).HighWatermark; high != 3 {
			t.Fatalf("%d records in the log, want 3", high)
		}
	})
	drill.Injected(t, 1, 37)
}

func TestTraceGoesThroughKafka(t *testing.T) {
	k, db := cluster(t), database(t)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	tracer := provider.Tracer("test")
	cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs(), Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	topics(t, cl, 1, "t")
	ctx, root := tracer.Start(t.Context(), "admit")
	record := stream.Record{Topic: "t", Key: "k", Value: []byte("v"), Headers: stream.Inject(ctx, []stream.Header{{Key: stream.HeaderTraceParent, Value: "old"}})}
	root.End()
	plain := stream.Record{Topic: "t", Key: "k", Value: []byte("w"), Headers: []stream.Header{{Key: stream.HeaderLane, Value: "l"}}}
	produce(t, cl, []stream.Record{record, plain})
	s := &sink{db: db}
	s.fail = func(b *stream.Batch) error {
		for i := range b.Records {
			_, span := b.Process(t.Context(), &b.Records[i])
			span.End()
		}
		return nil
	}
	_, stop := consume(t, cl, s.config("g", "t"))
	until(t, "records", func() bool { return len(s.values()) == 2 })
	stop()
	byName := map[string]tracetest.SpanStub{}
	for _, span := range spans.GetSpans() {
		byName[span.Name] = span
	}
	created, processed, polled, sent := byName["create t"], byName["process t"], byName["poll t"], byName["send t"]
	if created.Parent.SpanID() != root.SpanContext().SpanID() || processed.Parent.SpanID() != created.SpanContext.SpanID() ||
		processed.SpanContext.TraceID() != root.SpanContext().TraceID() {
		t.Fatalf("admit %v, create %v of %v, process of %v", root.SpanContext().SpanID(), created.SpanContext.SpanID(), created.Parent.SpanID(), processed.Parent.SpanID())
	}
	if len(sent.Links) != 1 || len(polled.Links) != 1 || polled.Links[0].SpanContext.SpanID() != created.SpanContext.SpanID() ||
		len(processed.Links) != 1 || processed.Links[0].SpanContext.SpanID() != polled.SpanContext.SpanID() {
		t.Fatalf("links: send %d, poll %v, process %v", len(sent.Links), polled.Links, processed.Links)
	}
	if created.SpanKind != trace.SpanKindProducer || sent.SpanKind != trace.SpanKindClient || polled.SpanKind != trace.SpanKindClient || processed.SpanKind != trace.SpanKindConsumer {
		t.Fatal("span kinds")
	}
	if len(byName) != 5 {
		t.Fatalf("spans %v, want none for the record without a trace", byName)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	k, db := cluster(t), database(t)
	cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	topics(t, cl, 4, "t")
	produce(t, cl, records("t", 0, 50))
	s := &sink{db: db}
	_, stop := consume(t, cl, s.config("g", "t"))
	until(t, "records", func() bool { return len(s.values()) == 50 })
	stop()
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	text := ""
	defer func() {
		if t.Failed() {
			t.Log(text)
		}
	}()
	until(t, "no goroutine of ours or of the library", func() bool {
		stacks := make([]byte, 1<<20)
		text = string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "segmentio/kafka-go.") && !strings.Contains(text, "stream.(*worker)")
	})
}

func TestStopWaitsForTheHandler(t *testing.T) {
	cl, db := client(t, cluster(t)), database(t)
	topics(t, cl, 1, "t")
	produce(t, cl, records("t", 0, 1))
	s := &sink{db: db}
	entered, leave := make(chan struct{}), make(chan struct{})
	s.fail = func(*stream.Batch) error { close(entered); <-leave; return nil }
	_, stop := consume(t, cl, s.config("g", "t"))
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	until(t, "revoked", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.gone) == 1 })
	close(leave)
	<-stopped
	if got := s.values(); len(got) != 1 {
		t.Fatalf("stored %v, want the batch in flight", got)
	}
}
