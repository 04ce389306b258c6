package lab

import "math/rand/v2"

// luck decides faults. Each kind has draws of its own, one for each time that
// it was asked for, so that one which is left out moves no others.
type luck struct {
	seed   uint64
	source rand.PCG
	asked  map[string]uint64
}

// next counts how often a kind was asked for.
func (l *luck) next(kind string) uint64 {
	no := l.asked[kind]
	l.asked[kind] = no + 1
	return no
}

// of is the next draw of a kind, from 0 up to 1, and its number.
func (l *luck) of(kind string) (no uint64, draw float64) {
	no = l.next(kind)
	sum := uint64(14695981039346656037) // FNV-1a
	for i := range len(kind) {
		sum = (sum ^ uint64(kind[i])) * 1099511628211
	}
	l.source.Seed(l.seed^sum, no)
	l.source.Uint64()
	return no, float64(l.source.Uint64()>>11) / (1 << 53)
}
