package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
)

const hostile = `<script>alert(1)</script>"'&`

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func euro(minor int64) *auditv1.Money { return &auditv1.Money{Minor: minor, Currency: "EUR"} }

type ingest struct {
	controlv1.UnimplementedIngestServiceServer
}

func (ingest) IngestStatus(context.Context, *controlv1.IngestStatusRequest) (*controlv1.IngestStatusResponse, error) {
	return &controlv1.IngestStatusResponse{Service: &controlv1.ServiceState{Name: "ingest", State: "ready"}}, nil
}

func (ingest) ListExceptions(_ context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	if r.GetSubject() == "hubspot/1/deal/8" {
		return &controlv1.ListExceptionsResponse{Items: []*controlv1.Exception{{
			Id: "i-8", Kind: "validation", Owner: "crm admin", State: "open", Reason: "it has two customers", Subject: r.GetSubject(), OpenedAt: timestamppb.New(noon),
		}}}, nil
	}
	return &controlv1.ListExceptionsResponse{}, nil
}

func (ingest) ListEvents(_ context.Context, r *controlv1.ListEventsRequest) (*controlv1.ListEventsResponse, error) {
	out := &controlv1.ListEventsResponse{Items: []*controlv1.GetEventResponse{{Ref: r.GetRef(), Outcome: "posted"}}}
	if r.GetRef() == "hubspot/1/deal/7" {
		out.Items = append(out.Items, &controlv1.GetEventResponse{Ref: r.GetRef()})
	}
	return out, nil
}

func (ingest) GetRecord(_ context.Context, r *controlv1.GetRecordRequest) (*controlv1.GetRecordResponse, error) {
	return &controlv1.GetRecordResponse{Ref: r.GetRef(), Data: []byte(`{"dealname":"Order 1","lines":[{"price":"10.00"}],"none":null}`), SourceUrl: "https://crm.example/1"}, nil
}

type writer struct {
	controlv1.UnimplementedWriterServiceServer
	down  bool
	many  int    // open exceptions beside the first
	asked string // about which tenant
}

// note keeps the tenant that a call is about.
func (w *writer) note(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	w.asked = strings.Join(md.Get("tieout-tenant"), " ")
}

func (w *writer) WriterStatus(ctx context.Context, _ *controlv1.WriterStatusRequest) (*controlv1.WriterStatusResponse, error) {
	w.note(ctx)
	if w.down {
		return nil, status.Error(codes.Unavailable, "the writer is away")
	}
	return &controlv1.WriterStatusResponse{
		Service: &controlv1.ServiceState{Name: "writer", State: "ready"}, Exceptions: int64(w.many) + 1, Routes: []*controlv1.RouteCount{{Waiting: 3}},
		Targets: []*controlv1.TargetState{{Connection: "books", Account: "quickbooks/9", State: "paused", Reason: "503", QuotaUsed: 7, QuotaLimit: 425, QuotaWindowS: 60}},
	}, nil
}

func (*writer) ListLanes(_ context.Context, r *controlv1.ListLanesRequest) (*controlv1.ListLanesResponse, error) {
	switch r.GetRef() {
	case "hubspot/1/deal/7": // parked itself, and behind another in a second lane
		return &controlv1.ListLanesResponse{Items: []*controlv1.LaneView{
			{State: "parked", Exception: "w-1", Subject: r.GetRef()}, {State: "parked", Exception: "w-2", Subject: "hubspot/1/deal/6"},
			{State: "waiting", Why: "dependency", WaitsFor: []string{"hubspot/1/company/3"}, Subject: r.GetRef()}, {State: "idle"},
		}}, nil
	}
	return &controlv1.ListLanesResponse{Items: []*controlv1.LaneView{{Lane: "hubspot/1/company/3", State: "parked", Exception: "w-2", Subject: "hubspot/1/deal/6"}}}, nil
}

func (w *writer) ListExceptions(ctx context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	w.note(ctx)
	if r.GetId() == "w-2" {
		return &controlv1.ListExceptionsResponse{Items: []*controlv1.Exception{{Id: "w-2", Kind: "mapping", Owner: "finance", State: "open", Reason: "no tax code", Subject: "hubspot/1/deal/6", OpenedAt: timestamppb.New(noon)}}}, nil
	}
	if r.GetSubject() == "hubspot/1/deal/8" {
		return &controlv1.ListExceptionsResponse{}, nil
	}
	if r.GetId() == "w-none" {
		return nil, status.Error(codes.NotFound, "there is no exception w-none")
	}
	out := &controlv1.ListExceptionsResponse{Items: []*controlv1.Exception{{
		Id: "w-1", Kind: "match", Owner: "finance", State: "open", Reason: hostile, Fix: "merge them", Subject: "hubspot/1/deal/7", Amount: euro(123456),
		OpenedAt: timestamppb.New(noon.Add(-90 * time.Minute)), Actions: []string{"retry", "link"}, Held: &controlv1.Held{Count: 2, Sum: []*auditv1.Money{euro(500)}},
	}}}
	if limit := int(r.GetLimit()); limit > 0 && w.many >= limit { // as the real one: a token where a page was cut
		out.Next = "token"
	}
	for n := range min(w.many, int(r.GetLimit())-1) {
		out.Items = append(out.Items, &controlv1.Exception{Id: fmt.Sprint("w-more", n), Kind: "match", Owner: "finance", State: "open", Reason: "one more", OpenedAt: timestamppb.New(noon)})
	}
	return out, nil
}

func (*writer) GetDocument(context.Context, *controlv1.GetDocumentRequest) (*controlv1.GetDocumentResponse, error) {
	return &controlv1.GetDocumentResponse{Items: []*controlv1.DocumentPart{{
		Part: "invoice", OtherRef: "quickbooks/9/invoice/1", Number: "1001", State: "primary", Mapping: "h",
		Fields: []*controlv1.DocumentField{{Name: "note", Value: "Order 1"}, {Name: "line.1.price", Value: "10"}},
	}, {Part: "marker", Kind: "MARKER", OtherRef: "hubspot/1/deal/written-back", State: "primary"}}}, nil
}

type transform struct {
	controlv1.UnimplementedTransformServiceServer
}

func (transform) TransformStatus(context.Context, *controlv1.TransformStatusRequest) (*controlv1.TransformStatusResponse, error) {
	return &controlv1.TransformStatusResponse{Service: &controlv1.ServiceState{Name: "transform", State: "ready"}}, nil
}

func (transform) GetMapping(context.Context, *controlv1.GetMappingRequest) (*controlv1.GetMappingResponse, error) {
	return &controlv1.GetMappingResponse{Rules: []*controlv1.MappingRule{{Name: "invoice.note", Expression: "deal.dealname"}, {Name: "invoice.lines.price", Expression: "line.price"}}}, nil
}

type reconciler struct {
	controlv1.UnimplementedReconcilerServiceServer
	open     int64
	compared []string // entities
}

func (*reconciler) ReconcilerStatus(context.Context, *controlv1.ReconcilerStatusRequest) (*controlv1.ReconcilerStatusResponse, error) {
	return &controlv1.ReconcilerStatusResponse{Service: &controlv1.ServiceState{Name: "reconciler", State: "ready"}}, nil
}

func (*reconciler) ListBreaks(_ context.Context, r *controlv1.ListBreaksRequest) (*controlv1.ListBreaksResponse, error) {
	if r.GetRef() != "hubspot/1/deal/7" {
		return &controlv1.ListBreaksResponse{}, nil
	}
	return &controlv1.ListBreaksResponse{Items: []*controlv1.Break{{Id: "b", Kind: "missing", Cause: "voided_in_books", State: "open", Amount: euro(36306), Repair: "A person removed it."}}}, nil
}

func (r *reconciler) LastReport(context.Context, *controlv1.LastReportRequest) (*controlv1.ReconcileResponse, error) {
	return nil, status.Error(codes.NotFound, "nothing was reconciled yet")
}

func (r *reconciler) Reconcile(_ context.Context, q *controlv1.ReconcileRequest) (*controlv1.ReconcileResponse, error) {
	r.compared = append(r.compared, q.GetEntity())
	side := &controlv1.Side{Count: 1, Net: euro(1234567)}
	return &controlv1.ReconcileResponse{EndedAt: timestamppb.New(noon), Rows: []*controlv1.ReconcileRow{{
		Kind: "invoice", Currency: "EUR", Source: side, Journal: side, Books: side, Unexplained: &controlv1.Side{Count: r.open, Net: euro(r.open)},
		Explained: []*controlv1.Explained{{Cause: "in_flight", Side: &controlv1.Side{Count: 1, Net: euro(7)}}},
	}}}, nil
}

type audit struct {
	controlv1.UnimplementedAuditServiceServer
}

func (audit) AuditStatus(context.Context, *controlv1.AuditStatusRequest) (*controlv1.AuditStatusResponse, error) {
	return &controlv1.AuditStatusResponse{Service: &controlv1.ServiceState{Name: "audit", State: "ready"}}, nil
}

func (audit) Journey(_ context.Context, r *controlv1.JourneyRequest) (*controlv1.JourneyResponse, error) {
	if strings.Contains(r.GetId(), "none") {
		return nil, status.Error(codes.NotFound, "nothing is known of "+r.GetId())
	}
	if r.GetId() == "deal/8" {
		return &controlv1.JourneyResponse{Subject: "hubspot/1/deal/8"}, nil
	}
	return &controlv1.JourneyResponse{Subject: "hubspot/1/deal/7", InvoiceNumber: "1001", Documents: []*controlv1.JourneyDocument{{Number: "1001", State: "open"}}, Steps: []*controlv1.Step{
		{At: timestamppb.New(noon), Service: "ingest", What: "event.admitted", TraceId: "abc"},
		{At: timestamppb.New(noon.Add(1500 * time.Millisecond)), Service: "writer", What: "op.settled", Detail: hostile},
	}}, nil
}

type plane struct {
	writer     *writer
	reconciler *reconciler
	handler    http.Handler
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	return planeOf(t, Entity{ID: "acme-ie", Tenant: "acme"})
}

func planeOf(t *testing.T, entities ...Entity) *plane {
	t.Helper()
	p := &plane{writer: &writer{}, reconciler: &reconciler{}}
	srv, l := grpc.NewServer(), bufconn.Listen(1<<20)
	controlv1.RegisterIngestServiceServer(srv, ingest{})
	controlv1.RegisterWriterServiceServer(srv, p.writer)
	controlv1.RegisterTransformServiceServer(srv, transform{})
	controlv1.RegisterReconcilerServiceServer(srv, p.reconciler)
	controlv1.RegisterAuditServiceServer(srv, audit{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient("passthrough:///plane", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c, err := New(conn, entities, slog.New(slog.DiscardHandler), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	if p.handler, err = c.Handler(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) get(t *testing.T, method, path string) (int, string, http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, nil)
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b), w.Header()
}

func TestPagesSayWhatAPersonNeeds(t *testing.T) {
	p := newPlane(t)
	for path, want := range map[string][]string{
		"/":                        {"It ties out.", "12\u202f345.67\u00a0EUR", "explained: in_flight", "paused", "7 of 425 in 60 s", "3 records wait", `<a href="/exceptions?kind=match">`, "1 h"},
		"/exceptions?owner=nobody": {"None."},
		"/exceptions":              {"match", "finance", "1\u202f234.56\u00a0EUR", `<a href="/record/hubspot/1/deal/7">`},
		"/exceptions/w-1":          {"merge them", "tieout exceptions link w-1 --ref …", "runbook page match.md", "5.00\u00a0EUR"},
		"/record/1001":             {"dealname", "Order 1", "lines.1.price", "deal.dealname", "line.price", "1500 ms", "abc", "https://crm.example/1"},
	} {
		code, body, h := p.get(t, http.MethodGet, path)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s lacks %q", path, w)
			}
		}
		if strings.Contains(body, "<script>alert") {
			t.Errorf("%s runs what a record says", path)
		}
		for _, outside := range []string{`src="http`, `href="//`, "@import"} {
			if strings.Contains(body, outside) {
				t.Errorf("%s loads from elsewhere: %s", path, outside)
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
}

func TestADifferenceIsSaidFirst(t *testing.T) {
	p := newPlane(t)
	p.reconciler.open = 5
	if _, body, _ := p.get(t, http.MethodGet, "/"); !strings.Contains(body, "It does not tie out.") {
		t.Error("a difference is not said")
	}
}

func TestErrorsArePagesThatSayWhatToDo(t *testing.T) {
	p := newPlane(t)
	p.writer.down = true
	for path, want := range map[string]struct {
		code int
		says string
	}{
		"/":                  {http.StatusServiceUnavailable, "Nothing is lost. Try again"},
		"/record/none":       {http.StatusNotFound, "Check the id."},
		"/exceptions/w-none": {http.StatusNotFound, "there is no exception"},
		"/nowhere":           {http.StatusNotFound, "not found"},
	} {
		if code, body, _ := p.get(t, http.MethodGet, path); code != want.code || !strings.Contains(body, want.says) {
			t.Errorf("%s: %d, want %d: %s", path, code, want.code, body)
		}
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	p := newPlane(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if code, _, h := p.get(t, method, "/"); code != http.StatusMethodNotAllowed || h.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://books.example/", nil)
	w := httptest.NewRecorder()
	if p.handler.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("another name for this machine is answered with %d", w.Code)
	}
}

func TestSearchLeadsToTheRecord(t *testing.T) {
	code, _, h := newPlane(t).get(t, http.MethodGet, "/record?id=hubspot%2F1%2Fdeal%2F7+x")
	if code != http.StatusSeeOther || h.Get("Location") != "/record/hubspot/1/deal/7%20x" {
		t.Errorf("%d to %q", code, h.Get("Location"))
	}
}
