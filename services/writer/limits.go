package writer

import (
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/quota"
	"tieout.dev/services/writer/protocol"
)

const (
	// realtimeFloor and bulkFloor are what each class always gets of our share,
	// in percent of it. Realtime's stands free also while nobody uses it: a window
	// that bulk had spent whole would have the next one wait until it is over.
	realtimeFloor = 25
	bulkFloor     = 10
	// flyingKept is how many requests in flight bulk leaves to realtime.
	flyingKept = 2
)

// limits keep a target's requests within our share of the vendor's limits, and
// the share fair between the classes.
type limits struct {
	all, realtime, bulk, batches *quota.Log
	inFlight                     int
	bulkWaits                    bool      // the last turn saw bulk
	batched                      time.Time // when the last shared call left
}

func newLimits(c connector.Claims, share int) *limits {
	return &limits{
		all: quota.New(c.Limits, share), realtime: quota.New(c.Limits, max(1, share*realtimeFloor/100)),
		bulk: quota.New(c.Limits, max(1, share*bulkFloor/100)), batches: quota.New(c.BatchLimits, share), inFlight: c.MaxInFlight,
	}
}

// budget is what may leave in a turn.
type budget struct {
	all, realtime, bulk, batches int
	free                         time.Duration // until more may of a class that may not now, 0 if each may
}

// most returns what may leave now, with so many requests under way. A floor
// that was not spent in the window stands free for its class.
func (l *limits) most(now time.Time, flying int) budget {
	n, at := l.all.Available(now)
	b := budget{free: at.Sub(now)}
	realtimeLeft, realtimeAt := l.realtime.Available(now)
	bulkLeft, bulkAt := l.bulk.Available(now)
	if l.bulkWaits && n > 0 { // what is left may be the other class's alone
		if bulkLeft == 0 && n <= realtimeLeft {
			b.wait(now, l.all.When(now, realtimeLeft+1), bulkAt)
		}
		if realtimeLeft == 0 && n <= bulkLeft {
			b.wait(now, l.all.When(now, bulkLeft+1), realtimeAt)
		}
	}
	l.paceBatches(now, &b)
	b.all = n
	if l.inFlight > 0 {
		b.all = min(n, max(0, l.inFlight-flying))
	}
	b.realtime, b.bulk = b.all, b.all
	if l.bulkWaits {
		b.realtime = max(0, min(b.all, n-bulkLeft))
	}
	b.bulk = max(0, min(b.all, n-realtimeLeft))
	if l.inFlight > flyingKept {
		b.bulk = min(b.bulk, max(0, l.inFlight-flyingKept-flying))
	}
	if bulkLeft > 0 { // its floor is never taken by the other's
		b.bulk = max(b.bulk, min(b.all, bulkLeft))
	}
	if realtimeLeft > 0 {
		b.realtime = max(b.realtime, min(b.all, realtimeLeft))
	}
	return b
}

// paceBatches spreads shared calls over their window. Spent at once they would
// carry what few lanes have ready in each, and the rest of the window none.
func (l *limits) paceBatches(now time.Time, b *budget) {
	next := l.batched.Add(l.batches.Every())
	if !now.Before(next) {
		b.batches, next = l.batches.Available(now)
		if l.batches.Every() > 0 {
			b.batches = min(b.batches, 1)
		}
	}
	if b.batches == 0 && l.bulkWaits {
		b.wait(now, next, next)
	}
}

// wait has the next turn come when a class that may send nothing now may: once
// the other's floor leaves it something, or its own is free again.
func (b *budget) wait(now, either, or time.Time) {
	if or.Before(either) {
		either = or
	}
	if d := max(either.Sub(now), time.Millisecond); b.free == 0 || d < b.free {
		b.free = d
	}
}

// sees notes whether bulk waits.
func (l *limits) sees(heads []*protocol.Head) {
	l.bulkWaits = slices.ContainsFunc(heads, func(h *protocol.Head) bool {
		return h.State == protocol.Ready && h.Slot != nil && h.Slot.Class == event.Bulk
	})
}

// spend notes what left.
func (l *limits) spend(now time.Time, e protocol.Effects) {
	l.all.Spend(now, len(e.Send)+len(e.Looks))
	l.realtime.Spend(now, e.Realtime)
	l.bulk.Spend(now, e.Bulk)
	for _, c := range e.Send {
		if len(c.Items) > 1 {
			l.batches.Spend(now, 1)
			l.batched = now
		}
	}
}

// used is how much of the longest window is spent.
func (l *limits) used(now time.Time) (used, limit int, size time.Duration) { return l.all.Used(now) }
