// Package verify reads what an installation and its sandboxes have recorded and
// says whether what is promised held: one effect, nothing lost, order, a whole
// trail, no orphans, equal sums, true offsets, rest. It believes nobody: what
// the stores say is held against what the vendors recorded.
package verify

import (
	"fmt"
	"slices"
)

// Result is what became of one invariant.
type Result struct {
	Invariant string `json:"invariant"`
	Promise   string `json:"promise"`
	// Checked says how much was looked at, by what it is.
	Checked map[string]int64 `json:"checked"`
	// Explained counts differences that somebody outside made, by cause.
	Explained  map[string]int64 `json:"explained,omitempty"`
	Violations []string         `json:"violations"`
}

func result(invariant, promise string) *Result {
	return &Result{Invariant: invariant, Promise: promise, Checked: map[string]int64{}, Explained: map[string]int64{}, Violations: []string{}}
}

func (r *Result) violated(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// Check holds a state against all invariants, in their order.
func Check(s *State) []Result {
	effects := s.effects()
	out := []Result{}
	for _, r := range []*Result{s.oneEffect(effects), s.nothingLost(), s.inOrder(effects), s.trailWhole(), s.noOrphan(), s.sumsEqual(), s.offsetsTrue(), s.atRest()} {
		slices.Sort(r.Violations)
		out = append(out, *r)
	}
	return out
}

// Broken counts violations.
func Broken(results []Result) (n int) {
	for _, r := range results {
		n += len(r.Violations)
	}
	return n
}
