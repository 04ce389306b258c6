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
	for i := range 200 {
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

// Parts that choose at once do not choose the same port.
func TestPortsChosenAtOnceDiffer(t *testing.T) {
	dir, chosen := t.TempDir(), make(chan []int)
	for i := range 8 {
		go func() {
			p, err := Ports(t.Context(), dir, fmt.Sprint("part", i), 250)
			if err != nil {
				t.Error(err)
			}
			chosen <- p
		}()
	}
	seen := map[int]bool{}
	for range 8 {
		for _, n := range <-chosen {
			if seen[n] {
				t.Errorf("port %d was given twice", n)
			}
			seen[n] = true
		}
	}
}

// A part listens at its port, and at another one where that was taken meanwhile.
func TestListenTakesAnotherPortForOneThatIsTaken(t *testing.T) {
	dir := t.TempDir()
	first, err := Listen(t.Context(), dir, "console")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	second, err := Listen(t.Context(), dir, "console") // as another process's listener
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if first.Addr().String() == second.Addr().String() {
		t.Fatalf("both listen at %s", first.Addr())
	}
	again, err := Listen(t.Context(), dir, "console")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if again.Addr().String() != second.Addr().String() {
		t.Errorf("the part listened at %s and comes back at %s", second.Addr(), again.Addr())
	}
}
