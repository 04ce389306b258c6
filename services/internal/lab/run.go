package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"

	"tieout.dev/services/internal/connector"
)

// Options say which schedules are played.
type Options struct {
	Mix, Class  string
	Base, Seeds uint64
	// Progress hears how many schedules were played and what broke in the last of them.
	Progress func(done uint64, bad []Violation)
	// Keep names the disturbances that happen, where Only is set; all others are
	// left out.
	Keep []string
	Only bool
	// First ends the run soon after a promise was broken.
	First bool
	list  bool // what happened is listed
	// Beside are tables that are kept beside the bench's, and BesideIngest is an ingest,
	// by one schedule at a time.
	Beside       Beside
	BesideIngest BesideIngest

	breakAt string // the disturbance at which a test has the schedule fail
}

// Report is what they showed.
type Report struct {
	Coverage   *Coverage
	Violations []Violation
	// Digest is over all histories in the order of their seeds.
	Digest string
}

// block is how many seeds a worker takes at once; digests of blocks are joined
// in order, so the number of workers does not show.
const block = 64

// Run plays schedules on all processors, until ctx ends.
func Run(ctx context.Context, o Options) (*Report, error) {
	if _, err := mixesOf(o.Mix, o.Class); err != nil {
		return nil, err
	}
	blocks := int((o.Seeds + block - 1) / block)
	digests := make([][]byte, blocks)
	next, mu := 0, sync.Mutex{}
	out := &Report{Coverage: NewCoverage()}
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			cover, in := NewCoverage(), &room{}
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= blocks || ctx.Err() != nil {
					break
				}
				from := o.Base + uint64(i)*block
				sum, bad := playBlock(o, from, min(block, o.Base+o.Seeds-from), cover, in)
				mu.Lock()
				digests[i], out.Violations = sum, append(out.Violations, bad...)
				if o.First && len(bad) > 0 {
					next = blocks // those before it are under way
				}
				mu.Unlock()
				if o.Progress != nil {
					o.Progress(uint64(i+1)*block, bad)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out.Coverage.Add(cover)
		})
	}
	work.Wait()
	all := sha256.New()
	for _, d := range digests {
		all.Write(d)
	}
	out.Digest = hex.EncodeToString(all.Sum(nil))[:32]
	slices.SortFunc(out.Violations, func(a, b Violation) int { return cmp.Compare(a.Seed, b.Seed) })
	return out, nil
}

func playBlock(o Options, from, count uint64, cover *Coverage, in *room) (digest []byte, bad []Violation) {
	h := sha256.New()
	for seed := from; seed < from+count; seed++ {
		bad = append(bad, play(seed, o, cover, h, nil, in)...)
	}
	return h.Sum(nil), bad
}

// mixesOf are the blends and classes that a run goes through, seed by seed.
func mixesOf(mix, class string) ([]connector.Ambiguity, error) {
	known := mix == ""
	for _, m := range Mixes() {
		known = known || m == mix
	}
	if !known {
		return nil, fmt.Errorf("mix %q is not one of %v", mix, Mixes())
	}
	return classesOf(mix, class)
}

// Trace plays one schedule and writes its history as text.
func Trace(seed uint64, o Options, to io.Writer) ([]Violation, error) {
	if _, err := mixesOf(o.Mix, o.Class); err != nil {
		return nil, err
	}
	return play(seed, o, NewCoverage(), sha256.New(), to, &room{}), nil
}

// play is one schedule, added to what is counted and to the digest.
func play(seed uint64, o Options, cover *Coverage, h hash.Hash, trace io.Writer, in *room) []Violation {
	w := playWorld(seed, o, cover, trace, in)
	for _, s := range w.sites {
		for _, d := range s.books.docs {
			fmt.Fprintf(h, "%s %s %s %s %d|", d.mark, d.net, d.note, d.status, d.version)
		}
		fmt.Fprintf(h, "%d %d %d %d\n", seed, w.now, w.queue.no, len(s.db.ops))
	}
	return w.bad
}

// playWorld: faults for a while, then calm, then the checks.
func playWorld(seed uint64, o Options, cover *Coverage, trace io.Writer, in *room) *world {
	classes, _ := classesOf(o.Mix, o.Class) // checked before
	w := newWorld(seed, classes[seed%uint64(len(classes))], o.Mix, cover, trace, in)
	w.breakAt = o.breakAt
	w.beside, w.besideIngest = o.Beside, o.BesideIngest
	w.picks = picks{keep: slices.Sorted(slices.Values(o.Keep)), only: o.Only, want: o.list || trace != nil}
	if w.besideIngest != nil {
		if err := w.besideIngest.Reset(len(w.sites)); err != nil {
			w.violated("beside", "the other ingest: %v", err)
		}
	}
	start := w.now
	w.populate()
	w.each(func(s *site) { s.assign(s.procs[0]) })
	w.disturb()
	w.runTo(start + w.f.lasts)
	w.heal()
	if len(w.bad) == 0 {
		w.each((*site).checkEnd)
	}
	in.queue = w.queue.items
	cover.Seeds++
	cover.Virtual, cover.minutes = cover.Virtual+(w.now-start)/hour, cover.minutes+(w.now-start)/minute
	for i := range w.bad {
		w.bad[i].Seed = seed
	}
	return w
}

// disturb plans the faults that come by themselves.
func (w *world) disturb() {
	f := &w.f
	w.every(f.poll, w.ingest.poll)
	w.every(7*minute, w.ingest.complete)
	w.every(f.operator, w.at((*site).operator))
	w.every(f.rebalance, w.at((*site).rebalance))
	w.every(f.replay, w.at(func(s *site) { s.bus.replay() }))
	w.every(f.replay, w.at(func(s *site) { s.bus.zombie() }))
	w.every(f.hand, w.at((*site).hand))
	w.every(minute, func() { w.each((*site).watch) })
	w.every(f.backup, w.backUp)
	w.every(f.restore, func() {
		if w.changes("database set back") {
			w.restore()
		}
	})
	if f.restore > 0 {
		w.every(10*minute, func() { w.each((*site).certify) })
	}
	w.every(f.outage, func() {
		if !w.disturbs("outage") {
			return
		}
		b := w.some().books
		b.down = w.now + w.exp(10*minute)
		if w.chance(0.2) {
			b.refuses = w.now + w.exp(10*minute)
		}
	})
	if f.lock {
		w.every(15*minute, func() {
			if w.disturbs("books closed") {
				w.some().books.locked = []string{"", day(1), day(2)}[w.n(3)]
			}
		})
	}
}

// rounds bounds how long everything may take to come to rest.
const rounds = 48

// waitRounds is what a record waits in vain for what it needs: those of one lane
// do so one after the other.
const waitRounds = 8

// patience is how many rounds people try before they give up.
const patience = 17

// heal ends the faults and lets everything come to rest: what was lost is found
// by the poll and the completer, and people act on what waits for them, a few
// times with patience and then giving up.
func (w *world) heal() {
	w.calm = true
	w.log("calm")
	w.each((*site).heal)
	for n := range max(rounds, patience+waitRounds*(w.f.deals+w.f.edits)) {
		if len(w.bad) > 0 {
			return
		}
		w.each((*site).attend)
		w.ingest.poll()
		w.ingest.complete()
		w.each(func(s *site) {
			s.bus.consume()
			s.wakeOwner()
		})
		w.runTo(w.now + 2*minute)
		if n > 2 && w.quiet() {
			return
		}
		w.each(func(s *site) { s.actOnAll(n) })
	}
}

// heal ends what is wrong with one target.
func (w *site) heal() {
	w.books.down, w.books.refuses, w.books.locked = 0, 0, ""
	for _, p := range w.procs {
		if p.alive && p.thaws > w.now {
			p.die("frozen for too long, and killed")
		}
	}
}

// attend sees that somebody owns a target, and that nobody holds it.
func (w *site) attend() {
	if w.db.held != "" { // as the copy of a database that was set back has it
		w.hold(false)
	}
	w.watch()
}

// actOnAll is people acting on all that is in front of them, the n-th time.
func (w *site) actOnAll(n int) {
	for i, x := range w.db.openExceptions() {
		if x.ID == w.db.alert { // the connection is found to work again without anybody
			continue
		}
		if n < patience {
			w.actOn(x, []int{0, 0, 2, 3, 5, 6, 7, 0}[(n+i)%8])
			continue
		}
		w.actOn(x, 4) // enough: given up
	}
}

// quiet: nothing is open.
func (w *world) quiet() bool {
	for _, s := range w.sites {
		if len(s.db.openExceptions()) > 0 || len(s.db.commands) > 0 {
			return false
		}
	}
	if len(w.ingest.open()) > 0 {
		return false
	}
	for _, r := range w.crm.records {
		if !w.ingest.knows(stateOf(r.survivor())) {
			return false
		}
	}
	return true
}
