package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/telemetry"
)

func measured(t *testing.T) (*meter.Set, func() string) {
	t.Helper()
	m, err := telemetry.NewMetrics(telemetry.Config{Service: "writer", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := meter.New(m.Meter(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown(t.Context()) })
	return set, func() string {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		b, err := io.ReadAll(w.Body)
		if err != nil || w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), "openmetrics") {
			t.Fatalf("scrape: %d %s %v\n%s", w.Code, w.Header().Get("Content-Type"), err, b)
		}
		return string(b)
	}
}

func TestScrapeNamesServiceUnitAndTrace(t *testing.T) {
	set, scrape := measured(t)
	set.Know("system", "quickbooks")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}) // no collector samples it
	set.Observe(trace.ContextWithSpanContext(t.Context(), span), meter.SyncDuration, 1.5, "realtime", "quickbooks")
	set.Observe(t.Context(), meter.SyncDuration, -3, "bulk", "quickbooks")
	got := scrape()
	for _, want := range []string{
		`tieout_sync_duration_seconds_count{class="realtime",service_name="writer",system="quickbooks"} 1`,
		`trace_id="01000000000000000000000000000000"`,
		`tieout_sync_duration_seconds_sum{class="bulk",service_name="writer",system="quickbooks"} 0`,
		"# EOF", "go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the scrape lacks %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "otel_scope") {
		t.Error("every series names the library that made it")
	}
}

// Whatever callers put in, the values of labels come from the lists.
func TestLabelsComeFromClosedLists(t *testing.T) {
	set, scrape := measured(t)
	set.Know("connection", "crm", "books")
	set.Know("system", "hubspot", "quickbooks")
	for i := range 2000 { // many customers, deals and typing errors
		junk := fmt.Sprintf("hubspot/48213/company/%d", i)
		for _, m := range meter.All() {
			values := make([]string, len(m.Labels))
			for j := range values {
				values[j] = junk
			}
			switch m.Kind {
			case meter.Counter:
				set.Count(t.Context(), m.Name, 1, values...)
			case meter.Histogram:
				set.Observe(t.Context(), m.Name, 1, values...)
			}
		}
	}
	set.Watch(func(_ context.Context, put func(meter.Name) meter.Put) error {
		for i := range 2000 {
			for _, m := range meter.All() {
				if m.Kind == meter.Gauge {
					put(m.Name)(1, fmt.Sprint("customer-", i), fmt.Sprint(100_000+i), "x")
				}
			}
		}
		return nil
	}, gauges()...)
	body := scrape()
	if strings.Contains(body, "company") || strings.Contains(body, "customer-") {
		t.Error("what a caller said became a label")
	}
	series := 0
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			series++
		}
	}
	if series > 1000 {
		t.Errorf("%d series of junk", series)
	}
}

func gauges() (out []meter.Name) {
	for _, m := range meter.All() {
		if m.Kind == meter.Gauge {
			out = append(out, m.Name)
		}
	}
	return out
}

// The names in the list are those that a scrape shows.
func TestPrometheusNames(t *testing.T) {
	set, scrape := measured(t)
	for _, m := range meter.All() {
		set.Count(t.Context(), m.Name, 1)
		set.Observe(t.Context(), m.Name, 1)
	}
	set.Watch(func(_ context.Context, put func(meter.Name) meter.Put) error {
		for _, n := range gauges() {
			put(n)(1)
		}
		return nil
	}, gauges()...)
	body := scrape()
	for _, m := range meter.All() {
		name := m.Prometheus()
		if m.Kind == meter.Histogram {
			name += "_bucket"
		}
		line := regexp.MustCompile(`(?m)^` + name + `\{([^}]*)\}`).FindStringSubmatch(body)
		if line == nil {
			t.Errorf("%s is not in the scrape as %s", m.Name, name)
			continue
		}
		for _, l := range m.Labels {
			if !strings.Contains(","+line[1], ","+l.Prometheus()+`="`) {
				t.Errorf("%s has no label %s: %s", name, l.Prometheus(), line[1])
			}
		}
	}
}

func BenchmarkCount(b *testing.B) {
	m, err := telemetry.NewMetrics(telemetry.Config{Service: "writer"})
	if err != nil {
		b.Fatal(err)
	}
	set, err := meter.New(m.Meter(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set.Observe(b.Context(), meter.HopDuration, 0.1, "post", "realtime")
	}
}
