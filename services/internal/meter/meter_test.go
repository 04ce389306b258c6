package meter_test

import (
	"testing"

	"tieout.dev/services/internal/meter"
)

// A service without a set measures nothing and goes on.
func TestNilMeasuresNothing(t *testing.T) {
	var s *meter.Set
	s.Know("connection", "crm")
	s.Count(t.Context(), meter.Reads, 1, "a")
	s.Observe(t.Context(), meter.SyncDuration, 1, "a")
	s.Watch(nil, meter.Ready)
	s.Vendor(t.Context(), "x", "put", 1, nil)
}

// Every metric says what it counts, and every label is bounded.
func TestEveryLabelIsBounded(t *testing.T) {
	seen := map[meter.Name]bool{}
	for _, m := range meter.All() {
		if seen[m.Name] || m.Help == "" || (m.Kind == meter.Histogram) != (m.Buckets != nil) {
			t.Errorf("%s is there twice, or lacks help or buckets", m.Name)
		}
		seen[m.Name] = true
		for _, l := range m.Labels {
			if l.Values == nil && !l.Configured && l.Below == 0 {
				t.Errorf("label %s of %s is not bounded", l.Name, m.Name)
			}
		}
	}
}
