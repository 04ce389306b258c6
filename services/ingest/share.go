package ingest

import (
	"context"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/quota"
)

const (
	// ingestShare is our part of a source connection's limits, in percent.
	ingestShare = 70
	// bulkMost is what bulk may take of our share, in percent: the rest is for
	// what somebody waits for, however much there is to read.
	bulkMost = 50
	// lookUp is how often one that waits in bulk looks whether somebody waits.
	lookUp = 200 * time.Millisecond
)

// share is our part of a connection's limits. Bulk takes from a part of it.
type share struct{ all, bulk *quota.Log }

func newShare(limits []connector.Limit) *share {
	return &share{all: quota.New(limits, ingestShare), bulk: quota.New(limits, ingestShare*bulkMost/100)}
}

// divide leaves us one part of so many.
func (s *share) divide(parts int) {
	s.all.Divide(parts)
	s.bulk.Divide(parts)
}

// taken is what a task may use of a share.
type taken struct {
	all, bulk quota.Reservation
	class     event.Class
}

// take notes n requests of a class if all of them may leave now, and otherwise
// says when to ask again.
func (s *share) take(now time.Time, n int, class event.Class) (t taken, again time.Time, ok bool) {
	t.class = class
	if class == event.Bulk {
		if t.bulk, again, ok = s.bulk.Reserve(now, n); !ok {
			return t, again, false
		}
	}
	if t.all, again, ok = s.all.Reserve(now, n); !ok && class == event.Bulk {
		s.bulk.Settle(now, t.bulk, 0)
	}
	return t, again, ok
}

// settle notes what was really used of what was taken.
func (s *share) settle(now time.Time, t taken, used int) {
	s.all.Settle(now, t.all, used)
	if t.class == event.Bulk {
		s.bulk.Settle(now, t.bulk, used)
	}
}

// reserve waits until our share allows n requests more, and takes them. Where
// giveUp is given it is asked now and then, and ok is false once it says so.
func (s *source) reserve(ctx context.Context, n int, class event.Class, giveUp func(context.Context) (bool, error)) (t taken, ok bool, err error) {
	began, waited := s.in.deps.Now(), false
	for {
		now := s.in.deps.Now()
		t, again, ok := s.share.take(now, n, class)
		if ok {
			if waited {
				s.in.deps.Meter.Took(ctx, meter.QuotaWait, now.Sub(began), s.config.ID, string(class))
			}
			return t, true, nil
		}
		waited = true
		wait := max(again.Sub(now), 10*time.Millisecond)
		if giveUp != nil {
			wait = min(wait, lookUp)
		}
		if !idle.For(ctx, wait) {
			return taken{}, false, ctx.Err()
		}
		if giveUp != nil {
			if yes, err := giveUp(ctx); err != nil || yes {
				return taken{}, false, err
			}
		}
	}
}

// gated has each request of a listing wait for our share, in the class that
// the listing has come to.
func (s *source) gated(ctx context.Context, class func() event.Class) context.Context {
	return connector.WithGate(ctx, func(ctx context.Context) error {
		_, _, err := s.reserve(ctx, 1, class(), nil)
		return err
	})
}

// inBulk is the class of a listing that nobody waits for.
func inBulk() event.Class { return event.Bulk }

// metered does a task that is expected to cost so many requests, and charges
// what it took. A source that does not count is charged what was expected. The
// task says whether it asked the vendor at all. Bulk steps aside while somebody
// waits.
func (s *source) metered(ctx context.Context, cost int, class event.Class, task func(context.Context) (asked bool, err error)) (asked bool, err error) {
	var giveUp func(context.Context) (bool, error)
	if class == event.Bulk {
		giveUp = s.urgent
	}
	t, ok, err := s.reserve(ctx, cost, class, giveUp)
	if err != nil || !ok {
		return !ok && err == nil, err // stepping aside is work too: what is urgent comes next
	}
	ctx, meter := connector.WithMeter(ctx)
	asked, err = task(ctx)
	used := meter.Requests()
	if asked && used == 0 {
		used = cost
	}
	s.share.settle(s.in.deps.Now(), t, used)
	return asked, err
}
