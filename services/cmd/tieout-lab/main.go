// Command tieout-lab proves what the writer promises: schedules by seed
// against the real core, and the core with a guard taken out. It is no part of
// an installation.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	debug.SetGCPercent(800) // schedules are short-lived: collect rarely
	root := &cobra.Command{Use: "tieout-lab", Short: "Proves what the writer promises", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(simCommand(), mutantsCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tieout-lab:", err)
		os.Exit(1)
	}
}
