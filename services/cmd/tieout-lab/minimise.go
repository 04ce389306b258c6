package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"tieout.dev/services/internal/lab"
)

// minimise makes the first failing schedule of each promise smaller, and says
// what is left of it and how it is played again.
func minimise(bad []lab.Violation, o lab.Options) {
	seen := map[string]bool{}
	for _, v := range bad {
		if seen[v.Invariant] {
			continue
		}
		seen[v.Invariant] = true
		m, err := lab.Minimise(v, o)
		if err != nil || m == nil { // it was played a moment ago: this does not happen
			fmt.Fprintln(os.Stderr, "a failing schedule does not fail again:", v.Seed, err)
			continue
		}
		fmt.Print(minimised(m, o))
	}
}

func minimised(m *lab.Minimised, o lab.Options) string {
	var out strings.Builder
	v := m.Violation
	fmt.Fprintf(&out, "seed %d class %s breaks %s with %d of its %d disturbances: %s\n", v.Seed, v.Class, v.Invariant, len(m.Kept), m.Drawn, v.Detail)
	for _, name := range m.Kept {
		fmt.Fprintf(&out, "  %s\n", name)
	}
	kept := cmp.Or(strings.Join(m.Kept, ","), "none")
	class := ""
	if o.Class != "" && o.Class != "all" {
		class = " CLASS=" + o.Class
	}
	fmt.Fprintf(&out, "play it again: make sim SEED=%d MIX=%s%s KEEP=%s TRACE=1\n", v.Seed, o.Mix, class, kept)
	return out.String()
}
