package parts

import (
	"fmt"
	"slices"
	"testing"
)

// The parts of a folder never get one port twice, though none has taken its own
// yet, and get the same ones again.
func TestPortsOfAFolderDiffer(t *testing.T) {
	dir, seen := t.TempDir(), map[int]string{}
	for i := range 300 {
		name := fmt.Sprint("part", i)
		p, err := Ports(t.Context(), dir, name, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p {
			if other, taken := seen[n]; taken || n < firstPort || n >= firstPort+portRange {
				t.Fatalf("%s gets port %d, which %q has", name, n, other)
			}
			seen[n] = name
		}
		if again, err := Ports(t.Context(), dir, name, 4); err != nil || !slices.Equal(p, again) {
			t.Fatalf("%s had %v and gets %v, %v", name, p, again, err)
		}
	}
}
