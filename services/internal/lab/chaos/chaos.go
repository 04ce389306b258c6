// Package chaos decides what is done to a running stack, by seed, does it, and
// measures how the stack recovers. What the stack consists of it leaves to a
// Stack; what became of the promises, to package verify.
package chaos

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tieout.dev/services/internal/crash"
)

// Options say how much is done.
type Options struct {
	// Kills are processes killed at random moments, besides those at points.
	Kills int
	// For is how long harm is done at least; what is planned is done in any case.
	For  time.Duration
	Seed uint64
	// Points at which processes die, each once.
	Points []crash.Point
	// Faults of the parts, by name; each is made once.
	Faults []string
	// Away are those faults that take a part away altogether: nobody can be back
	// before the part is.
	Away []string
	// Say takes a line for each thing that is done; nil: none.
	Say func(format string, args ...any)
}

// Stack is what harm is done to.
type Stack interface {
	Processes
	Orders
	Observer
	// Fault makes a fault of the parts and heals it, within a minute or two.
	Fault(ctx context.Context, name string, dice *rand.Rand) error
}

// Processes are those of the services.
type Processes interface {
	// Kill ends one process of a service, at once.
	Kill(ctx context.Context, service string, dice *rand.Rand) error
	// Thaw lets a frozen process go on.
	Thaw(service string) error
	// Nudge makes the service come to a point that its everyday work does not
	// lead to; where it does, nothing is done.
	Nudge(ctx context.Context, service string, p crash.Point) error
}

// Orders tell the services' processes where to die.
type Orders interface {
	// Arm tells a service's processes where to die or to freeze, one of them,
	// once; Disarm takes that back.
	Arm(service string, o crash.Order) error
	Disarm(service string) error
	// Obeyed is when one of them did, the zero time if none has yet.
	Obeyed(service string) (time.Time, error)
}

// Observer sees whether a service is back.
type Observer interface {
	// Progress counts what the service has done, in each thing that it does by
	// itself; all of them grow while work goes on.
	Progress(ctx context.Context, service string) ([]int64, error)
	// Ready tells whether all its processes take work.
	Ready(ctx context.Context, service string) bool
}

// SkippedError means that a fault cannot be made on this machine.
type SkippedError struct{ Why string }

// Error says why.
func (e *SkippedError) Error() string { return e.Why }

// Services are the five.
func Services() []string { return []string{"ingest", "transform", "writer", "reconciler", "audit"} }

// ParsePoints reads "all", "none" or names with commas between them.
func ParsePoints(text string) ([]crash.Point, error) {
	switch text {
	case "all", "":
		return crash.Points(), nil
	case "none":
		return nil, nil
	}
	var out []crash.Point
	for _, name := range strings.Split(text, ",") {
		o, err := crash.ParseOrder(name)
		if err != nil {
			return nil, err
		}
		out = append(out, o.Point)
	}
	return out, nil
}

// ParseFaults reads "all", "none" or names with commas between them.
func ParseFaults(text string, known []string) ([]string, error) {
	switch text {
	case "all", "":
		return known, nil
	case "none":
		return nil, nil
	}
	list := strings.Split(text, ",")
	for _, name := range list {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return list, nil
}

// FreezeAtPoints is the one fault that is made by the services' own queues: a
// writer is frozen between a decision and what follows it, and thawed when
// another one has had its target.
const FreezeAtPoints = "freeze-at-points"

// frozenAt are the places that a zombie is most dangerous at.
func frozenAt() []crash.Point {
	return []crash.Point{crash.WriterBeforeSend, crash.WriterTurnCommitted, crash.WriterApplied, crash.WriterAfterSend}
}

// step is one process that dies: at a point, or at a random moment; or that is
// frozen at a point and thawed.
type step struct {
	point  crash.Point // "": at random
	freeze bool
}

// killsEach are the random deaths that every service gets; the others go where
// least is to be done, so that all are done at about the same time.
const killsEach = 3

// plan deals the points and kills out to the services. A point that several
// get to is tried in one of them.
func plan(o Options) map[string][]step {
	dice := rand.New(rand.NewPCG(o.Seed, 1))
	out := map[string][]step{}
	shortest := func(able []string) string {
		best := able[dice.IntN(len(able))]
		for _, s := range able {
			if len(out[s]) < len(out[best]) {
				best = s
			}
		}
		return best
	}
	for _, shared := range []bool{false, true} {
		for _, p := range o.Points {
			if able := p.Services(); shared == (len(able) > 1) {
				s := shortest(able)
				out[s] = append(out[s], step{point: p})
			}
		}
	}
	if slices.Contains(o.Faults, FreezeAtPoints) {
		for _, p := range frozenAt() {
			out["writer"] = append(out["writer"], step{point: p, freeze: true})
		}
	}
	for k := range o.Kills {
		s := Services()[(k+int(o.Seed%5))%5]
		if k >= killsEach*5 {
			s = shortest(Services())
		}
		out[s] = append(out[s], step{})
	}
	for _, s := range Services() {
		dice.Shuffle(len(out[s]), func(i, j int) { out[s][i], out[s][j] = out[s][j], out[s][i] })
		slices.SortStableFunc(out[s], func(a, b step) int { return cmp.Compare(late(a), late(b)) })
	}
	return out
}

// late: what takes a reconciliation comes first, while there is little to read.
func late(s step) int {
	first := []crash.Point{crash.ReconcilerRunBegun, crash.ReconcilerListsRead, crash.ReconcilerCompared, crash.ReconcilerRunEnded, crash.ReconcilerRechecked, crash.ReconcilerRepairStored}
	if slices.Contains(first, s.point) {
		return 0
	}
	return 1
}
