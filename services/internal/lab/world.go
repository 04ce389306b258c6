package lab

import (
	"fmt"
	"io"
	"math/rand/v2"

	"tieout.dev/services/internal/connector"
)

// world is one schedule: everything that happens, in one goroutine.
type world struct {
	rng   *rand.Rand
	now   micros
	queue queue
	class connector.Ambiguity
	f     faults
	calm  bool // faults are over; everything must come to rest

	crm     crm
	ingest  ingest
	bus     bus
	db      *tables
	books   *books
	procs   []*process
	owner   *process // whom the broker assigned the target to
	backups backups

	cover *Coverage
	trace io.Writer // nil: nobody reads along
	bad   []Violation
}

// Violation is a promise that a schedule broke.
type Violation struct {
	Seed      uint64 `json:"seed"`
	Class     string `json:"class"`
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
}

func newWorld(seed uint64, class connector.Ambiguity, mix string, cover *Coverage, trace io.Writer) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x7e0)), class: class, cover: cover, trace: trace, now: 1000 * hour}
	w.blend(mix)
	w.db = newTables(w)
	w.books = newBooks(w)
	w.ingest.start(w)
	w.bus.w = w
	for i := range 2 {
		w.procs = append(w.procs, &process{w: w, id: fmt.Sprint("p", i)})
	}
	return w
}

func (w *world) n(most int) int { return w.rng.IntN(most) }

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// hits is a chance of a fault: none once the world is calm.
func (w *world) hits(p float64, name string) bool {
	if w.calm || !w.chance(p) {
		return false
	}
	w.cover.Faults[name]++
	return true
}

func (w *world) exp(mean micros) micros { return micros(w.rng.ExpFloat64() * float64(mean)) }

func (w *world) after(d micros, do func()) { w.queue.add(w.now+d, do) }

// every repeats until the world is calm.
func (w *world) every(mean micros, do func()) {
	if mean == 0 {
		return
	}
	w.after(mean/2+w.exp(mean/2), func() {
		if !w.calm {
			do()
			w.every(mean, do)
		}
	})
}

// runTo lets time pass.
func (w *world) runTo(at micros) {
	for len(w.queue.items) > 0 && w.queue.items[0].at <= at && len(w.bad) == 0 {
		d := w.queue.next()
		w.now = max(w.now, d.at)
		d.do()
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
