package lab

import "math/rand/v2"

// luck decides faults. Each kind has draws of its own, one for each time that
// it was asked for, so that one which is left out moves no others.
type luck struct {
	seed   uint64
	source rand.PCG
	asked  map[string]uint64
}

// of is the next draw of a kind, from 0 up to 1.
func (l *luck) of(kind string) float64 {
	no := l.asked[kind]
	l.asked[kind] = no + 1
	sum := uint64(14695981039346656037) // FNV-1a
	for i := range len(kind) {
		sum = (sum ^ uint64(kind[i])) * 1099511628211
	}
	l.source.Seed(l.seed^sum, no)
	l.source.Uint64()
	return float64(l.source.Uint64()>>11) / (1 << 53)
}
