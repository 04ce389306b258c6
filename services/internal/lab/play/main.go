// Command play plays the schedules of one mix until a promise is broken. It is
// the bench alone, so that it builds fast: tieout-lab makes one of each mutant.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"tieout.dev/services/internal/lab"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "play:", err)
		os.Exit(2)
	}
}

// run writes the first violation as JSON, or null.
func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%d arguments; give a mix, the first seed and how many", len(args))
	}
	base, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	seeds, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	r, err := lab.Run(lab.Options{Mix: args[0], Base: base, Seeds: seeds, First: true})
	if err != nil {
		return err
	}
	var first *lab.Violation
	if len(r.Violations) > 0 {
		first = &r.Violations[0]
	}
	return json.NewEncoder(os.Stdout).Encode(first)
}
