// Command tieout-lab proves what Tieout promises: it runs it on real parts,
// plays schedules by seed against the writer's core, takes the core's guards out
// one at a time, harms running processes, and holds what was recorded against
// what is promised. It is no part of an installation.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/parts"
)

// Exit codes, as those of tieout.
const (
	exitError  = 1
	exitAbsent = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "tieout-lab", Short: "Proves what Tieout promises", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(append(realCommands(), simCommand(), mutantsCommand(), verifyCommand(), crashpointsCommand(), chaosCommand(), metricsCommand(), faultsCommand())...)
	err := root.ExecuteContext(ctx)
	var absent *parts.AbsentError
	var other *otherEnded
	switch {
	case err == nil:
		return
	case errors.As(err, &other):
		os.Exit(other.code)
	case errors.As(err, &absent):
		fmt.Fprintln(os.Stderr, "tieout-lab:", err)
		os.Exit(exitAbsent)
	}
	fmt.Fprintln(os.Stderr, "tieout-lab:", err)
	os.Exit(exitError)
}
