// Command play plays the schedules of one mix and tells which broke a promise.
// It is the bench alone, so that it builds fast: tieout-lab makes one of each
// mutant.
package main

import (
	"context"
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

// run writes the violations as JSON: those of all schedules, or of the first
// ones that broke a promise.
func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%d arguments; give a mix, the first seed, how many, and first or all", len(args))
	}
	base, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	seeds, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	r, err := lab.Run(context.Background(), lab.Options{Mix: args[0], Base: base, Seeds: seeds, First: args[3] == "first"})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r.Violations)
}
