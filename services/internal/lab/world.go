package lab

import (
	"fmt"
	"io"
	"math/rand/v2"

	"tieout.dev/services/internal/connector"
)

// world is one schedule: everything that happens, in one goroutine.
type world struct {
	room  *room
	rng   *rand.Rand // of what happens now
	luck  luck
	seed  uint64
	forks uint64
	now   micros
	queue queue
	class connector.Ambiguity
	f     faults
	calm  bool // faults are over; everything must come to rest

	crm     crm
	ingest  ingest
	sites   []*site
	backups backups

	cover *Coverage
	trace io.Writer // nil: nobody reads along
	picks picks

	breakAt string
	bad     []Violation
	beside  Beside // nil: the bench's own tables alone

	besideIngest BesideIngest
}

// Violation is a promise that a schedule broke.
type Violation struct {
	Seed      uint64 `json:"seed"`
	Class     string `json:"class"`
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
}

// String names the schedule and what broke.
func (v Violation) String() string {
	return fmt.Sprintf("seed %d class %s: %s: %s", v.Seed, v.Class, v.Invariant, v.Detail)
}

func newWorld(seed uint64, class connector.Ambiguity, mix string, cover *Coverage, trace io.Writer, in *room) *world {
	w := &world{room: in, seed: seed, class: class, cover: cover, trace: trace, now: 1000 * hour}
	w.rng, w.luck = w.fork(), luck{seed: seed, asked: in.asked()}
	w.queue.items = in.queue[:0]
	w.blend(mix)
	for range w.f.targets {
		w.addSite()
	}
	w.ingest.start(w)
	return w
}

// fork is a source of chance of its own. What has one goes the same way when
// other things are left out of the schedule.
func (w *world) fork() *rand.Rand {
	w.forks++
	return rand.New(rand.NewPCG(w.seed, w.forks<<32))
}

// by does something that draws from a source of its own.
func (w *world) by(own *rand.Rand, do func()) {
	before := w.rng
	w.rng = own
	do()
	w.rng = before
}

func (w *world) n(most int) int { return w.rng.IntN(most) }

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

func (w *world) exp(mean micros) micros { return micros(w.rng.ExpFloat64() * float64(mean)) }

func (w *world) after(d micros, do func()) { w.queue.add(due{at: w.now + d, do: do}) }

// every repeats until the world is calm.
func (w *world) every(mean micros, do func()) {
	if mean == 0 {
		return
	}
	w.forks++
	no, source := w.forks<<32, rand.NewPCG(0, 0)
	own := rand.New(source)
	wait := func() micros { // each time draws afresh, however much the one before it drew
		no++
		source.Seed(w.seed, no)
		return mean/2 + micros(own.ExpFloat64()*float64(mean/2))
	}
	var again func()
	again = func() {
		if !w.calm {
			w.by(own, do)
			w.after(wait(), again)
		}
	}
	w.after(wait(), again)
}

// runTo lets time pass.
func (w *world) runTo(at micros) {
	for len(w.queue.items) > 0 && w.queue.items[0].at <= at && len(w.bad) == 0 {
		d := w.queue.next()
		w.now = max(w.now, d.at)
		if d.of != nil {
			d.of.happens(d)
		} else {
			d.do()
		}
		w.cover.Events++
	}
	w.now = max(w.now, at)
}

func (w *world) log(format string, args ...any) {
	if w.trace != nil {
		at := w.now - 1000*hour
		fmt.Fprintf(w.trace, "%4d:%02d:%02d.%06d  %s\n", at/hour, at/minute%60, at/second%60, at%second, fmt.Sprintf(format, args...))
	}
}

func (w *world) violated(invariant, format string, args ...any) {
	v := Violation{Class: string(w.class), Invariant: invariant, Detail: fmt.Sprintf(format, args...)}
	w.log("VIOLATION %s: %s", v.Invariant, v.Detail)
	w.bad = append(w.bad, v)
}
