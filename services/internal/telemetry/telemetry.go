// Package telemetry sets up traces for one process: the OpenTelemetry SDK with
// the exporter it is given, the W3C propagator, and a log handler that names the
// trace. Nothing is set globally; what needs a tracer is given one.
package telemetry

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Exporter takes spans somewhere; the alias keeps the SDK in this package.
type Exporter = sdktrace.SpanExporter

// Config says who traces, and where to.
type Config struct {
	Service, Version, Instance string
	// Exporter takes the spans. Without one spans get ids, which facts and logs
	// name, and are neither recorded nor marked as sampled.
	Exporter sdktrace.SpanExporter
	// Ratio of new traces that are recorded; 0 means all. A trace begun
	// elsewhere follows the decision made there.
	Ratio  float64
	Logger *slog.Logger
}

// Telemetry is a process's tracing.
type Telemetry struct{ provider *sdktrace.TracerProvider }

// New sets tracing up. Spans are exported in the background; when the exporter
// falls behind they are dropped, never waited for.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	if cfg.Service == "" {
		return nil, errors.New("telemetry needs the service's name")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	res := resource.NewSchemaless(attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.Instance))
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	if cfg.Exporter == nil {
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	} else {
		options = append(options, sdktrace.WithSampler(sampler(cfg.Ratio)), sdktrace.WithBatcher(&reporter{exporter: cfg.Exporter, log: cfg.Logger}))
	}
	return &Telemetry{sdktrace.NewTracerProvider(options...)}, nil
}

func sampler(ratio float64) sdktrace.Sampler {
	if ratio == 0 {
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
}

// Provider gives out tracers.
func (t *Telemetry) Provider() trace.TracerProvider { return t.provider }

// Tracer is the tracer of a package.
func (t *Telemetry) Tracer(name string) trace.Tracer { return t.provider.Tracer(name) }

// Propagator carries traces over HTTP and gRPC as the W3C says.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// Flush exports what is waiting.
func (t *Telemetry) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Shutdown exports what is waiting and ends the exporter.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.provider.Shutdown(ctx) }
