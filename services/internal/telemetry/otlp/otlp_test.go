package otlp_test

import (
	"context"
	"net"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/telemetry/otlp"
)

type server struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s *server) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestSpansReachACollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	s := &server{got: make(chan *collector.ExportTraceServiceRequest, 1)}
	collector.RegisterTraceServiceServer(g, s)
	go func() { _ = g.Serve(l) }()
	defer g.Stop()
	exporter, err := otlp.New(t.Context(), "http://"+l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(t.Context(), telemetry.Config{Service: "writer", Exporter: exporter})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer("x").Start(t.Context(), "post")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-s.got:
		if name := r.ResourceSpans[0].ScopeSpans[0].Spans[0].Name; name != "post" {
			t.Fatalf("span %s", name)
		}
	case <-ctx.Done():
		t.Fatal("nothing arrived")
	}
}

func TestEndpointIsChecked(t *testing.T) {
	for _, endpoint := range []string{"", "localhost:4317", "grpc://x:1"} {
		if _, err := otlp.New(t.Context(), endpoint); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
}
