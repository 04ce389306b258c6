//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/dashboard"
	"tieout.dev/services/internal/meter"
)

// prometheus is a real one that scrapes what runs.
type prometheus struct {
	t       *testing.T
	address string
}

func scrape(t *testing.T, o *outside) *prometheus {
	t.Helper()
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not here; install the package prometheus (apt-get install prometheus)")
	}
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n")
	for name, s := range o.file.Services {
		fmt.Fprintf(&config, "  - {job_name: tieout-%s, static_configs: [{targets: ['%s']}]}\n", name, s.Metrics)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	listening := regexp.MustCompile(`(?i)msg="Listening on" address="?(127\.0\.0\.1:\d+)`)
	p := &prometheus{t: t}
	eventually(t, "prometheus listens", func() bool {
		b, _ := os.ReadFile(log.Name())
		if m := listening.FindSubmatch(b); m != nil {
			p.address = string(m[1])
		}
		return p.address != ""
	})
	return p
}

// eventually polls until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(200 * time.Millisecond)
	}
}

// query returns how many series an expression has now.
func (p *prometheus) query(expr string) (int, error) {
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	resp, err := http.Get("http://" + p.address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	return len(answer.Data.Result), nil
}

// Every expression of the dashboards has data, and every alert parses and is
// silent, in a real Prometheus that scrapes a running process.
func TestPartsPrometheusHasDataForEveryDashboard(t *testing.T) {
	o := start(t)
	p := scrape(t, o)
	up := fmt.Sprintf("count(up == 1) == %d", len(o.file.Services))
	eventually(t, "all services are scraped", func() bool { n, err := p.query(up); return err == nil && n == 1 })
	for i := range 4 {
		o.run("sandbox", "crm", "win", "--company", fmt.Sprintf("Metered %d", i), "--line", "Widget,3,33.33")
		o.settle(i + 1)
	}
	o.run("reconcile")
	for _, b := range dashboard.All() {
		for _, panel := range b.Panels {
			for _, q := range panel.Queries {
				eventually(t, b.ID+": "+q.Expr, func() bool {
					n, err := p.query(q.Expr)
					if err != nil {
						t.Fatalf("%s, %s: %v\n%s", b.ID, panel.Title, err, q.Expr)
					}
					return n > 0
				})
			}
		}
	}
	p.alertsAreSilent()
	p.exemplars()
}

func (p *prometheus) alertsAreSilent() {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "alerts", "tieout.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(b, &rules); err != nil {
		p.t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		n, err := p.query(r.Expr)
		if err != nil || n > 0 {
			p.t.Errorf("alert %s: %d series, %v", r.Alert, n, err)
		}
	}
}

// exemplars: a posting's latency names its trace.
func (p *prometheus) exemplars() {
	p.t.Helper()
	resp, err := http.Get("http://" + p.address + "/api/v1/query_exemplars?" + url.Values{"query": {"tieout_sync_duration_seconds_bucket"},
		"start": {time.Now().Add(-time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Minute).Format(time.RFC3339)}}.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		p.t.Fatal(err)
	}
	for _, s := range answer.Data {
		for _, e := range s.Exemplars {
			if len(e.Labels["trace_id"]) == 32 {
				return
			}
		}
	}
	p.t.Errorf("no exemplar names a trace: %+v", answer)
}

// However many customers and deals there are, labels hold what the lists and
// the configuration say and the number of series stays where it is.
func TestPartsSeriesDoNotGrowWithCustomers(t *testing.T) {
	o := start(t)
	win := func(from, to int) {
		for i := from; i < to; i++ {
			o.run("sandbox", "crm", "win", "--company", fmt.Sprintf("Bounded %d", i), "--line", "Widget,3,33.33")
		}
		o.settle(to)
	}
	win(0, 3)
	before := o.series(t)
	win(3, 15)
	for series := range o.series(t) {
		if strings.Contains(series, "Bounded") || regexp.MustCompile(`="[^"]*(deal|company|Invoice|INV-)[^"]*"`).MatchString(series) {
			t.Errorf("a record is a label: %s", series)
		}
		if !before[series] && !listed(series) {
			t.Errorf("a new series with a value from no list: %s", series)
		}
	}
}

// series are all that the services show, by name and labels.
func (o *outside) series(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, s := range o.file.Services {
		resp, err := http.Get("http://" + s.Metrics + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
				out[line[:i]] = true
			}
		}
	}
	return out
}

// listed tells whether every label of a series with a closed list has a value
// of it.
func listed(series string) bool {
	for _, m := range meter.All() {
		if !strings.HasPrefix(series, m.Prometheus()) {
			continue
		}
		for _, l := range m.Labels {
			found := regexp.MustCompile(`[{,]` + l.Prometheus() + `="([^"]*)"`).FindStringSubmatch(series)
			if found == nil || l.Values != nil && found[1] != meter.Other && !strings.Contains("|"+strings.Join(l.Values, "|")+"|", "|"+found[1]+"|") {
				return false
			}
		}
		return true
	}
	return strings.HasPrefix(series, "go_") || strings.HasPrefix(series, "process_")
}
