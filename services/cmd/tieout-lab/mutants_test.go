package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tieout.dev/services/internal/lab"
)

// A guard is taken out by its text: one that was rewritten, and whose mutant was not,
// would be found out by the next 'make mutants' only.
func TestEveryGuardStandsWhereItsMutantSays(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range mutants() {
		text, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 || m.new == m.old {
			t.Errorf("%s: %s holds its text %d times", m.name, m.file, n)
		}
		if seen[m.name] || !slices.Contains(lab.Mixes(), m.mix) {
			t.Errorf("%s: named twice, or mix %q is none", m.name, m.mix)
		}
		seen[m.name] = true
	}
	if len(seen) < 30 {
		t.Errorf("%d guards", len(seen))
	}
}
