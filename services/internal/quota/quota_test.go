package quota

import (
	"math/rand/v2"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
)

// No window of either size ever holds more than our share, whatever the pace.
func TestNoWindowHoldsMoreThanTheShare(t *testing.T) {
	l := New([]connector.Limit{{Requests: 10, Window: time.Second}, {Requests: 100, Window: time.Minute}}, 85)
	r := rand.New(rand.NewPCG(7, 7))
	now := time.Unix(0, 0)
	var sent []time.Time
	for range 5000 {
		n, at := l.Available(now)
		if n == 0 {
			if !at.After(now) {
				t.Fatalf("nothing is available at %v, and the next moment is %v", now, at)
			}
			now = at
			continue
		}
		n = 1 + r.IntN(n)
		l.Spend(now, n)
		for range n {
			sent = append(sent, now)
		}
		now = now.Add(time.Duration(r.IntN(200)) * time.Millisecond)
	}
	for i := range sent {
		if i >= 8 && sent[i].Sub(sent[i-8]) < time.Second {
			t.Fatalf("9 requests within a second at %v", sent[i])
		}
		if i >= 85 && sent[i].Sub(sent[i-85]) < time.Minute {
			t.Fatalf("86 requests within a minute at %v", sent[i])
		}
	}
	if used, limit, size := l.Used(now); limit != 85 || size != time.Minute || used == 0 {
		t.Fatalf("used %d of %d in %v", used, limit, size)
	}
}
