package sandbox

import (
	"fmt"
	"slices"
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
		var names []string
		for _, x := range l.list {
			names = append(names, x.Name)
		}
		if !slices.Contains(names, name) {
			return unknown("limit", name, names)
		}
		if n < 0 {
			return fmt.Errorf("limit %q is below zero: it is a count, 0 turns it off", name)
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
		if x.Applies != nil && !x.Applies(r) {
			continue
		}
		key, n := x.Name, l.of(x)
		if !x.Shared {
			key += "/" + r.App
		}
		window := after(l.seen[key], r.Now.Add(-x.Window))
		l.seen[key] = window
		r.Quotas = append(r.Quotas, Quota{Name: x.Name, Count: n, Used: len(window), Window: x.Window})
		if n == 0 {
			continue
		}
		if len(window) >= n {
			return x, window[len(window)-n].Add(x.Window).Sub(r.Now), false
		}
		used = append(used, key)
	}
	for _, key := range used {
		l.seen[key] = append(l.seen[key], r.Now)
	}
	for i := range r.Quotas {
		r.Quotas[i].Used++
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
