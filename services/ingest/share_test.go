package ingest

import (
	"context"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// However much bulk there is to read, it takes its part only; what somebody
// waits for finds the rest, and may have all of it.
func TestBulkLeavesTheRestOfTheShare(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := newShare([]connector.Limit{{Requests: 100, Window: 10 * time.Second}})
	count := func(class event.Class, n int) (tasks int) {
		for {
			_, again, ok := s.take(now, n, class)
			if !ok {
				if !again.After(now) {
					t.Fatal("refused now, and to be asked again now")
				}
				return tasks
			}
			tasks++
		}
	}
	if n := count(event.Bulk, 1); n != 35 {
		t.Fatalf("bulk took %d of 70", n)
	}
	if n := count(event.Realtime, 7); n != 5 {
		t.Fatalf("realtime got %d batches of the 5 that are left", n)
	}
	if n := count(event.Bulk, 1); n != 0 {
		t.Fatalf("bulk took %d more", n)
	}
	now = now.Add(11 * time.Second)
	if n := count(event.Realtime, 1); n != 70 {
		t.Fatalf("realtime got %d of an idle share", n)
	}
	if _, _, ok := s.take(now, 1, event.Bulk); ok {
		t.Fatal("bulk got what was spent")
	}
	now = now.Add(11 * time.Second)
	if n := count(event.Bulk, 1); n != 35 {
		t.Fatalf("what bulk was refused counts as taken: it got %d", n)
	}
}

// A listing waits before each of its requests: a long one never takes more than
// its part, where counting afterwards would have it overshoot the limit.
func TestALongListingKeepsWithinItsPart(t *testing.T) {
	c := openCRM(t)
	s := c.in.sources[0]
	s.share = newShare([]connector.Limit{{Requests: 10, Window: time.Hour}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	asked := s.gated(ctx, inBulk)
	for n := 1; ; n++ {
		for _, err := range c.conn.Source.Changes(asked, "company", "") {
			if err == nil {
				continue
			}
			if n != 4 || ctx.Err() == nil {
				t.Fatalf("request %d was refused: %v", n, err)
			}
			if sent, _ := c.sent(); sent != 3 {
				t.Fatalf("%d requests left, 3 may", sent)
			}
			return
		}
	}
}

// Replicas read beside each other: each takes its part of our share, and what
// one leaves when it ends is the others' again.
func TestReplicasDivideTheShare(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := newShare([]connector.Limit{{Requests: 100, Window: 10 * time.Second}})
	left := func() (n int) {
		n, _ = s.all.Available(now)
		return n
	}
	for _, c := range []struct{ replicas, left int }{{1, 70}, {3, 23}, {100, 1}, {1, 70}} {
		if s.divide(c.replicas); left() != c.left {
			t.Errorf("one of %d has %d requests, want %d", c.replicas, left(), c.left)
		}
	}
	if _, _, ok := s.take(now, 40, event.Realtime); !ok {
		t.Fatal("nothing was left")
	}
	if s.divide(2); left() != 0 {
		t.Errorf("with 40 of its 35 spent it may send %d more", left())
	}
}
