package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// reporter logs when exporting begins to fail and when it works again, instead
// of a line for each batch on standard error, which is the SDK's way.
type reporter struct {
	exporter sdktrace.SpanExporter
	log      *slog.Logger
	failing  atomic.Bool
}

// ExportSpans exports; a failure loses the batch and nothing else.
func (r *reporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := r.exporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !r.failing.Swap(true):
		r.log.WarnContext(ctx, "spans are lost: the exporter fails", "error", err)
	case err == nil && r.failing.Swap(false):
		r.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}

// Shutdown ends the exporter.
func (r *reporter) Shutdown(ctx context.Context) error { return r.exporter.Shutdown(ctx) }
