//go:build integration

package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/stream"
)

// pump produces without a pause and counts what was acknowledged.
type pump struct {
	mu    sync.Mutex
	acked int
	err   error
}

func (p *pump) run(ctx context.Context, cl *stream.Client) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		from := p.acked
		p.mu.Unlock()
		err := cl.Produce(context.WithoutCancel(ctx), records("t", from, 10))
		p.mu.Lock()
		if err != nil {
			p.err = err
			p.mu.Unlock()
			return
		}
		p.acked += 10
		p.mu.Unlock()
	}
}

func (p *pump) state() (acked int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked, p.err
}

// Brokers are killed, frozen and restarted one after the other while two members
// of a group read: nothing that was acknowledged is lost, the order in each
// partition holds, and reading goes on within half a minute.
func TestLossesOfBrokersOnRealParts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	k, err := parts.StartKafka(ctx, parts.Config{Dir: t.TempDir(), Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
	member := func() *stream.Client { // a connection pool of its own, as in another process
		cl, err := stream.NewClient(stream.Config{Brokers: k.Brokers, ClientID: "test", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cl.Close() })
		return cl
	}
	producer, first, second := member(), member(), member()
	if err := producer.EnsureTopics(ctx, []stream.Topic{{Name: "t", Partitions: 6, Replication: 3}}); err != nil {
		t.Fatal(err)
	}
	s := &sink{db: database(t)}
	consume(t, first, s.config("g", "t"))
	consume(t, second, s.config("g", "t"))
	p := &pump{}
	pumping, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { p.run(pumping, producer) })
	defer working.Wait()
	defer stop()
	reach(t, p, s, "the beginning", 60*time.Second)
	for _, harm := range []struct {
		name string
		do   func(n int) error
		heal func(n int) error
	}{
		{"killed", k.Kill, func(n int) error { return k.StartBroker(ctx, n) }},
		{"frozen", k.Freeze, k.Thaw},
		{"restarted", func(n int) error { return k.StopBroker(n) }, func(n int) error { return k.StartBroker(ctx, n) }},
	} {
		for n := 1; n <= 3; n++ {
			name := fmt.Sprintf("broker %d is %s", n, harm.name)
			if err := harm.do(n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			reach(t, p, s, name, 40*time.Second)
			if err := harm.heal(n); err != nil {
				t.Fatalf("%s, and healed: %v", name, err)
			}
			reach(t, p, s, name+", and healed", 40*time.Second)
			within(t, "all three replicas in sync", time.Minute, func() bool { return inSync(ctx, k.Brokers) })
		}
	}
	quorumLost(t, k, p)
	reach(t, p, s, "two of three brokers were frozen", 40*time.Second)
	stop()
	working.Wait()
	acked, err := p.state()
	if err != nil {
		t.Fatal(err)
	}
	within(t, "all that was acknowledged", 40*time.Second, func() bool { return len(distinct(s.values())) == acked })
	inOrder(t, s.values())
	t.Logf("%d records acknowledged and read, %d of them more than once in the log", acked, len(s.values())-acked)
	drill.Injected(t, 3, 20, 22, 23)
	drill.Injected(t, 1, 21, 24)
}

// inSync reports whether each partition has all its replicas: the loss of two
// brokers at once is another promise.
func inSync(ctx context.Context, brokers []string) bool {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	cl := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 5 * time.Second, Transport: transport}
	res, err := cl.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{"t"}})
	if err != nil {
		return false
	}
	for _, p := range res.Topics[0].Partitions {
		if len(p.Isr) != 3 {
			return false
		}
	}
	return len(res.Topics[0].Partitions) == 6
}

// reach waits until what is acknowledged from now on is read, in each partition.
func reach(t *testing.T, p *pump, s *sink, what string, limit time.Duration) {
	t.Helper()
	from := time.Now()
	before, _ := p.state()
	within(t, "records after "+what, limit, func() bool {
		acked, err := p.state()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return acked >= before+40 && len(distinct(s.values())) >= before+40
	})
	t.Logf("%s: records go through after %s", what, time.Since(from).Round(10*time.Millisecond))
}

// quorumLost freezes two of three brokers for a while: fewer than a write needs.
// Nothing is acknowledged meanwhile.
func quorumLost(t *testing.T, k *parts.Kafka, p *pump) {
	t.Helper()
	for n := 1; n <= 2; n++ {
		if err := k.Freeze(n); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(2 * time.Second) // what was on its way
	before, _ := p.state()
	<-time.After(5 * time.Second)
	if after, err := p.state(); after > before+10 || err != nil {
		t.Errorf("%d records were acknowledged by one of three brokers (%v)", after-before, err)
	}
	for n := 1; n <= 2; n++ {
		if err := k.Thaw(n); err != nil {
			t.Fatal(err)
		}
	}
}

func within(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

func distinct(values []string) map[string]bool {
	out := map[string]bool{}
	for _, v := range values {
		out[v] = true
	}
	return out
}

// inOrder: repeats left out, the numbers of a partition ascend.
func inOrder(t *testing.T, values []string) {
	t.Helper()
	last, seen := map[string]int{}, map[string]bool{}
	for _, v := range values {
		if seen[v] {
			continue
		}
		seen[v] = true
		i := strings.LastIndexByte(v, '/')
		n, err := strconv.Atoi(v[i+1:])
		if err != nil {
			t.Fatal(err)
		}
		if n < last[v[:i]] {
			t.Errorf("%d comes after %d in %s", n, last[v[:i]], v[:i])
		}
		last[v[:i]] = n
	}
}
