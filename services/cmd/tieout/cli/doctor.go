package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

// finding is one thing that is not as it should be.
type finding struct {
	What string `json:"what"`
	Who  string `json:"who"`
	Next string `json:"next"`
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what is not as it should be, and what to do; exit 5 if there is anything", Args: cobra.NoArgs,
		Example: "  tieout doctor\n  tieout doctor -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.readStatus(cmd.Context())
			if err != nil {
				return err
			}
			found := v.findings(time.Now())
			if found, err = a.tiesOut(cmd.Context(), found); err != nil {
				return err
			}
			perr := a.print(page[finding]{Items: found}, func(w io.Writer) {
				if len(found) == 0 {
					fmt.Fprintln(w, "nothing stands out: every service is ready, nothing lags, nobody waits for a person, the last reconciliation left nothing unexplained")
				}
				for _, f := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.What, f.Who, f.Next)
				}
			})
			if perr == nil && len(found) > 0 {
				return &failure{code: exitDifference, silent: true, message: "something stands out"}
			}
			return perr
		},
	}
}

// tiesOut adds what the newest reconciliation left unexplained, if there was one.
func (a *app) tiesOut(ctx context.Context, found []finding) ([]finding, error) {
	c, err := a.clients()
	if err != nil {
		return nil, err
	}
	r, err := c.reconciler.LastReport(ctx, &controlv1.LastReportRequest{})
	switch {
	case status.Code(err) == codes.NotFound:
		return found, nil
	case err != nil:
		return nil, err
	}
	n := int64(0)
	for _, row := range r.GetRows() {
		n += row.GetUnexplained().GetCount()
	}
	if n > 0 {
		found = append(found, finding{fmt.Sprintf("the last reconciliation, of %s, leaves %d unexplained", instant(r.GetEndedAt()), n), "finance", "tieout reconcile"})
	}
	return found, nil
}

// lagStands is how many records behind a service stands out.
const lagStands = 10000

func (v *statusView) findings(now time.Time) []finding {
	out := []finding{}
	versions := map[string]bool{}
	for _, s := range v.Services {
		versions[s.Version] = true
		if s.State != "ready" {
			next := "look at its log"
			if s.Reason != "" {
				next = "do what the reason says; tieout status shows when it is ready again"
			}
			out = append(out, finding{strings.TrimSuffix(s.Name+" is "+s.State+": "+s.Reason, ": "), "operator", next})
		}
		if s.Lag > lagStands {
			out = append(out, finding{fmt.Sprintf("%s is %d records behind", s.Name, s.Lag), "operator", "give it another replica, or find out what slows it"})
		}
	}
	if len(versions) > 1 {
		out = append(out, finding{"services of different versions run", "operator", "finish the upgrade"})
	}
	for _, c := range v.Connections {
		out = append(out, c.findings(now)...)
	}
	if v.Exceptions.Open > 0 {
		out = append(out, finding{fmt.Sprintf("%d exceptions wait for a person, the oldest since %s", v.Exceptions.Open, v.Exceptions.Oldest), "finance", "tieout exceptions list"})
	}
	return out
}

// endsSoon is how long before its end a consent stands out.
const endsSoon = 14 * 24 * time.Hour

func (c connectionView) findings(now time.Time) []finding {
	var out []finding
	if c.State != "active" {
		next := "tieout connections authorize " + c.ID
		switch {
		case strings.HasPrefix(c.Reason, "by "): // a person
			next = "tieout connections resume " + c.ID + ` --reason "…"`
		case c.ProbeAt != "":
			next = "nothing: it is probed at " + c.ProbeAt + " and resumes by itself; tieout connections test " + c.ID + " says what fails"
		}
		out = append(out, finding{"connection " + c.ID + " is " + c.State + ": " + c.Reason, "operator", next})
	}
	if ends, err := time.Parse(time.RFC3339, c.Ends); err == nil && ends.Before(now.Add(endsSoon)) {
		word := "ends"
		if !ends.After(now) {
			word = "ended"
		}
		out = append(out, finding{fmt.Sprintf("the consent of connection %s %s on %s", c.ID, word, c.Ends), "operator", "tieout connections authorize " + c.ID})
	}
	return out
}
