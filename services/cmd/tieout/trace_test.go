package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// collector keeps the spans it is sent: trace id -> "service span".
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]map[string]bool
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		service := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				id := hex.EncodeToString(s.GetTraceId())
				if c.spans[id] == nil {
					c.spans[id] = map[string]bool{}
				}
				c.spans[id][service+" "+s.GetName()] = true
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *collector) of(id string) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]bool{}
	for name := range c.spans[id] {
		out[name] = true
	}
	return out
}

// The trace that 'journey' names holds a span of every hop, through SQL and
// Kafka, from the CRM to the books and back.
func TestOneTraceHoldsEveryHop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, srv := &collector{spans: map[string]map[string]bool{}}, grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(srv, c)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	o := start(t)
	d := newDeals(o, 1)
	d.win("Traced")
	o.settle(1)
	var j struct {
		Steps []struct {
			What    string
			TraceID string `json:"trace_id"`
		}
	}
	if err := json.Unmarshal([]byte(o.run("journey", o.live()["Traced"][0].DocNumber, "-o", "json")), &j); err != nil {
		t.Fatal(err)
	}
	// A deal that was read before it was won has a revision, and so a trace,
	// that comes to nothing: the sync is the trace that made the invoice.
	id := ""
	for _, s := range j.Steps {
		if s.What == "link.created" {
			id = s.TraceID
		}
	}
	steps := map[string]bool{}
	for _, s := range j.Steps {
		if s.TraceID == id {
			steps[s.What] = true
		}
	}
	for _, what := range []string{"record.changed", "event.admitted", "event.rendered", "slot.received", "call.sent", "op.settled", "link.created", "slot.ended"} {
		if !steps[what] {
			t.Errorf("the trace %s that made the invoice lacks the step %s; it has %v", id, what, steps)
		}
	}
	want := []string{"ingest admit deal", "transform process", "writer process", "writer post", "ingest admit invoice"}
	deadline := time.Now().Add(20 * time.Second)
	for missing := want; ; <-time.After(100 * time.Millisecond) {
		got := c.of(id)
		missing = nil
		for _, w := range want {
			found := false
			for name := range got {
				found = found || strings.HasPrefix(name, w)
			}
			if !found {
				missing = append(missing, w)
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("trace %s lacks %v; it has %v", id, missing, got)
		}
	}
}
