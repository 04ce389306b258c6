package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// jaegerVersion is the newest in the Go proxy; its cmd/jaeger is the v2 program.
const jaegerVersion = "v1.76.0"

const jaegerModule = "github.com/jaegertracing/jaeger"

// Jaeger keeps traces in memory.
type Jaeger struct {
	OTLP  string // http://host:port, gRPC
	Query string // http://host:port

	proc, collector *process // nil: there is none
}

func jaegerProgram(ctx context.Context, cfg Config) (dir string, err error) {
	return cached(ctx, cfg, "jaeger-"+jaegerVersion, func(ctx context.Context, dir string) error { return buildJaeger(ctx, cfg, dir) })
}

func startJaeger(ctx context.Context, cfg Config) (*Jaeger, error) {
	dir, err := jaegerProgram(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p, err := Ports(ctx, cfg.Dir, "jaeger", 4)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(cfg.Dir, "jaeger.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, at(p[0]), at(p[1]), at(p[2])), 0o644); err != nil {
		return nil, err
	}
	j := &Jaeger{OTLP: "http://" + at(p[2]), Query: "http://" + at(p[0])}
	if j.proc, err = launch(cfg.Dir, "jaeger", nil, filepath.Join(dir, "jaeger"), "--config", config); err != nil {
		return nil, err
	}
	err = j.proc.await(ctx, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.Query+"/api/services", http.NoBody)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusOK && answers(ctx, at(p[2]))
	})
	if err != nil || cfg.Collector == "" {
		return j, err
	}
	return j, j.collect(ctx, cfg, filepath.Join(dir, "jaeger"), at(p[2]), at(p[3]))
}

// collect starts the collector, to which traces go from now on. It is told by
// variables, as it is where it is deployed.
func (j *Jaeger) collect(ctx context.Context, cfg Config, program, to, listen string) (err error) {
	told := []string{"COLLECTOR_LISTEN=" + listen, "COLLECTOR_TO=" + to}
	if cfg.Window != "" {
		told = append(told, "COLLECTOR_WINDOW="+cfg.Window, "COLLECTOR_PERCENT="+cfg.Percent)
	}
	j.OTLP = "http://" + listen
	j.collector, err = launch(cfg.Dir, "collector", nil, "env", append(told, program, "--config", cfg.Collector)...)
	if err != nil {
		return err
	}
	return j.collector.await(ctx, func(ctx context.Context) bool { return answers(ctx, listen) })
}

// jaegerConfig: everything on the loopback interface, traces in memory.
const jaegerConfig = `service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry: {metrics: {level: none}, logs: {level: warn}}
extensions:
  jaeger_storage: {backends: {memory: {memory: {max_traces: 50000}}}}
  jaeger_query: {storage: {traces: memory}, http: {endpoint: "%s"}, grpc: {endpoint: "%s"}}
receivers:
  otlp: {protocols: {grpc: {endpoint: "%s"}}}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`

// buildJaeger builds the program in a module of its own: 'go install' refuses a
// module that replaces others. The checksums of what it is made of come with it.
func buildJaeger(ctx context.Context, cfg Config, dir string) error {
	absent := func(err error, out []byte) error {
		return &AbsentError{"Jaeger", fmt.Sprintf("building %s@%s: %v: %s", jaegerModule, jaegerVersion, err, last(out)), "look whether the Go module proxy answers"}
	}
	cfg.say("building Jaeger %s (some minutes, once)", jaegerVersion)
	work, err := os.MkdirTemp(cfg.Cache, "jaeger-module-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		return cmd.CombinedOutput()
	}
	module := "module jaegerbuild\n\ngo 1.26\n\nrequire " + jaegerModule + " " + jaegerVersion + "\n"
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", jaegerModule+"@"+jaegerVersion)
	cmd.Dir, cmd.Env = work, append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var m struct{ Dir string }
	if err != nil || json.Unmarshal(out, &m) != nil {
		return absent(err, out)
	}
	sums, err := os.ReadFile(filepath.Join(m.Dir, "go.sum"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "go.sum"), sums, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "tools.go"), []byte("//go:build tools\n\npackage tools\n\nimport _ \""+jaegerModule+"/cmd/jaeger\"\n"), 0o644); err != nil {
		return err
	}
	if out, err := run("get", jaegerModule+"/cmd/jaeger@"+jaegerVersion); err != nil {
		return absent(err, out)
	}
	if out, err := run("build", "-ldflags=-s -w", "-o", filepath.Join(dir, "jaeger"), jaegerModule+"/cmd/jaeger"); err != nil {
		return absent(err, out)
	}
	return nil
}
