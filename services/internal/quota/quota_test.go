package quota

import (
	"math/rand/v2"
	"slices"
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

// A task takes what it may take at most and gives back what it did not need:
// no window ever holds more than the share, and nothing stays taken for good.
func TestReservationsKeepTheShareAndGiveBack(t *testing.T) {
	for seed := range uint64(20) {
		limits := []connector.Limit{{Requests: 100, Window: 10 * time.Second}, {Requests: 5000, Window: time.Hour}}
		l := New(limits, 70)
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(0, 0)
		var sent []time.Time
		type task struct {
			Reservation
			used int
			ends time.Time
		}
		var open []task
		for range 3000 {
			for i := 0; i < len(open); i++ {
				if x := open[i]; !x.ends.After(now) {
					for range x.used { // anywhere between its start and its end
						sent = append(sent, x.at.Add(time.Duration(r.Int64N(int64(x.ends.Sub(x.at))+1))))
					}
					l.Settle(now, x.Reservation, x.used)
					open = append(open[:i], open[i+1:]...)
					i--
				}
			}
			n := 1 + r.IntN(8)
			res, again, ok := l.Reserve(now, n)
			switch {
			case ok:
				open = append(open, task{res, r.IntN(n + 1), now.Add(time.Duration(r.IntN(100)) * time.Millisecond)})
				now = now.Add(time.Duration(r.IntN(100)) * time.Millisecond)
			case !again.After(now):
				t.Fatalf("seed %d: refused at %v and to be asked again at %v", seed, now, again)
			default:
				now = now.Add(min(again.Sub(now), 100*time.Millisecond))
			}
		}
		slices.SortFunc(sent, time.Time.Compare)
		for i := range sent {
			if i >= 70 && sent[i].Sub(sent[i-70]) < 10*time.Second {
				t.Fatalf("seed %d: 71 requests within %s", seed, sent[i].Sub(sent[i-70]))
			}
		}
		for _, x := range open {
			l.Settle(now, x.Reservation, 0)
		}
		if free, _ := l.Available(now.Add(time.Hour)); free != 70 {
			t.Fatalf("seed %d: %d are free in the end", seed, free)
		}
		if len(l.windows[1].sent) > grains+2 {
			t.Fatalf("it remembers %d departures", len(l.windows[1].sent))
		}
	}
}

// A task that is larger than a window gets the whole window, once it is free.
func TestATaskLargerThanAWindow(t *testing.T) {
	l := New([]connector.Limit{{Requests: 5, Window: time.Second}}, 100)
	now := time.Unix(0, 0)
	if _, _, ok := l.Reserve(now, 8); !ok {
		t.Fatal("an empty window refuses it")
	}
	_, again, ok := l.Reserve(now, 8)
	if ok || again != now.Add(time.Second+slack) {
		t.Fatalf("%v, again at %v", ok, again)
	}
	if _, _, ok := l.Reserve(again, 8); !ok {
		t.Error("refused at the moment that it named")
	}
}

// Half a window goes at once; the rest is spread over it.
func TestThePaceSpreadsTheRest(t *testing.T) {
	l := New([]connector.Limit{{Requests: 100, Window: 10 * time.Second}}, 80)
	now := time.Unix(0, 0)
	for range 5 {
		if w := l.Pace(now, 8); w != 0 {
			t.Fatalf("waits %s with half of it free", w)
		}
		l.Spend(now, 8)
	}
	if l.Spend(now, 1); l.Pace(now, 8) != time.Second+slack/10 {
		t.Errorf("waits %s", l.Pace(now, 8))
	}
	if w := l.Pace(now.Add(10*time.Second+slack), 8); w != 0 {
		t.Errorf("waits %s in a new window", w)
	}
}

// The vendor counts what arrives: a burst that was held up on its way does not
// meet the next one within a window of the vendor's.
func TestAWindowIsLongerThanTheVendors(t *testing.T) {
	l := New([]connector.Limit{{Requests: 10, Window: time.Second}, {Requests: 500, Window: time.Minute}}, 85)
	now := time.Unix(0, 0)
	l.Spend(now, 8)
	late := now.Add(slack - time.Millisecond)
	if _, next := l.Available(now); next.Sub(late) < time.Second {
		t.Errorf("8 that arrive %s late meet the next 8 after %s", late.Sub(now), next.Sub(late))
	}
	if _, limit, size := l.Used(now); limit != 425 || size != time.Minute {
		t.Errorf("a person is told %d in %s", limit, size)
	}
}

// A request that leaves late counts from then on, and one that a window forgot
// needs another place.
func TestADepartureCountsWhenItLeaves(t *testing.T) {
	l := New([]connector.Limit{{Requests: 2, Window: time.Second}}, 100)
	now := time.Unix(0, 0)
	l.Spend(now, 2)
	if !l.Leave(now, now.Add(900*time.Millisecond)) {
		t.Fatal("it is not known any more")
	}
	if n, _ := l.Available(now.Add(time.Second + slack)); n != 1 {
		t.Errorf("%d may leave when one of two has just left", n)
	}
	if l.Leave(now, now.Add(time.Second+slack)) {
		t.Error("a window that is over has kept it")
	}
}

// Places that are booked follow each other, and what is spent comes after them.
func TestBookedPlacesKeepTheShare(t *testing.T) {
	l := New([]connector.Limit{{Requests: 2, Window: time.Second}}, 100)
	now := time.Unix(0, 0)
	for i := range 6 {
		if at := l.Book(now); at.Sub(now) != time.Duration(i/2)*(time.Second+slack) {
			t.Errorf("place %d is after %s", i+1, at.Sub(now))
		}
	}
	if n, at := l.Available(now.Add(2 * time.Second)); n != 0 || at.Sub(now) != 3*(time.Second+slack) {
		t.Errorf("%d may leave past those who booked, the next after %s", n, at.Sub(now))
	}
}
