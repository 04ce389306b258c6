package lab

import (
	"slices"
	"strings"
	"testing"
)

// A schedule is played again with some of its disturbances only: those happen,
// no others do, and twice the same is twice the same.
func TestAScheduleIsPlayedWithSomeOfItsDisturbances(t *testing.T) {
	o := Options{Mix: "people", list: true}
	all := playWorld(7, o, NewCoverage(), nil, &room{})
	if len(all.picks.list) < 10 {
		t.Fatalf("only %d disturbances: take another seed", len(all.picks.list))
	}
	var keep []string
	for i, name := range all.picks.list {
		if i%3 != 0 {
			keep = append(keep, name)
		}
	}
	o.Keep, o.Only = keep, true
	var first, second strings.Builder
	some := playWorld(7, o, NewCoverage(), &first, &room{})
	playWorld(7, o, NewCoverage(), &second, &room{})
	for _, name := range some.picks.list {
		if !slices.Contains(keep, name) {
			t.Errorf("%s happened, and was left out", name)
		}
	}
	if len(some.picks.list) == 0 || first.String() != second.String() || first.Len() == 0 {
		t.Errorf("%d disturbances happened; the two histories are equal: %v", len(some.picks.list), first.String() == second.String())
	}
}

// A failing schedule is made smaller until nothing can be left out, and what is
// left fails by itself.
func TestAFailingScheduleIsMadeSmaller(t *testing.T) {
	o := Options{Mix: "people", breakAt: "books closed"}
	v := Violation{Invariant: "broken on purpose"}
	for v.Seed = 1; ; v.Seed++ {
		if bad := playWorld(v.Seed, o, NewCoverage(), nil, &room{}).bad; len(bad) > 0 {
			break
		}
	}
	m, err := Minimise(v, o)
	if err != nil || m == nil {
		t.Fatalf("not minimised: %v", err)
	}
	if len(m.Kept) != 1 || !strings.HasPrefix(m.Kept[0], "books-closed:") || m.Drawn < 5 {
		t.Fatalf("kept %v of %d; one is enough", m.Kept, m.Drawn)
	}
	o.Keep, o.Only = m.Kept, true
	if bad := playWorld(v.Seed, o, NewCoverage(), nil, &room{}).bad; len(bad) != 1 || bad[0].Detail != m.Violation.Detail {
		t.Fatalf("played again: %v, not %v", bad, m.Violation)
	}
}
