// Package dashboard makes the dashboards for Grafana, and the page that lists
// every metric, so that neither names what is not measured.
package dashboard

import (
	"encoding/json"
	"fmt"
	"strings"

	"tieout.dev/services/internal/meter"
)

// Board is one dashboard.
type Board struct {
	ID, Title string
	Panels    []Panel
}

// Panel is one picture: a question, its unit as Grafana names it, and the
// expressions that answer it.
type Panel struct {
	Title, Says, Unit string
	Queries           []Query
}

// Query is an expression and how its series are named.
type Query struct{ Expr, Legend string }

const (
	columns     = 24
	panelWidth  = 12
	panelHeight = 8
)

// JSON is the board as Grafana imports it.
func (b Board) JSON() ([]byte, error) {
	panels := make([]any, 0, len(b.Panels))
	for i, p := range b.Panels {
		targets := make([]any, 0, len(p.Queries))
		for j, q := range p.Queries {
			targets = append(targets, map[string]any{
				"refId": string(rune('A' + j)), "expr": q.Expr, "legendFormat": q.Legend, "exemplar": strings.Contains(q.Expr, "_bucket"), "datasource": source(),
			})
		}
		panels = append(panels, map[string]any{
			"id": i + 1, "type": "timeseries", "title": p.Title, "description": p.Says, "datasource": source(), "targets": targets,
			"gridPos":     map[string]int{"x": i * panelWidth % columns, "y": i * panelWidth / columns * panelHeight, "w": panelWidth, "h": panelHeight},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.Unit, "min": 0}, "overrides": []any{}},
		})
	}
	out, err := json.MarshalIndent(map[string]any{
		"uid": "tieout-" + b.ID, "title": "Tieout: " + b.Title, "tags": []string{"tieout"}, "schemaVersion": 39, "editable": true, "refresh": "30s",
		"time": map[string]string{"from": "now-6h", "to": "now"}, "panels": panels,
		"templating": map[string]any{"list": []any{map[string]any{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", b.ID, err)
	}
	return append(out, '\n'), nil
}

func source() map[string]string { return map[string]string{"type": "prometheus", "uid": "${source}"} }

// name is a metric's name in an expression.
func name(n meter.Name) string {
	for _, m := range meter.All() {
		if m.Name == n {
			return m.Prometheus()
		}
	}
	return ""
}

// rate is how often a counter counts, a second, by labels.
func rate(n meter.Name, selector string, by ...string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s%s[5m]))", strings.Join(by, ", "), name(n), selector)
}

// calls is how often a histogram is observed, a second, by labels.
func calls(n meter.Name, selector string, by ...string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s_count%s[5m]))", strings.Join(by, ", "), name(n), selector)
}

// quantile is one of a histogram, by labels.
func quantile(q float64, n meter.Name, selector string, by ...string) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s_bucket%s[5m])))", q, strings.Join(append(by, "le"), ", "), name(n), selector)
}

// gauge sums a gauge by labels.
func gauge(n meter.Name, by ...string) string {
	return fmt.Sprintf("sum by (%s) (%s)", strings.Join(by, ", "), name(n))
}

// orZero shows 0 where nothing of the kind ever happened.
func orZero(expr string) string { return expr + " or vector(0)" }
