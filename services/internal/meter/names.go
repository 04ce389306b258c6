package meter

import "strings"

// Prometheus is the metric's name in a scrape; a histogram has _bucket, _sum
// and _count behind it.
func (m Metric) Prometheus() string {
	name := strings.ReplaceAll(string(m.Name), ".", "_")
	switch {
	case m.Unit == "s":
		name += "_seconds"
	case m.Unit == "1" && m.Kind == Gauge:
		name += "_ratio"
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// Prometheus is the label's name in a scrape.
func (l Label) Prometheus() string { return strings.ReplaceAll(l.Name, ".", "_") }
