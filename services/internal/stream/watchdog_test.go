package stream_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tieout.dev/services/internal/stream"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// A partition that stands still with unread records gets a new generation, in
// which it is read; one without unread records gets none.
func TestWatchdogStartsANewGeneration(t *testing.T) {
	k, db := cluster(t), database(t)
	log := &lines{}
	cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	topics(t, cl, 2, "t")
	s := &sink{db: db}
	cfg := s.config("g", "t")
	cfg.StuckAfter, cfg.Heartbeat = 600*time.Millisecond, 100*time.Millisecond
	held, once := make(chan struct{}), sync.Once{}
	cfg.Handle = func(ctx context.Context, b *stream.Batch) error {
		lost := false
		once.Do(func() { lost = true })
		if lost { // as one that waits for an answer which never comes
			close(held)
			<-ctx.Done()
			return ctx.Err()
		}
		return s.handle(ctx, b)
	}
	generations := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.gens) }
	_, stop := consume(t, cl, cfg)
	until(t, "the first generation", func() bool { return generations() == 1 })
	idle := time.NewTimer(3 * cfg.StuckAfter)
	<-idle.C
	if n := generations(); n != 1 {
		t.Errorf("%d generations while there was nothing to read", n)
	}
	produce(t, cl, records("t", 0, 20))
	<-held
	until(t, "all records", func() bool { return len(distinctValues(s)) == 20 })
	stop()
	if n := generations(); n < 2 {
		t.Errorf("%d generations, and a partition stood still", n)
	}
	if said := log.String(); !strings.Contains(said, "does not move: the group is joined anew") || !strings.Contains(said, "topic=t") {
		t.Errorf("the log does not say it:\n%s", said)
	}
}

func distinctValues(s *sink) map[string]bool {
	out := map[string]bool{}
	for _, v := range s.values() {
		out[v] = true
	}
	return out
}
