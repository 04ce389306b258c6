package lab

import "slices"

// Minimised is the least of a schedule that still breaks the same promise.
type Minimised struct {
	Violation Violation
	Drawn     int      // disturbances of the whole schedule
	Kept      []string // without any one of them the promise is kept
}

// playsMost bounds how often a schedule is played to make it smaller.
const playsMost = 3000

// Minimise leaves disturbances out of a failing schedule, many at once and then
// one by one, from the last to the first, for as long as the same promise is
// broken.
func Minimise(v Violation, o Options) (*Minimised, error) {
	if _, err := mixesOf(o.Mix, o.Class); err != nil {
		return nil, err
	}
	o.list = true
	m := &Minimised{}
	if !m.breaks(v, o) {
		return nil, nil
	}
	m.Drawn = len(m.Kept)
	plays := 0
	for size, smaller := m.Drawn, true; smaller && plays < playsMost; size = max(1, size/2) {
		smaller = size > 1
		for end := len(m.Kept); end > 0 && plays < playsMost; {
			start := max(0, end-size)
			o.Keep, o.Only = slices.Concat(m.Kept[:start], m.Kept[end:]), true
			smaller = m.breaks(v, o) || smaller
			end = min(start, len(m.Kept))
			plays++
		}
	}
	return m, nil
}

// breaks plays the schedule with what is kept, and takes it over if the same
// promise is broken.
func (m *Minimised) breaks(v Violation, o Options) bool {
	w := playWorld(v.Seed, o, NewCoverage(), nil, &room{})
	for _, bad := range w.bad {
		if bad.Invariant == v.Invariant {
			m.Violation, m.Kept = bad, w.picks.list
			return true
		}
	}
	return false
}
