package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/idle"
)

// watchEvery is how often a watched list is asked for again.
const watchEvery = 2 * time.Second

// watched lets a command print what it prints again and again, until Ctrl-C.
// On a terminal the screen is drawn over; elsewhere one output follows the other.
func (a *app) watched(cmd *cobra.Command) *cobra.Command {
	once := cmd.RunE
	var watch bool
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, every two seconds, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for {
			if watch && isTerminal(a.out) {
				fmt.Fprint(a.out, "\033[H\033[2J")
			}
			err := once(cmd, args)
			var f *failure
			if told := errors.As(err, &f) && f.silent; !watch || err != nil && !told {
				return err
			}
			if !idle.For(cmd.Context(), watchEvery) {
				return nil
			}
		}
	}
	return cmd
}

// watchLists adds --watch to every command that lists.
func (a *app) watchLists(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "list" || c.Name() == "status" {
			a.watched(c)
		}
		a.watchLists(c)
	}
}
