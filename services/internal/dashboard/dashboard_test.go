package dashboard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/meter"
)

const root = "../../.."

// unmeasured returns the names in an expression that no metric has.
func unmeasured(expr string) (out []string) {
	known := map[string]bool{}
	for _, m := range meter.All() {
		known[m.Prometheus()] = m.Kind != meter.Histogram
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			known[m.Prometheus()+suffix] = m.Kind == meter.Histogram
		}
	}
	for _, n := range regexp.MustCompile(`\b(tieout|messaging|rpc|http)_[a-z_]+\b`).FindAllString(regexp.MustCompile(`by \([^)]*\)|\$labels\.\w+`).ReplaceAllString(expr, ""), -1) {
		if !known[n] {
			out = append(out, n)
		}
	}
	return out
}

func TestBoardsNameWhatIsMeasured(t *testing.T) {
	shown := ""
	for _, b := range All() {
		text, err := b.JSON()
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s: %v", b.ID, err)
		}
		stored, err := os.ReadFile(filepath.Join(root, "deploy", "dashboards", b.ID+".json"))
		if err != nil || string(stored) != string(text) {
			t.Errorf("deploy/dashboards/%s.json is not what the generator makes: run 'make generate' (%v)", b.ID, err)
		}
		for _, p := range b.Panels {
			for _, q := range p.Queries {
				if wrong := unmeasured(q.Expr); wrong != nil {
					t.Errorf("%s, %s: %v is not measured", b.ID, p.Title, wrong)
				}
				shown += q.Expr + "\n"
			}
		}
	}
	for _, m := range meter.All() {
		if m.Name != meter.Waiting && !strings.Contains(shown, m.Prometheus()) {
			t.Errorf("no dashboard shows %s", m.Prometheus())
		}
	}
}

func TestUnmeasuredNamesAreFound(t *testing.T) {
	if got := unmeasured(`sum by (http_route) (rate(tieout_slot_ended_total[5m])) / tieout_ready`); len(got) != 1 || got[0] != "tieout_slot_ended_total" {
		t.Fatalf("found %v", got)
	}
}

// Each alert says what to do, has a promtool test, and asks for what is measured.
func TestAlertsAreExplainedAndTested(t *testing.T) {
	read := func(path ...string) string {
		b, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rules, tests, page := read("deploy", "alerts", "tieout.yaml"), read("deploy", "alerts", "tieout_test.yaml"), read("docs", "alerts.md")
	names := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(names) < 15 {
		t.Fatalf("%d alerts", len(names))
	}
	for _, n := range names {
		if !strings.Contains(page, "## "+n[1]+"\n") || !strings.Contains(rules, "docs/alerts.md#"+strings.ToLower(n[1])) {
			t.Errorf("docs/alerts.md has no section %s, or the rule does not name it", n[1])
		}
		if !strings.Contains(tests, `alertname="`+n[1]+`"`) {
			t.Errorf("no promtool test lets %s fire", n[1])
		}
	}
	if wrong := unmeasured(rules); wrong != nil {
		t.Errorf("alerts ask for %v", wrong)
	}
}

// The kinds of exceptions are a label, so the list of it has all of them.
func TestEveryKindOfExceptionIsALabel(t *testing.T) {
	for _, m := range meter.All() {
		if m.Name != meter.ExceptionsOpen {
			continue
		}
		for _, k := range exception.Kinds() {
			if !strings.Contains(strings.Join(m.Labels[0].Values, " ")+" ", string(k)+" ") {
				t.Errorf("kind %s is counted as %s", k, meter.Other)
			}
		}
	}
}
