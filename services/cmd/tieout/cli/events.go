package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/internal/idle"
)

// eventView is an event and how it ended; its names are promises.
type eventView struct {
	EventID    string `json:"event_id"`
	Ref        string `json:"ref"`
	Rev        int64  `json:"rev"`
	Route      string `json:"route"`
	Lane       string `json:"lane"`
	Seq        int64  `json:"seq"`
	Outcome    string `json:"outcome"`
	AdmittedAt string `json:"admitted_at"`
	EndedAt    string `json:"ended_at"`
}

func toEvent(e *controlv1.GetEventResponse) eventView {
	return eventView{
		EventID: e.GetEventId(), Ref: e.GetRef(), Rev: e.GetRev(), Route: e.GetRoute(), Lane: e.GetLane(), Seq: e.GetSeq(), Outcome: e.GetOutcome(),
		AdmittedAt: instant(e.GetAdmittedAt()), EndedAt: instant(e.GetEndedAt()),
	}
}

func (e eventView) line(w io.Writer) {
	outcome := e.Outcome
	if outcome == "" {
		outcome = "open"
	}
	fmt.Fprintf(w, "%s\t%s\t%s revision %d\t%s slot %d\t%s\t%s\n", clock(e.AdmittedAt), e.Route, e.Ref, e.Rev, e.Lane, e.Seq, outcome, e.EventID)
}

func (a *app) events() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "Changes that were admitted, and how each ended"}
	get := &cobra.Command{
		Use: "get ID", Short: "Show one event", Args: cobra.ExactArgs(1), Example: "  tieout events get 5f1c0a",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.ingest.GetEvent(cmd.Context(), &controlv1.GetEventRequest{EventId: args[0]})
			if err != nil {
				return err
			}
			v := toEvent(res)
			return a.print(v, v.line)
		},
	}
	var follow bool
	r := &controlv1.ListEventsRequest{}
	tail := &cobra.Command{
		Use: "tail", Short: "List the newest events, one a line", Args: cobra.NoArgs,
		Example: "  tieout events tail\n  tieout events tail --ref deal/123 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownLimit(r.Limit); err != nil {
				return err
			}
			return a.tailEvents(cmd.Context(), r, follow)
		},
	}
	tail.Flags().BoolVarP(&follow, "watch", "w", false, "go on with what is admitted from now on")
	tail.Flags().StringVar(&r.Ref, "ref", "", "only this record")
	tail.Flags().Int32Var(&r.Limit, "limit", 20, "at most so many to begin with")
	cmd.AddCommand(get, tail)
	return cmd
}

func (a *app) tailEvents(ctx context.Context, r *controlv1.ListEventsRequest, follow bool) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	if err := c.complete(ctx, &r.Ref); err != nil {
		return err
	}
	for {
		res, err := c.ingest.ListEvents(ctx, r)
		if err != nil {
			return err
		}
		for _, e := range res.GetItems() {
			if err := a.printLine(toEvent(e), toEvent(e).line); err != nil {
				return err
			}
			r.After = e.GetEventId()
		}
		if !follow {
			return nil
		}
		if !idle.For(ctx, time.Second) {
			return nil
		}
	}
}

// printLine writes one of many, a line each.
func (a *app) printLine(v any, line func(io.Writer)) error {
	if a.output == "table" {
		return a.print(v, line)
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintln(a.out, string(b))
	}
	return err
}
