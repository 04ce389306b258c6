package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
)

// runView is a backfill; its names are promises.
type runView struct {
	Run        string `json:"run"`
	Connection string `json:"connection"`
	Type       string `json:"type"`
	State      string `json:"state"`
	From       string `json:"from"`
	MatchOnly  bool   `json:"match_only"`
	Total      int64  `json:"total"`
	Read       int64  `json:"read"`
	Admitted   int64  `json:"admitted"`
	Duplicates int64  `json:"duplicates"`
	Failed     int64  `json:"failed"`
	Why        string `json:"why"`
	StartedAt  string `json:"started_at"`
	EndedAt    string `json:"ended_at"`
	ETA        string `json:"eta"`
}

func toRun(r *controlv1.Run) runView {
	return runView{
		Run: r.GetId(), Connection: r.GetConnection(), Type: r.GetType(), State: r.GetState(), From: instant(r.GetFrom()), MatchOnly: r.GetMatchOnly(),
		Total: r.GetTotal(), Read: r.GetRead(), Admitted: r.GetAdmitted(), Duplicates: r.GetDuplicates(), Failed: r.GetFailed(), Why: r.GetWhy(),
		StartedAt: instant(r.GetStartedAt()), EndedAt: instant(r.GetEndedAt()), ETA: instant(r.GetEta()),
	}
}

func runTable(w io.Writer, runs []runView) {
	fmt.Fprintln(w, "RUN\tCONNECTION\tTYPE\tSTATE\tOF\tREAD\tADMITTED\tKNOWN\tREFUSED\tENDS ABOUT\tWHY")
	for _, r := range runs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", r.Run, r.Connection, r.Type, r.State, r.Total, r.Read, r.Admitted, r.Duplicates, r.Failed, clock(r.ETA), r.Why)
	}
}

func (a *app) backfill() *cobra.Command {
	r := &controlv1.StartBackfillRequest{Actor: actor()}
	var from string
	var detach bool
	cmd := &cobra.Command{
		Use: "backfill", Short: "Read the records that were there before, in bulk", Args: cobra.NoArgs,
		Long:    "Lists a connection's records and admits them in bulk; what is won meanwhile goes first.\nA record that qualified before --from is matched with what stands in the books and linked, never created.",
		Example: "  tieout backfill --connection crm --from 2026-01-01 --dry-run\n  tieout backfill --connection crm --type deal --match-only",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Connection == "" {
				return usage("--connection is mandatory; 'tieout connections list' shows them")
			}
			if from != "" {
				at, err := parseDay(from)
				if err != nil {
					return err
				}
				r.From = timestamppb.New(at)
			} else if !r.MatchOnly {
				return usage("name the start with --from: what qualified before it is matched and linked only; or say --match-only")
			}
			return a.runBackfill(cmd.Context(), r, detach)
		},
	}
	cmd.Flags().StringVar(&r.Connection, "connection", "", "the connection to read")
	cmd.Flags().StringVar(&r.Type, "type", "", "object type; every type that a route leads from when left out")
	cmd.Flags().StringVar(&from, "from", "", "day (YYYY-MM-DD) or instant: what qualified before it is not created")
	cmd.Flags().BoolVar(&r.MatchOnly, "match-only", false, "create nothing: link what stands in the books already")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "say how many records there are, read none")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for the end; 'tieout runs' follows it")
	return cmd
}

func parseDay(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usage("%q is neither a day such as 2026-01-31 nor an instant such as 2026-01-31T08:00:00Z", s)
}

func (a *app) runBackfill(ctx context.Context, r *controlv1.StartBackfillRequest, detach bool) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	res, err := c.ingest.StartBackfill(ctx, r)
	if err != nil {
		return err
	}
	runs := res.GetItems()
	if !r.GetDryRun() && !detach {
		if runs, err = a.follow(ctx, c, runs); err != nil {
			return err
		}
	}
	views := []runView{}
	for _, x := range runs {
		views = append(views, toRun(x))
	}
	table := func(w io.Writer) { runTable(w, views) }
	if r.GetType() != "" && len(views) == 1 { // one type is one run
		return a.print(views[0], table)
	}
	return a.print(page[runView]{Items: views}, table)
}

// follow tells how the runs get on, once a second, until all have ended.
func (a *app) follow(ctx context.Context, c clients, runs []*controlv1.Run) ([]*controlv1.Run, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		open := false
		for i, x := range runs {
			res, err := c.ingest.ListRuns(ctx, &controlv1.ListRunsRequest{Id: x.GetId()})
			if err != nil {
				return nil, err
			}
			runs[i] = res.GetItems()[0]
			v := toRun(runs[i])
			if v.State == "running" {
				open = true
				fmt.Fprintf(a.err, "%s %s: %d of %d read, %d admitted, %d known, %d refused%s\n", v.Run, v.Type, v.Read, v.Total, v.Admitted, v.Duplicates, v.Failed, because(v.Why))
			}
		}
		if !open {
			return runs, nil
		}
		select {
		case <-ctx.Done():
			return runs, nil
		case <-tick.C:
		}
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return "; " + why
}

func (a *app) runs() *cobra.Command {
	cmd := &cobra.Command{Use: "runs", Short: "Backfills: how they get on, pause, resume and cancel"}
	var p part
	list := p.flags(&cobra.Command{
		Use: "list", Short: "List backfills, newest first", Args: cobra.NoArgs, Example: "  tieout runs list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listRuns(cmd.Context(), &controlv1.ListRunsRequest{Limit: p.limit, Next: p.next})
		},
	})
	show := &cobra.Command{
		Use: "show RUN", Short: "Show one backfill", Args: cobra.ExactArgs(1), Example: "  tieout runs show b-0123456789ab",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.listRuns(cmd.Context(), &controlv1.ListRunsRequest{Id: args[0]})
		},
	}
	cmd.AddCommand(list, show)
	for action, short := range map[string]string{"pause": "Read no further for now", "resume": "Read on", "cancel": "Read no further; what was admitted goes on"} {
		cmd.AddCommand(&cobra.Command{
			Use: action + " RUN", Short: short, Args: cobra.ExactArgs(1), Example: "  tieout runs " + action + " b-0123456789ab",
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := a.clients()
				if err != nil {
					return err
				}
				res, err := c.ingest.ActOnRun(cmd.Context(), &controlv1.ActOnRunRequest{Id: args[0], Action: action, Actor: actor()})
				if err != nil {
					return err
				}
				v := toRun(res.GetRun())
				return a.print(v, func(w io.Writer) { runTable(w, []runView{v}) })
			},
		})
	}
	return cmd
}

func (a *app) listRuns(ctx context.Context, r *controlv1.ListRunsRequest) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	res, err := c.ingest.ListRuns(ctx, r)
	if err != nil {
		return err
	}
	views := []runView{}
	for _, x := range res.GetItems() {
		views = append(views, toRun(x))
	}
	if r.GetId() != "" {
		return a.print(views[0], func(w io.Writer) { runTable(w, views) })
	}
	return a.print(page[runView]{Items: views, Next: res.GetNext()}, func(w io.Writer) {
		runTable(w, views)
		more(w, res.GetNext())
	})
}
