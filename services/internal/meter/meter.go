// Package meter is what is measured: the list of every metric with its unit,
// its help and the values that its labels may take, and the instruments for it.
// A value outside its list counts as "other", so that no customer, record or
// person ever becomes a label, and no caller can make one grow.
package meter

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"tieout.dev/services/internal/fault"
)

// Other stands for a value that is in no list.
const Other = "other"

// watchFor bounds how long what is read for one scrape may take.
const watchFor = 2 * time.Second

// Set holds a service's instruments. The nil Set measures nothing, so that
// what is measured can be used without it.
type Set struct {
	api        metric.Meter
	log        *slog.Logger
	metrics    map[Name]Metric
	counters   map[Name]metric.Int64Counter
	histograms map[Name]metric.Float64Histogram
	gauges     map[Name]metric.Float64ObservableGauge

	mu    sync.RWMutex
	known map[string][]string // label -> what the installation configures
}

// New makes the instruments.
func New(api metric.Meter, log *slog.Logger) (*Set, error) {
	s := &Set{
		api: api, log: log, metrics: map[Name]Metric{}, counters: map[Name]metric.Int64Counter{}, histograms: map[Name]metric.Float64Histogram{},
		gauges: map[Name]metric.Float64ObservableGauge{}, known: map[string][]string{},
	}
	for _, m := range All() {
		var err error
		switch m.Kind {
		case Counter:
			s.counters[m.Name], err = api.Int64Counter(string(m.Name), metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		case Histogram:
			s.histograms[m.Name], err = api.Float64Histogram(string(m.Name), metric.WithUnit(m.Unit), metric.WithDescription(m.Help), metric.WithExplicitBucketBoundaries(m.Buckets...))
		case Gauge:
			s.gauges[m.Name], err = api.Float64ObservableGauge(string(m.Name), metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		}
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", m.Name, err)
		}
		s.metrics[m.Name] = m
	}
	return s, nil
}

// Know says which values of a label the installation configures.
func (s *Set) Know(label string, values ...string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if v != "" && !slices.Contains(s.known[label], v) {
			s.known[label] = append(s.known[label], v)
		}
	}
}

// Count adds n to a counter. Values are those of its labels, in their order.
// The span of ctx, if it has one, becomes the exemplar.
func (s *Set) Count(ctx context.Context, name Name, n int64, values ...string) {
	if s == nil || n == 0 {
		return
	}
	if c, ok := s.counters[name]; ok {
		c.Add(ctx, n, metric.WithAttributeSet(s.attributes(name, values)))
	}
}

// Observe puts a value into a histogram; one that clocks made negative is 0.
func (s *Set) Observe(ctx context.Context, name Name, v float64, values ...string) {
	if s == nil {
		return
	}
	if h, ok := s.histograms[name]; ok {
		h.Record(ctx, max(0, v), metric.WithAttributeSet(s.attributes(name, values)))
	}
}

// Took observes how long something took, in seconds.
func (s *Set) Took(ctx context.Context, name Name, d time.Duration, values ...string) {
	s.Observe(ctx, name, d.Seconds(), values...)
}

// Vendor observes one operation at a vendor and how it ended.
func (s *Set) Vendor(ctx context.Context, system, operation string, d time.Duration, err error) {
	s.Took(ctx, VendorDuration, d, system, operation, fault.KindOf(err).String())
}

// Put gives a gauge one value.
type Put func(v float64, values ...string)

// Watch reads gauges at each scrape. What cannot be read in time is left out
// of that scrape.
func (s *Set) Watch(read func(ctx context.Context, put func(Name) Put) error, names ...Name) {
	if s == nil {
		return
	}
	instruments := make([]metric.Observable, 0, len(names))
	for _, n := range names {
		if g, ok := s.gauges[n]; ok {
			instruments = append(instruments, g)
		}
	}
	_, err := s.api.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, watchFor)
		defer cancel()
		err := read(ctx, func(name Name) Put {
			return func(v float64, values ...string) {
				if g, ok := s.gauges[name]; ok {
					o.ObserveFloat64(g, v, metric.WithAttributeSet(s.attributes(name, values)))
				}
			}
		})
		if err != nil {
			s.log.DebugContext(ctx, "a scrape goes without some gauges", "names", names, "error", err)
		}
		return nil
	}, instruments...)
	if err != nil {
		s.log.Error("gauges are not measured", "names", names, "error", err)
	}
}

// attributes pairs a metric's labels with values, each from its list.
func (s *Set) attributes(name Name, values []string) attribute.Set {
	labels := s.metrics[name].Labels
	out := make([]attribute.KeyValue, len(labels))
	for i, l := range labels {
		v := ""
		if i < len(values) {
			v = values[i]
		}
		out[i] = attribute.String(l.Name, s.bounded(l, v))
	}
	return attribute.NewSet(out...)
}

// bounded returns v if the label may have it.
func (s *Set) bounded(l Label, v string) string {
	switch {
	case l.Below > 0:
		if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < l.Below {
			return strconv.Itoa(n)
		}
		return Other
	case l.Configured:
		s.mu.RLock()
		defer s.mu.RUnlock()
		if slices.Contains(s.known[l.Name], v) {
			return v
		}
		return Other
	case slices.Contains(l.Values, v):
		return v
	}
	return Other
}
