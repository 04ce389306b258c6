// Package quota keeps a connection's requests within our share of the vendor's
// limits, by an exact sliding log: no window of the vendor's ever sees more.
package quota

import (
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
	limit int
	size  time.Duration
	sent  []time.Time // a ring of the last limit departures
	next  int
}

// New returns a log for percent of the limits, at least one request each.
func New(limits []connector.Limit, percent int) *Log {
	l := &Log{}
	for _, x := range limits {
		n := max(1, x.Requests*percent/100)
		l.windows = append(l.windows, window{limit: n, size: x.Window, sent: make([]time.Time, 0, n)})
	}
	return l
}

// Available returns how many requests may leave now, and when the next one may
// if none.
func (l *Log) Available(now time.Time) (int, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, at := 1<<20, now
	for i := range l.windows {
		free, next := l.windows[i].available(now)
		n = min(n, free)
		if free == 0 && next.After(at) {
			at = next
		}
	}
	return n, at
}

// Spend notes n departures.
func (l *Log) Spend(now time.Time, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		for range n {
			l.windows[i].add(now)
		}
	}
}

// Used returns the departures within the longest window, its limit and its
// length.
func (l *Log) Used(now time.Time) (used, limit int, size time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		if w := &l.windows[i]; w.size >= size {
			free, _ := w.available(now)
			used, limit, size = w.limit-free, w.limit, w.size
		}
	}
	return used, limit, size
}

func (w *window) add(now time.Time) {
	if len(w.sent) < w.limit {
		w.sent = append(w.sent, now)
		return
	}
	w.sent[w.next] = now
	w.next = (w.next + 1) % w.limit
}

// available counts departures that have left the window; the oldest comes first.
func (w *window) available(now time.Time) (int, time.Time) {
	free := w.limit - len(w.sent)
	for i := range w.sent {
		if t := w.sent[(w.next+i)%len(w.sent)]; now.Sub(t) < w.size {
			return free, t.Add(w.size)
		}
		free++
	}
	return free, now
}
