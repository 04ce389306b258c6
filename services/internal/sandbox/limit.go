package sandbox

import (
	"fmt"
	"time"
)

// limits are exact sliding windows, one per limit and app.
type limits struct {
	list  []Limit
	seen  map[string][]time.Time
	count map[string]int // by settings; 0 turns a limit off
}

func newLimits(v Vendor) limits {
	l := limits{seen: map[string][]time.Time{}, count: map[string]int{}}
	if lim, ok := v.(Limiter); ok {
		l.list = lim.Limits()
	}
	return l
}

// configure takes the counts of the settings by limit name.
func (l *limits) configure(counts map[string]int) { l.count = counts }

func (l *limits) check(counts map[string]int) error {
	for name, n := range counts {
		known := false
		for _, x := range l.list {
			known = known || x.Name == name
		}
		if !known {
			return fmt.Errorf("unknown limit %q", name)
		}
		if n < 0 {
			return fmt.Errorf("limit %q is below zero", name)
		}
	}
	return nil
}

func (l *limits) of(x Limit) int {
	if n, ok := l.count[x.Name]; ok {
		return n
	}
	return x.Count
}

// take counts the request against its limits, or says which one is used up
// and for how long. A refused request uses nothing.
func (l *limits) take(r *Request) (Limit, time.Duration, bool) {
	var used []string
	for _, x := range l.list {
		n := l.of(x)
		if n == 0 || x.Applies != nil && !x.Applies(r) {
			continue
		}
		key := x.Name + "/" + r.App
		if x.Shared {
			key = x.Name
		}
		window := after(l.seen[key], r.Now.Add(-x.Window))
		l.seen[key] = window
		if len(window) >= n {
			return x, window[len(window)-n].Add(x.Window).Sub(r.Now), false
		}
		used = append(used, key)
	}
	for _, key := range used {
		l.seen[key] = append(l.seen[key], r.Now)
	}
	return Limit{}, 0, true
}

// after drops the moments that left the window.
func after(moments []time.Time, start time.Time) []time.Time {
	i := 0
	for i < len(moments) && !moments[i].After(start) {
		i++
	}
	return moments[i:]
}
