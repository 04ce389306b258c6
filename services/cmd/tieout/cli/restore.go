package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

// restoredView is what 'restore mark' prints; its names are promises.
type restoredView struct {
	Service     string `json:"service"`
	Incarnation int64  `json:"incarnation"`
	DryRun      bool   `json:"dry_run"`
}

func (a *app) restore() *cobra.Command {
	cmd := &cobra.Command{Use: "restore", Short: "After a database was set back to a backup"}
	var dry bool
	mark := &cobra.Command{
		Use: "mark SERVICE", Short: "Say that a service's database was set back", Args: cobra.ExactArgs(1),
		ValidArgs: []string{"ingest", "transform", "writer", "reconciler", "audit"},
		Long: `Say that a service's database was set back to a backup. Ingest and writer find
that out by themselves when they start; saying it twice costs time, no truth.
'tieout status' shows the accounts that are in recovery.`,
		Example: "  tieout restore mark writer\n  tieout restore mark ingest -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry {
				return a.wouldMark(args[0], cmd.ValidArgs)
			}
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.markRestored(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			v := restoredView{Service: args[0], Incarnation: res.GetIncarnation()}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s begins incarnation %d; see 'tieout status'\n", v.Service, v.Incarnation)
			})
		},
	}
	mark.Flags().BoolVar(&dry, "dry-run", false, "say what would happen, change nothing")
	cmd.AddCommand(mark)
	return cmd
}

// wouldMark says what a mark would begin.
func (a *app) wouldMark(service string, services []string) error {
	if !slices.Contains(services, service) {
		return noService(service)
	}
	return a.print(restoredView{Service: service, DryRun: true}, func(w io.Writer) {
		fmt.Fprintf(w, "%s would begin a new incarnation: what it published since the backup is asked back from the others\n", service)
	})
}

func noService(name string) error {
	return usage("there is no service %q: ingest, transform, writer, reconciler or audit", name)
}

func (c clients) markRestored(ctx context.Context, service string) (*controlv1.MarkRestoredResponse, error) {
	req := &controlv1.MarkRestoredRequest{Actor: actor()}
	switch service {
	case "ingest":
		return c.ingest.MarkRestored(ctx, req)
	case "transform":
		return c.transform.MarkRestored(ctx, req)
	case "writer":
		return c.writer.MarkRestored(ctx, req)
	case "reconciler":
		return c.reconciler.MarkRestored(ctx, req)
	case "audit":
		return c.audit.MarkRestored(ctx, req)
	}
	return nil, noService(service)
}
