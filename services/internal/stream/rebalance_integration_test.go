//go:build integration

package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
)

// rebalancesVariable says how many rebalances are gone through: 1000 by hand, few
// where time is short.
const rebalancesVariable = "TIEOUT_TEST_REBALANCES"

func realKafka(t *testing.T) *parts.Kafka {
	t.Helper()
	k, err := parts.StartKafka(t.Context(), parts.Config{Dir: t.TempDir(), Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func clientOf(t *testing.T, brokers []string) *stream.Client {
	t.Helper()
	cl, err := stream.NewClient(stream.Config{Brokers: brokers, ClientID: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// What a consumer of records needs to survive on real brokers, one after the other.
func TestRebalancesOnRealParts(t *testing.T) {
	k := realKafka(t)
	drill.Injected(t, 20, 29)
	drill.Injected(t, 1, 30, 55) // a late worker; rows that went back
	cl := clientOf(t, k.Brokers)
	names := []string{"many", "trap", "ours", "back"}
	for _, name := range names {
		if err := cl.EnsureTopics(t.Context(), []stream.Topic{{Name: name, Partitions: 2, Replication: 3}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("many", func(t *testing.T) { manyRebalances(t, k, cl) })
	t.Run("the library's reader", func(t *testing.T) { readersTrap(t, k, cl) })
	t.Run("ours", func(t *testing.T) { oursInTheTrap(t, k, cl) })
	t.Run("database set back", func(t *testing.T) { setBack(t, cl) })
}

// manyRebalances: a second member comes and goes; the first one reads on, and
// holds no more goroutines and memory at the end than at the beginning.
func manyRebalances(t *testing.T, k *parts.Kafka, cl *stream.Client) {
	n := 20
	if v, err := strconv.Atoi(os.Getenv(rebalancesVariable)); err == nil {
		n = v
	}
	s := &sink{db: database(t)}
	member := func() stream.ConsumerConfig {
		cfg := s.config("many", "many")
		cfg.Heartbeat = 100 * time.Millisecond
		return cfg
	}
	consume(t, cl, member())
	generations := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.gens) }
	within(t, "the first generation", time.Minute, func() bool { return generations() > 0 })
	second := clientOf(t, k.Brokers)
	sent := 0
	round := func() {
		before := generations()
		_, stop := consume(t, second, member())
		within(t, "a generation of both", time.Minute, func() bool { return generations() >= before+2 })
		produce(t, cl, records("many", sent, 7))
		sent += 7
		stop()
		within(t, "a generation of one", time.Minute, func() bool { return generations() >= before+3 })
		within(t, "the records", time.Minute, func() bool { return len(s.values()) >= sent })
	}
	for range max(1, n/20) { // what is made once is there then
		round()
	}
	goroutines, heap := held()
	from, start := time.Now(), generations()
	for generations() < start+n {
		round()
	}
	within(t, "no goroutine more than before", time.Minute, func() bool { now, _ := held(); return now <= goroutines+5 })
	now, heapNow := held()
	if heapNow > heap+8<<20 {
		t.Errorf("%d KiB are held, at the beginning it was %d", heapNow>>10, heap>>10)
	}
	if got := len(distinctValues(s)); got != sent || len(s.values()) != sent {
		t.Errorf("%d of %d records stored, %d with repeats", got, sent, len(s.values()))
	}
	t.Logf("%d generations in %s: goroutines %d, then %d; heap %d KiB, then %d; %d records, each once", generations()-start, time.Since(from).Round(time.Second), goroutines, now, heap>>10, heapNow>>10, sent)
}

// held counts goroutines, and bytes that are in use after a collection.
func held() (goroutines int, heap uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

// readersTrap shows why the library's reader is not used: a worker that outlives a
// rebalance commits, through the member's new generation, an offset of a partition
// that it no longer owns; records before it that nobody has read are skipped.
func readersTrap(t *testing.T, k *parts.Kafka, cl *stream.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	produce(t, cl, records("trap", 0, 70))
	reader := func() *kafka.Reader {
		return kafka.NewReader(kafka.ReaderConfig{Brokers: k.Brokers, GroupID: "trap", Topic: "trap", HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 6 * time.Second,
			StartOffset: kafka.FirstOffset, MaxWait: 200 * time.Millisecond, ErrorLogger: kafka.LoggerFunc(func(string, ...any) {})})
	}
	first := reader()
	defer first.Close()
	last := map[int]kafka.Message{} // the newest of each partition, which a worker holds
	for range 70 {
		m, err := first.FetchMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		last[m.Partition] = m
	}
	second := reader()
	defer second.Close()
	got, err := second.FetchMessage(ctx) // the partition is the second reader's now, from its beginning
	if err != nil || got.Offset != 0 {
		t.Fatalf("the second reader begins at %d, %v", got.Offset, err)
	}
	p := got.Partition
	within(t, "the first reader's commit for a partition that it lost", 30*time.Second, func() bool {
		if err := first.CommitMessages(ctx, last[p]); err != nil {
			return false
		}
		at, err := cl.Committed(ctx, "trap", "trap", 2)
		return err == nil && at[p] == last[p].Offset+1
	})
	if err := errors.Join(second.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	third := reader()
	defer third.Close()
	produce(t, cl, records("trap", 70, 14))
	for {
		m, err := third.FetchMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Partition == p {
			if m.Offset != last[p].Offset+1 {
				t.Fatalf("the third reader begins at %d", m.Offset)
			}
			break
		}
	}
	t.Logf("partition %d: one record of %d was read by its owner, and its successor begins at %d", p, last[p].Offset+1, last[p].Offset+1)
}

// oursInTheTrap: the same worker, with an offset that is a row in SQL: what it does
// after it lost the partition is refused, and nothing is skipped or stored twice.
func oursInTheTrap(t *testing.T, k *parts.Kafka, cl *stream.Client) {
	db := database(t)
	produce(t, cl, records("ours", 0, 70))
	first, second := &sink{db: db}, &sink{db: db}
	held, leave := make(chan struct{}), make(chan struct{})
	type told struct {
		partition int
		err       error
	}
	late := make(chan told, 100)
	var once sync.Once
	cfg := first.config("ours", "ours")
	cfg.Handle = func(_ context.Context, b *stream.Batch) error {
		once.Do(func() { close(held) })
		<-leave // it does not look at its context
		err := first.handle(context.WithoutCancel(t.Context()), b)
		late <- told{b.Partition, err}
		return err
	}
	_, stop := consume(t, cl, cfg)
	<-held
	_, _ = consume(t, clientOf(t, k.Brokers), second.config("ours", "ours"))
	lost := -1 // the partition that is the second member's now
	within(t, "the second member has a partition", time.Minute, func() bool {
		second.mu.Lock()
		defer second.mu.Unlock()
		for _, g := range second.gens {
			for _, p := range g.Partitions["ours"] {
				lost = p
			}
		}
		return lost >= 0
	})
	_, end, err := cl.Bounds(t.Context(), "ours", lost)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the second member stores what is there", time.Minute, func() bool { return len(second.values()) == int(end) })
	close(leave)
	for x := range late {
		if x.partition == lost {
			if !errors.Is(x.err, stream.ErrNotOwner) {
				t.Errorf("the late worker is told %v", x.err)
			}
			break
		}
	}
	produce(t, cl, records("ours", 70, 14))
	within(t, "the next records", time.Minute, func() bool { return len(first.values())+len(second.values()) >= 84 })
	stop()
	all := append(first.values(), second.values()...)
	if n := len(distinct(all)); n != 84 || len(all) != 84 {
		t.Errorf("%d of 84 records are stored, %d with repeats", n, len(all))
	}
}

// setBack: a database from a backup is behind the group's offset. Reading goes on
// at the row, and the group's offset, which is ahead, skips nothing.
func setBack(t *testing.T, cl *stream.Client) {
	db := database(t)
	produce(t, cl, records("back", 0, 70))
	s := &sink{db: db}
	_, stop := consume(t, cl, s.config("back", "back"))
	within(t, "the records", time.Minute, func() bool { return len(s.values()) == 70 })
	rows := map[int]int64{}
	for p := range 2 {
		next, _, _, err := db.Offset(t.Context(), "back", p)
		if err != nil {
			t.Fatal(err)
		}
		rows[p] = next
	}
	stop()
	within(t, "the group's offset", 30*time.Second, func() bool {
		at, err := cl.Committed(t.Context(), "back", "back", 2)
		return err == nil && at[0] == rows[0] && at[1] == rows[1]
	})
	again := 0
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for p, next := range rows {
			if ok, err := store.Advance(tx, "back", p, next, next/2); err != nil || !ok {
				return errors.Join(err, errors.New("the row did not move"))
			}
			again += int(next - next/2)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	restored := &sink{db: db}
	consume(t, cl, restored.config("back", "back"))
	within(t, "what the backup lacks", time.Minute, func() bool { return len(restored.values()) == again })
	restored.mu.Lock()
	defer restored.mu.Unlock()
	if len(restored.gaps) != 2 || restored.gaps[0].Kind != stream.GapBehindGroup {
		t.Errorf("gaps %+v, want one for each partition that says that the database went back", restored.gaps)
	}
}
