package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
)

// reportFor is how old a report may be before the books are compared anew.
const reportFor = time.Minute

// today is the first page: does it tie out, who must act, what waits.
type today struct {
	Ties       bool
	Unknown    string // why it is not known
	Entities   []entityReport
	Causes     []cause
	Open       int64 // exceptions
	Cut        int   // so many of them, the oldest, are told by cause; 0: all
	Waiting    int64
	Connection []*controlv1.TargetState
	Services   []*controlv1.ServiceState
}

type entityReport struct {
	Entity string
	At     *timestamppb.Timestamp
	Rows   []*controlv1.ReconcileRow
	Breaks []*controlv1.Break
	Ties   bool
}

// cause is what a group of exceptions has in common.
type cause struct {
	Kind, Owner string
	Count       int
	Oldest      *timestamppb.Timestamp
	Amounts     []*auditv1.Money
}

func (c *Console) today(ctx context.Context, r *http.Request) (*view, error) {
	tenant := r.URL.Query().Get("tenant")
	w, err := c.writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
	if err != nil {
		return nil, err
	}
	in, err := c.ingest.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
	if err != nil {
		return nil, err
	}
	t := &today{Connection: w.GetTargets(), Services: []*controlv1.ServiceState{in.GetService(), w.GetService()}, Ties: true}
	for _, route := range w.GetRoutes() {
		t.Waiting += route.GetWaiting()
	}
	items, more, err := c.list(ctx, &controlv1.ListExceptionsRequest{Limit: listMost})
	if err != nil {
		return nil, err
	}
	t.Causes, t.Open = group(items), w.GetExceptions()+in.GetExceptions()
	if more {
		t.Cut = len(items)
	}
	if err := c.others(ctx, t); err != nil {
		return nil, err
	}
	for _, entity := range c.of(tenant) {
		e, err := c.report(ctx, entity)
		if err != nil {
			t.Ties, t.Unknown = false, status.Convert(err).Message()
			continue
		}
		t.Ties = t.Ties && e.Ties
		t.Entities = append(t.Entities, e)
	}
	return &view{Title: "Today", Section: "today", Refresh: within(tenant, "/"), Body: t}, nil
}

func (c *Console) others(ctx context.Context, t *today) error {
	tr, err := c.transform.TransformStatus(ctx, &controlv1.TransformStatusRequest{})
	if err != nil {
		return err
	}
	re, err := c.reconciler.ReconcilerStatus(ctx, &controlv1.ReconcilerStatusRequest{})
	if err != nil {
		return err
	}
	au, err := c.audit.AuditStatus(ctx, &controlv1.AuditStatusRequest{})
	if err != nil {
		return err
	}
	t.Services = append(t.Services, tr.GetService(), re.GetService(), au.GetService())
	return nil
}

// report is the newest comparison of an entity, or a fresh one.
func (c *Console) report(ctx context.Context, entity string) (entityReport, error) {
	res, err := c.reconciler.LastReport(ctx, &controlv1.LastReportRequest{Entity: entity})
	if status.Code(err) == codes.NotFound || err == nil && c.now().Sub(res.GetEndedAt().AsTime()) > reportFor {
		res, err = c.reconciler.Reconcile(ctx, &controlv1.ReconcileRequest{Entity: entity})
	}
	if err != nil {
		return entityReport{}, err
	}
	out := entityReport{Entity: entity, At: res.GetEndedAt(), Rows: res.GetRows(), Breaks: res.GetBreaks(), Ties: true}
	for _, r := range res.GetRows() {
		u := r.GetUnexplained()
		out.Ties = out.Ties && u.GetCount() == 0 && u.GetNet().GetMinor() == 0
	}
	return out, nil
}

// group joins exceptions by kind, the oldest first.
func group(items []*controlv1.Exception) []cause {
	var out []cause
	for _, e := range items {
		i := slices.IndexFunc(out, func(c cause) bool { return c.Kind == e.GetKind() })
		if i < 0 {
			out = append(out, cause{Kind: e.GetKind(), Owner: e.GetOwner(), Oldest: e.GetOpenedAt()})
			i = len(out) - 1
		}
		out[i].Count++
		out[i].add(e.GetAmount())
	}
	return out
}

func (c *cause) add(m *auditv1.Money) {
	if m.GetCurrency() == "" {
		return
	}
	i := slices.IndexFunc(c.Amounts, func(x *auditv1.Money) bool { return x.GetCurrency() == m.GetCurrency() })
	if i < 0 {
		c.Amounts = append(c.Amounts, &auditv1.Money{Currency: m.GetCurrency()})
		slices.SortFunc(c.Amounts, func(a, b *auditv1.Money) int { return strings.Compare(a.GetCurrency(), b.GetCurrency()) })
		i = slices.IndexFunc(c.Amounts, func(x *auditv1.Money) bool { return x.GetCurrency() == m.GetCurrency() })
	}
	c.Amounts[i].Minor += m.GetMinor()
}
