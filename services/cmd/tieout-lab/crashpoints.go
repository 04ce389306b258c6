package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/crash"
)

func crashpointsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "crashpoints", Short: "List the places at which a process may be made to die, and whose process gets there", Args: cobra.NoArgs,
		Example: "  tieout-lab crashpoints\n  TIEOUT_CRASH_AT=writer/after-send:3 writer --config tieout.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range crash.Points() {
				fmt.Fprintf(cmd.OutOrStdout(), "%-28s %s\n", p, strings.Join(p.Services(), " "))
			}
			return nil
		},
	}
}
