// Package quota keeps a connection's requests within our share of the vendor's
// limits, by an exact sliding log: no window of the vendor's ever sees more.
package quota

import (
	"slices"
	"sync"
	"time"

	"tieout.dev/services/internal/connector"
)

// Log remembers when requests left. It is safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	windows []window
}

type window struct {
	limit int           // ours
	whole int           // of all of us
	named time.Duration // by the vendor
	size  time.Duration // ours
	sent  []departure   // oldest first
	total int           // of sent
}

// slack is how much longer than the vendor's our windows are, at most a tenth:
// requests that leave a window apart do not arrive so, and the vendor counts
// arrivals.
const slack = 100 * time.Millisecond

// grains is how finely a window remembers: departures within a thousandth of it
// count as if all of them had left with the last one.
const grains = 1000

// departure is so many requests that left, or are about to, from one moment to
// another; they count from the second.
type departure struct {
	from, at time.Time
	n        int
}

// New returns a log for percent of the limits, at least one request each.
func New(limits []connector.Limit, percent int) *Log {
	l := &Log{}
	for _, x := range limits {
		n := max(1, x.Requests*percent/100)
		l.windows = append(l.windows, window{limit: n, whole: n, named: x.Window, size: x.Window + min(slack, x.Window/10)})
	}
	return l
}

// Divide leaves this process one part of so many: those that share a limit and
// do not ask each other take equal parts. What left already stays counted.
func (l *Log) Divide(parts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		w := &l.windows[i]
		w.limit = max(1, w.whole/max(1, parts))
	}
}

// Available returns how many requests may leave now, and when the next one may
// if none.
func (l *Log) Available(now time.Time) (int, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 1 << 20
	for i := range l.windows {
		n = min(n, l.windows[i].free(now))
	}
	return n, l.whenever(now, 1)
}

// When is the moment from which on n more may leave: at most a whole window.
func (l *Log) When(now time.Time, n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whenever(now, n)
}

func (l *Log) whenever(now time.Time, n int) time.Time {
	at := now
	for i := range l.windows {
		w := &l.windows[i]
		if next := w.when(now, min(n, w.limit)); next.After(at) {
			at = next
		}
	}
	return at
}

// Every is how far apart requests leave that use a limit up evenly.
func (l *Log) Every() (d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		d = max(d, l.windows[i].size/time.Duration(l.windows[i].limit))
	}
	return d
}

// Spend notes n departures.
func (l *Log) Spend(now time.Time, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		l.windows[i].add(now, n)
	}
}

// Leave has one of the requests that were spent at a moment count from now on,
// when it leaves. False: a window has forgotten it, and it needs another place.
func (l *Log) Leave(spent, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		if now.Sub(spent) >= l.windows[i].size {
			return false
		}
	}
	for i := range l.windows {
		l.windows[i].remove(Reservation{at: spent, n: 1})
		l.windows[i].add(now, 1)
	}
	return true
}

// Book takes the next free place for one request and returns its moment. Who
// books first goes first, also before what is spent later.
func (l *Log) Book(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.whenever(now, 1)
	for i := range l.windows {
		l.windows[i].add(at, 1)
	}
	return at
}

// Used returns the departures within the longest window, its limit and its
// length.
func (l *Log) Used(now time.Time) (used, limit int, size time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		if w := &l.windows[i]; w.named >= size {
			used, limit, size = w.limit-w.free(now), w.limit, w.named
		}
	}
	return used, limit, size
}

// Reservation is what a task of several requests may take.
type Reservation struct {
	at time.Time
	n  int
}

// Reserve notes n departures if all of them may leave now, and otherwise says
// when to ask again. A task that would take more than a whole window gets the
// window.
func (l *Log) Reserve(now time.Time, n int) (r Reservation, again time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if again = l.whenever(now, n); again.After(now) {
		return Reservation{}, again, false
	}
	for i := range l.windows {
		l.windows[i].add(now, n)
	}
	return Reservation{at: now, n: n}, now, true
}

// Settle gives a reservation back and notes what was really used instead. Its
// requests count from the end of the task on: later than they left, so that the
// vendor never sees more of them in a window than we do.
func (l *Log) Settle(now time.Time, r Reservation, used int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		l.windows[i].remove(r)
		l.windows[i].add(now, used)
	}
}

// Pace is how long a task of n requests should wait so that the rest of a
// window lasts: nothing while half of each window is free, and after that an
// even share of the window. What becomes due meanwhile goes with it.
func (l *Log) Pace(now time.Time, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for i := range l.windows {
		w := &l.windows[i]
		if 2*w.free(now) < w.limit {
			wait = max(wait, w.size*time.Duration(n)/time.Duration(w.limit))
		}
	}
	return wait
}

func (w *window) add(now time.Time, n int) {
	if n <= 0 {
		return
	}
	w.total += n
	at := len(w.sent)
	for at > 0 && w.sent[at-1].at.After(now) {
		at--
	}
	if at > 0 && now.Sub(w.sent[at-1].from) <= w.size/grains {
		w.sent[at-1].n += n
		w.sent[at-1].at = now
		return
	}
	w.sent = slices.Insert(w.sent, at, departure{now, now, n})
}

// remove takes a reservation out again, unless it has left the window already.
func (w *window) remove(r Reservation) {
	for i := range w.sent {
		if d := &w.sent[i]; !d.at.Before(r.at) {
			if !d.from.After(r.at) {
				n := min(r.n, d.n)
				d.n -= n
				w.total -= n
			}
			return
		}
	}
}

// free is how many may leave now.
func (w *window) free(now time.Time) int {
	w.forget(now)
	return max(0, w.limit-w.total)
}

// when is the moment from which on n more may leave.
func (w *window) when(now time.Time, n int) time.Time {
	w.forget(now)
	over := w.total + n - w.limit
	for _, d := range w.sent {
		if over <= 0 {
			break
		}
		over -= d.n
		now = d.at.Add(w.size)
	}
	return now
}

// forget drops the departures that have left the window.
func (w *window) forget(now time.Time) {
	n := 0
	for n < len(w.sent) && (w.sent[n].n == 0 || now.Sub(w.sent[n].at) >= w.size) {
		w.total -= w.sent[n].n
		n++
	}
	w.sent = slices.Delete(w.sent, 0, n)
}
