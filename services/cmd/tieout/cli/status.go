package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
)

// statusView is what 'status' prints; its names are promises.
type statusView struct {
	Settled     bool             `json:"settled"`
	Services    []serviceView    `json:"services"`
	Routes      []routeView      `json:"routes"`
	Exceptions  exceptionsView   `json:"exceptions"`
	Connections []connectionView `json:"connections"`
}

type serviceView struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Version string `json:"version"`
	Lag     int64  `json:"lag"`
	Reason  string `json:"reason"` // why it is not ready
}

type routeView struct {
	Route      string `json:"route"`
	Admitted   int64  `json:"admitted"`
	Posted     int64  `json:"posted"`
	Unchanged  int64  `json:"unchanged"`
	Superseded int64  `json:"superseded"`
	Discarded  int64  `json:"discarded"`
	Parked     int64  `json:"parked"`
	Aside      int64  `json:"aside"`
	Waiting    int64  `json:"waiting"`
	Open       int64  `json:"open"`
}

type exceptionsView struct {
	Open   int64  `json:"open"`
	Oldest string `json:"oldest"`
}

type connectionView struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	State   string    `json:"state"`
	Reason  string    `json:"reason"`
	ProbeAt string    `json:"probe_at"`
	Ends    string    `json:"grant_expires"`
	Quota   quotaView `json:"quota"`
}

type quotaView struct {
	Used    int64 `json:"used"`
	Limit   int64 `json:"limit"`
	WindowS int64 `json:"window_s"`
}

// pulse is the state of the two services that settle what is settled.
type pulse struct {
	ingest *controlv1.IngestStatusResponse
	writer *controlv1.WriterStatusResponse
}

func (c clients) pulse(ctx context.Context) (pulse, error) {
	in, err := c.ingest.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
	if err != nil {
		return pulse{}, err
	}
	w, err := c.writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
	return pulse{in, w}, err
}

// settled: no hint is due, everything is published and taken, and every open
// slot is held by somebody.
func (p pulse) settled() bool { return len(p.unsettled()) == 0 }

// unsettled says what still moves.
func (p pulse) unsettled() []string {
	var out []string
	add := func(n int64, what string) {
		if n != 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	var admitted, held int64
	for _, r := range p.ingest.GetRoutes() {
		admitted += r.GetOpen()
	}
	for _, r := range p.writer.GetRoutes() {
		held += r.GetOpen()
	}
	add(p.ingest.GetHints(), "records to read")
	add(p.ingest.GetUnpublished(), "events to publish")
	add(p.writer.GetMoving(), "slots moving")
	add(p.writer.GetUnpublished(), "facts to publish")
	add(admitted-held, "events under way")
	for _, s := range []*controlv1.ServiceState{p.ingest.GetService(), p.writer.GetService()} {
		if s.GetReason() != "" { // what it was told meanwhile is not in the counts
			out = append(out, s.GetName()+" is "+s.GetState()+": "+s.GetReason())
		}
	}
	return out
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show services, routes, exceptions and connections", Args: cobra.NoArgs,
		Example: "  tieout status\n  tieout status -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.readStatus(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(v, v.table)
		},
	}
}

func (a *app) readStatus(ctx context.Context) (*statusView, error) {
	c, err := a.clients()
	if err != nil {
		return nil, err
	}
	p, err := c.pulse(ctx)
	if err != nil {
		return nil, err
	}
	t, err := c.transform.TransformStatus(ctx, &controlv1.TransformStatusRequest{})
	if err != nil {
		return nil, err
	}
	r, err := c.reconciler.ReconcilerStatus(ctx, &controlv1.ReconcilerStatusRequest{})
	if err != nil {
		return nil, err
	}
	au, err := c.audit.AuditStatus(ctx, &controlv1.AuditStatusRequest{})
	if err != nil {
		return nil, err
	}
	v := &statusView{Settled: p.settled(), Routes: p.routes(), Connections: p.connections()}
	for _, s := range []*controlv1.ServiceState{p.ingest.GetService(), t.GetService(), p.writer.GetService(), r.GetService(), au.GetService()} {
		v.Services = append(v.Services, serviceView{s.GetName(), s.GetState(), s.GetVersion(), s.GetLag(), s.GetReason()})
	}
	v.Exceptions = exceptionsView{Open: p.ingest.GetExceptions() + p.writer.GetExceptions(), Oldest: instant(p.oldest())}
	return v, nil
}

// oldest is when the oldest open exception of any service was opened.
func (p pulse) oldest() *timestamppb.Timestamp {
	in, w := p.ingest.GetOldest(), p.writer.GetOldest()
	if w == nil || in != nil && in.AsTime().Before(w.AsTime()) {
		return in
	}
	return w
}

// routes joins what ingest admitted with what the writer holds.
func (p pulse) routes() []routeView {
	held := map[string]*controlv1.RouteCount{}
	for _, r := range p.writer.GetRoutes() {
		held[r.GetRoute()] = r
	}
	out := []routeView{}
	for _, r := range p.ingest.GetRoutes() {
		h := held[r.GetRoute()]
		out = append(out, routeView{
			Route: r.GetRoute(), Admitted: r.GetAdmitted(), Posted: r.GetPosted(), Unchanged: r.GetUnchanged(), Superseded: r.GetSuperseded(),
			Discarded: r.GetDiscarded(), Open: r.GetOpen(), Parked: h.GetParked(), Aside: h.GetAside(), Waiting: h.GetWaiting(),
		})
	}
	return out
}

func (p pulse) connections() []connectionView {
	out := []connectionView{}
	for _, t := range p.writer.GetTargets() {
		out = append(out, connectionView{
			ID: t.GetConnection(), Account: t.GetAccount(), State: t.GetState(), Reason: t.GetReason(), ProbeAt: instant(t.GetProbeAt()), Ends: instant(t.GetGrantExpires()),
			Quota: quotaView{t.GetQuotaUsed(), t.GetQuotaLimit(), t.GetQuotaWindowS()},
		})
	}
	return out
}

func (v *statusView) table(w io.Writer) {
	fmt.Fprintf(w, "settled\t%v\nopen exceptions\t%d\n\n", v.Settled, v.Exceptions.Open)
	fmt.Fprintln(w, "SERVICE\tSTATE\tLAG\tVERSION\tREASON")
	for _, s := range v.Services {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", s.Name, s.State, s.Lag, s.Version, s.Reason)
	}
	fmt.Fprintln(w, "\nROUTE\tADMITTED\tPOSTED\tUNCHANGED\tSUPERSEDED\tDISCARDED\tOPEN\tPARKED\tASIDE\tWAITING")
	for _, r := range v.Routes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Route, r.Admitted, r.Posted, r.Unchanged, r.Superseded, r.Discarded, r.Open, r.Parked, r.Aside, r.Waiting)
	}
	fmt.Fprintln(w)
	connectionTable(w, v.Connections)
}
