package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

func (a *app) connections() *cobra.Command {
	cmd := &cobra.Command{Use: "connections", Short: "The accounts that Tieout reads and writes"}
	cmd.AddCommand(a.connectionsList(), a.connectionsShow(), a.connectionsAdd(), a.connectionsAuthorize(), a.connectionsTest(), a.connectionsPrepare(), a.connectionsProbe(),
		a.connectionsAct("pause", "Let nothing more leave to a connection's books, until it is resumed"), a.connectionsAct("resume", "Let a paused connection go on"))
	return cmd
}

func connectionTable(w io.Writer, items []connectionView) {
	fmt.Fprintln(w, "CONNECTION\tACCOUNT\tSTATE\tQUOTA\tCONSENT ENDS\tREASON")
	for _, c := range items {
		ends := c.Ends
		if ends == "" {
			ends = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d in %d s\t%s\t%s\n", c.ID, c.Account, c.State, c.Quota.Used, c.Quota.Limit, c.Quota.WindowS, ends, strings.TrimSpace(c.Reason))
	}
}

func (a *app) connectionsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List connections with their state and quota", Args: cobra.NoArgs, Example: "  tieout connections list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.readStatus(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(page[connectionView]{Items: v.Connections}, func(w io.Writer) { connectionTable(w, v.Connections) })
		},
	}
}

func (a *app) connectionsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one connection", Args: cobra.ExactArgs(1), Example: "  tieout connections show books",
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := a.readStatus(cmd.Context())
			if err != nil {
				return err
			}
			for _, c := range v.Connections {
				if c.ID == args[0] || c.Account == args[0] {
					return a.print(c, func(w io.Writer) { connectionTable(w, []connectionView{c}) })
				}
			}
			return &failure{code: exitNotFound, message: "there is no connection " + args[0], who: "operator", next: "tieout connections list"}
		},
	}
}

func (a *app) connectionsAct(action, short string) *cobra.Command {
	r := &controlv1.ActOnConnectionRequest{Action: action, Actor: actor()}
	cmd := &cobra.Command{
		Use: action + " ID", Short: short, Args: cobra.ExactArgs(1),
		Example: "  tieout connections " + action + ` books --reason "month end"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(r.Reason) == "" {
				return usage("--reason is mandatory: it goes into the audit trail")
			}
			c, err := a.clients()
			if err != nil {
				return err
			}
			r.Connection = args[0]
			res, err := c.writer.ActOnConnection(cmd.Context(), r)
			if err != nil {
				return err
			}
			if !r.DryRun { // what is asked for next shows it
				if err := c.hear(cmd.Context(), []string{res.GetCommand()}, &actView{}); err != nil {
					return err
				}
			}
			done := action
			if r.DryRun {
				done = "would " + action
			}
			return a.print(map[string]any{"connection": r.Connection, "action": action, "dry_run": r.DryRun}, func(w io.Writer) { fmt.Fprintf(w, "%s\t%s\n", done, r.Connection) })
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it goes into the audit trail")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "say what would happen, change nothing")
	return cmd
}
