package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
)

// mostSeries is how many sets of labels a metric may have: a second bound, far
// above what the lists of values allow.
const mostSeries = 5000

// Metrics are one service's metrics, and who asks for them.
type Metrics struct {
	provider *sdkmetric.MeterProvider
	registry *prometheus.Registry
	log      *slog.Logger
}

// NewMetrics sets metrics up. Every series carries the service's name, so that
// services of one process are told apart.
func NewMetrics(cfg Config) (*Metrics, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		otelprometheus.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("service.name")))
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", cfg.Service, err)
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(resource.NewSchemaless(attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.Instance))),
		sdkmetric.WithReader(exporter), sdkmetric.WithCardinalityLimit(mostSeries),
		// a trace that no collector samples still names the journey of the record
		sdkmetric.WithExemplarFilter(func(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }))
	return &Metrics{provider: provider, registry: registry, log: cfg.Logger}, nil
}

// Meter makes instruments.
func (m *Metrics) Meter() metric.Meter { return m.provider.Meter("tieout.dev/services") }

// Handler answers a scrape, in OpenMetrics where that is asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	})
}

// Shutdown ends measuring.
func (m *Metrics) Shutdown(ctx context.Context) error { return m.provider.Shutdown(ctx) }
