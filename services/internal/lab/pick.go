package lab

import (
	"slices"
	"strings"
)

// picks lets a schedule be played with some of its disturbances only. A
// disturbance is something that went wrong or changed: a fault, an edit, a deal,
// an action of a person. Its name is its kind and how often that kind was asked
// for before, so that leaving one out renames few others.
type picks struct {
	keep []string // sorted, where only is set: all others are left out
	only bool
	list []string // what happened, where somebody wants to know
	want bool
}

// take reports whether a disturbance happens.
func (p *picks) take(kind string, no uint64) (name string, happens bool) {
	if !p.only && !p.want {
		return "", true
	}
	name = strings.ReplaceAll(kind, " ", "-") + ":" + itoa(int64(no))
	if _, kept := slices.BinarySearch(p.keep, name); p.only && !kept {
		return name, false
	}
	p.list = append(p.list, name)
	return name, true
}

// hits is a chance of a fault: none once the world is calm.
func (w *world) hits(p float64, kind string) bool {
	if w.calm || p <= 0 {
		return false
	}
	no, draw := w.luck.of(kind)
	return draw < p && w.fault(kind, no)
}

// disturbs is asked before a fault happens that comes by itself.
func (w *world) disturbs(kind string) bool { return w.fault(kind, w.luck.next(kind)) }

func (w *world) fault(kind string, no uint64) bool {
	if !w.happens(kind, no) {
		return false
	}
	w.cover.Faults[kind]++
	return true
}

// changes is asked before people or the source do something, which is no fault.
func (w *world) changes(kind string) bool { return w.happens(kind, w.luck.next(kind)) }

func (w *world) happens(kind string, no uint64) bool {
	name, happens := w.picks.take(kind, no)
	if !happens {
		return false
	}
	if w.trace != nil {
		w.log("* %s", name)
	}
	if kind == w.breakAt && kind != "" {
		w.violated("broken on purpose", "%s, %d minutes in", kind, (w.now-1000*hour)/minute)
	}
	return true
}
