package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

// laneView is what 'lanes show' prints; its names are promises.
type laneView struct {
	Target    string   `json:"target"`
	Lane      string   `json:"lane"`
	State     string   `json:"state"`
	Why       string   `json:"why"`
	WakeAt    string   `json:"waiting_until"`
	Exception string   `json:"exception"`
	Next      int64    `json:"next"`
	Subject   string   `json:"subject"`
	Route     string   `json:"route"`
	Rev       int64    `json:"rev"`
	Class     string   `json:"class"`
	ChangedAt string   `json:"changed_at"`
	WaitsFor  []string `json:"waits_for"`
	Held      heldView `json:"held"`
}

func (a *app) lanes() *cobra.Command {
	cmd := &cobra.Command{Use: "lanes", Short: "Where a customer's queue stands"}
	var p part
	show := p.flags(&cobra.Command{
		Use: "show LANE|REF", Short: "Show the head of a lane, why it waits and until when, and what rests behind it", Args: cobra.ExactArgs(1),
		Example: "  tieout lanes show hubspot/48213/company/5\n  tieout lanes show deal/123 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			ref, err := c.record(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			res, err := c.writer.ListLanes(cmd.Context(), &controlv1.ListLanesRequest{Ref: ref, Limit: p.limit, Next: p.next})
			if err != nil {
				return err
			}
			items := []laneView{}
			for _, l := range res.GetItems() {
				items = append(items, toLane(l))
			}
			return a.print(page[laneView]{Items: items, Next: res.GetNext()}, func(w io.Writer) {
				for _, l := range items {
					l.table(w)
				}
				more(w, res.GetNext())
			})
		},
	})
	cmd.AddCommand(show)
	return cmd
}

func toLane(l *controlv1.LaneView) laneView {
	v := laneView{
		Target: l.GetTarget(), Lane: l.GetLane(), State: l.GetState(), Why: l.GetWhy(), WakeAt: instant(l.GetWakeAt()), Exception: l.GetException(),
		Next: l.GetNext(), Subject: l.GetSubject(), Route: l.GetRoute(), Rev: l.GetRev(), Class: l.GetClass(), ChangedAt: instant(l.GetChangedAt()),
		WaitsFor: append([]string{}, l.GetWaitsFor()...), Held: heldView{Count: l.GetHeld().GetCount(), Sum: []*amount{}},
	}
	for _, m := range l.GetHeld().GetSum() {
		v.Held.Sum = append(v.Held.Sum, toAmount(m))
	}
	return v
}

func (l laneView) table(w io.Writer) {
	row := func(name, value string) { field(w, name, value) }
	row("lane", l.Lane)
	row("writes to", l.Target)
	row("state", l.State)
	row("why", l.Why)
	row("looks again at", l.WakeAt)
	row("waits for", strings.Join(l.WaitsFor, ", "))
	row("exception", l.Exception)
	if l.Subject != "" {
		row("head", fmt.Sprintf("slot %d: %s revision %d, %s", l.Next, l.Subject, l.Rev, l.Class))
	}
	row("behind it", fmt.Sprint(l.Held.Count))
	fmt.Fprintln(w)
}
