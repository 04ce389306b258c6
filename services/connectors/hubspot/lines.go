package hubspot

import (
	"sync"
	"time"
)

// lineMemory is what the last run of Changes listed of line items. Their deals
// are yielded without a version, so whoever reads the changes cannot tell that
// it knows them: each run would have every deal of the overlap read again.
type lineMemory struct {
	mu     sync.Mutex
	cursor string
	listed map[string]time.Time // id -> modified
}

// lines are those of one run.
type lines struct{ before, now map[string]time.Time }

// after begins a run. What was listed counts only if the caller comes back with
// the cursor that the listing ended with, and so has kept all of it.
func (m *lineMemory) after(cursor string) *lines {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &lines{now: map[string]time.Time{}}
	if cursor != "" && cursor == m.cursor {
		l.before = m.listed
	}
	return l
}

// changed notes a line, and tells whether it is not as the run before saw it.
func (l *lines) changed(o *object) bool {
	at := modified(typeLineItem, o)
	was, known := l.before[o.ID]
	l.now[o.ID] = at
	return !known || !was.Equal(at)
}

// forget lines: of no deal yet, they are looked at again.
func (l *lines) forget(ids []string) {
	for _, id := range ids {
		delete(l.now, id)
	}
}

// end keeps what a whole run listed.
func (m *lineMemory) end(cursor string, l *lines) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor, m.listed = cursor, l.now
}
