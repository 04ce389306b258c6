package lab

import "slices"

// Disturbance is something that a schedule drew to go wrong or to change: a
// fault, an edit, a deal, an action of a person.
type Disturbance struct {
	No   int
	Name string
}

// picks numbers disturbances in the order in which they were drawn, so that
// a schedule can be played with some of them only.
type picks struct {
	no   int
	keep []int // sorted, where only is set: all others are left out
	only bool
	list []Disturbance // what happened, where somebody wants to know
	want bool
}

// take counts a disturbance and reports whether it happens.
func (p *picks) take(name string) bool {
	no := p.no
	p.no++
	if p.only {
		if _, kept := slices.BinarySearch(p.keep, no); !kept {
			return false
		}
	}
	if p.want {
		p.list = append(p.list, Disturbance{no, name})
	}
	return true
}

// disturbs is asked before anything disturbs the schedule.
func (w *world) disturbs(name string) bool {
	if !w.picks.take(name) {
		return false
	}
	w.cover.Faults[name]++
	if w.trace != nil {
		w.log("#%d %s", w.picks.no-1, name)
	}
	return true
}

// changes is the same for what people and the source do: no fault.
func (w *world) changes(name string) bool {
	if !w.picks.take(name) {
		return false
	}
	if w.trace != nil {
		w.log("#%d %s", w.picks.no-1, name)
	}
	return true
}
