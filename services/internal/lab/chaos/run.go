package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
)

const (
	look = 100 * time.Millisecond
	// obeyWithin bounds how long a process may take to come to a point, nudged
	// again and again; a point that was not met then is tried once more at the end.
	obeyWithin = 40 * time.Second
	nudgeEvery = 3 * time.Second
	// backWithin bounds how long a recovery is watched.
	backWithin = 2 * time.Minute
	// Between two harms of a service, and between two faults of the parts.
	restMost       = time.Second
	frozenFor      = 9 * time.Second
	betweenFaults  = 4 * time.Second
	extraKillEvery = 2 * time.Second
)

// run is one run under way.
type run struct {
	o     Options
	stack Stack
	now   func() time.Time

	mu      sync.Mutex
	report  *Report
	missed  map[string][]step
	outages []outage
}

// outage is when a part was away altogether.
type outage struct{ from, to time.Time }

// Run does what is planned and returns what was done. The report says nothing
// of the promises yet.
func Run(ctx context.Context, stack Stack, o Options) (*Report, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	r := &run{o: o, stack: stack, now: time.Now, report: newReport(o), missed: map[string][]step{}}
	queues := plan(o)
	end := r.now().Add(o.For)
	var work sync.WaitGroup
	faults := make(chan error, 1)
	work.Go(func() { faults <- r.faults(ctx) })
	for n, s := range Services() {
		dice := rand.New(rand.NewPCG(o.Seed, uint64(10+n)))
		work.Go(func() {
			r.queue(ctx, s, queues[s], dice)
			for ctx.Err() == nil && r.now().Before(end) {
				r.die(ctx, s, step{}, dice)
				idle.For(ctx, extraKillEvery)
			}
		})
	}
	work.Wait()
	for n, s := range Services() { // one after the other, in the quiet
		r.again(ctx, s, rand.New(rand.NewPCG(o.Seed, uint64(20+n))))
	}
	r.report.finish()
	return r.report, errors.Join(<-faults, ctx.Err())
}

func (r *run) queue(ctx context.Context, service string, steps []step, dice *rand.Rand) {
	for i, s := range steps {
		if ctx.Err() != nil {
			return
		}
		idle.For(ctx, time.Duration(dice.Int64N(int64(restMost))))
		r.o.Say("%s: %d of %d: %s", service, i+1, len(steps), s)
		r.die(ctx, service, s, dice)
	}
}

// again tries the points that were not met, once more.
func (r *run) again(ctx context.Context, service string, dice *rand.Rand) {
	r.mu.Lock()
	list := r.missed[service]
	r.missed[service] = nil
	r.mu.Unlock()
	for _, s := range list {
		r.o.Say("%s: once more: %s", service, s)
		r.die(ctx, service, s, dice)
	}
	for _, s := range r.missed[service] {
		r.report.Missed = append(r.report.Missed, string(s.point)+" in "+service)
	}
}

// String says what a step is.
func (s step) String() string {
	switch {
	case s.point == "":
		return "killed at random"
	case s.freeze:
		return "freezes at " + string(s.point)
	}
	return "dies at " + string(s.point)
}

// die has a process of the service die, and watches it come back.
func (r *run) die(ctx context.Context, service string, s step, dice *rand.Rand) {
	at := r.now()
	if s.point == "" {
		if err := r.stack.Kill(ctx, service, dice); err != nil {
			r.trouble("kill %s: %v", service, err)
			return
		}
		r.note(func(x *Report) { x.Kills++; x.RandomKills++ })
	} else {
		met, err := r.meet(ctx, service, crash.Order{Point: s.point, Nth: 1, Stop: s.freeze})
		if err != nil {
			r.trouble("%s at %s: %v", service, s.point, err)
		}
		if met.IsZero() {
			r.mu.Lock()
			r.missed[service] = append(r.missed[service], s)
			r.mu.Unlock()
			return
		}
		at = met
		if s.freeze {
			r.thaw(ctx, service)
			return
		}
		r.note(func(x *Report) { x.Kills++; x.hit(s.point) })
	}
	r.watch(ctx, service, at)
}

// meet arms a point and waits until a process has died or frozen there.
func (r *run) meet(ctx context.Context, service string, o crash.Order) (time.Time, error) {
	if err := r.stack.Arm(service, o); err != nil {
		return time.Time{}, err
	}
	nudged := time.Time{}
	var nudge error
	for end := r.now().Add(obeyWithin); ctx.Err() == nil && r.now().Before(end); idle.For(ctx, look) {
		if at, err := r.stack.Obeyed(service); err != nil || !at.IsZero() {
			return at, err
		}
		if r.now().Sub(nudged) > nudgeEvery {
			nudged = r.now()
			nudge = r.stack.Nudge(ctx, service, o.Point)
		}
	}
	if err := r.stack.Disarm(service); err != nil {
		return time.Time{}, err
	}
	at, err := r.stack.Obeyed(service) // it may have been quicker than us
	return at, errors.Join(err, nudge)
}

// thaw lets a frozen process go on as a zombie: longer than a group's session
// lasts, and than any guard, somebody else had its work.
func (r *run) thaw(ctx context.Context, service string) {
	idle.For(ctx, frozenFor)
	if err := r.stack.Thaw(service); err != nil {
		r.trouble("thaw %s: %v", service, err)
	}
	r.note(func(x *Report) { x.Faults[FreezeAtPoints]++ })
	r.watch(ctx, service, r.now())
}

// watch measures from a death to the first work that is done after it, with all
// processes of the service taking work again.
func (r *run) watch(ctx context.Context, service string, died time.Time) {
	var before []int64
	for end := died.Add(backWithin); r.now().Before(end); idle.For(ctx, look) {
		if ctx.Err() != nil {
			return
		}
		n, err := r.stack.Progress(ctx, service)
		switch {
		case err != nil: // its database is away too
			continue
		case before == nil:
			before = n
			continue
		}
		if grew(before, n) && r.stack.Ready(ctx, service) {
			r.recovered(died, r.now())
			return
		}
	}
	r.recovered(died, died.Add(backWithin))
	r.trouble("%s did not work again within %s", service, backWithin)
}

// recovered notes how long it took, from the death on and from when all parts
// were there on.
func (r *run) recovered(died, back time.Time) {
	r.note(func(x *Report) {
		x.sinceDeath = append(x.sinceDeath, back.Sub(died))
		from := died
		for _, o := range r.outages {
			if o.from.Before(back) && o.to.After(from) {
				from = o.to
			}
		}
		if from.After(back) { // it worked again while the part was not whole yet
			from = back
		}
		x.recoveries = append(x.recoveries, back.Sub(from))
	})
}

func grew(before, now []int64) bool {
	for i := range before {
		if i >= len(now) || now[i] <= before[i] {
			return false
		}
	}
	return len(now) > 0
}

// faults makes each fault once, in an order of the seed's.
func (r *run) faults(ctx context.Context) error {
	dice := rand.New(rand.NewPCG(r.o.Seed, 2))
	list := slices.DeleteFunc(slices.Clone(r.o.Faults), func(name string) bool { return name == FreezeAtPoints })
	dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, name := range list {
		idle.For(ctx, betweenFaults)
		if ctx.Err() != nil {
			return nil
		}
		r.o.Say("fault: %s", name)
		o := outage{from: r.now()}
		err := r.stack.Fault(ctx, name, dice)
		if o.to = r.now(); slices.Contains(r.o.Away, name) {
			r.note(func(*Report) { r.outages = append(r.outages, o) })
		}
		var skipped *SkippedError
		switch {
		case errors.As(err, &skipped):
			r.note(func(x *Report) { x.Skipped[name] = skipped.Why })
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("fault %s: %w", name, err)
		default:
			r.note(func(x *Report) { x.Faults[name]++ })
		}
	}
	return nil
}

func (r *run) note(do func(*Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(r.report)
}

// trouble is a violation of what the run itself can see.
func (r *run) trouble(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.o.Say("%s", text)
	r.note(func(x *Report) { x.Troubles = append(x.Troubles, text) })
}
