package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/drill"
)

func TestSpansReachTheExporterWithTheService(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tel, err := New(t.Context(), Config{Service: "ingest", Version: "v1", Instance: "a", Exporter: spans})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer("x").Start(t.Context(), "work")
	span.End()
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Name != "work" || !strings.Contains(got[0].Resource.String(), "service.name=ingest") {
		t.Fatalf("spans %v", got)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutExporterThereAreIdsButNoSpans(t *testing.T) {
	tel, err := New(t.Context(), Config{Service: "ingest"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tel.Tracer("x").Start(t.Context(), "work")
	if !span.SpanContext().IsValid() || span.SpanContext().IsSampled() || span.IsRecording() {
		t.Fatalf("span context %+v", span.SpanContext())
	}
	header := propagation.MapCarrier{}
	tel.Propagator().Inject(ctx, header)
	if want := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-00"; header["traceparent"] != want {
		t.Fatalf("traceparent %q, want %q", header["traceparent"], want)
	}
}

func TestLogsNameTheTrace(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(Handler(slog.NewJSONHandler(&out, nil))).With("service", "ingest")
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	log.InfoContext(ctx, "hello", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["trace_id"] != "01000000000000000000000000000000" || line["span_id"] != "0200000000000000" || line["service"] != "ingest" || line["n"] != 1.0 {
		t.Fatalf("line %v", line)
	}
	out.Reset()
	log.Info("no trace")
	if strings.Contains(out.String(), "trace_id") {
		t.Fatalf("line %s", out.String())
	}
}

type broken struct{ err error }

func (b *broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return b.err }
func (b *broken) Shutdown(context.Context) error                             { return nil }

func TestFailingExporterIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	b := &broken{err: errors.New("collector is away")}
	tel, err := New(t.Context(), Config{Service: "ingest", Exporter: b, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	export := func() {
		_, span := tel.Tracer("x").Start(t.Context(), "work")
		span.End()
		if err := tel.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	export()
	export()
	b.err = nil
	export()
	if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "collector is away") || !strings.Contains(out.String(), "exported again") {
		t.Fatalf("log:\n%s", out.String())
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	drill.Injected(t, 2, 112)
}
