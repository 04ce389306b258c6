//go:build integration

package assembly

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/parts/partstest"
)

// newerAudit builds the program with more migrations than it has.
func newerAudit(t *testing.T, more int) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob(filepath.Join(root, "audit", "migrations", "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[string]string{}
	for i := range more {
		name := fmt.Sprintf("%05d_newer.sql", len(there)+1+i)
		text := fmt.Sprintf("-- +goose Up\nALTER TABLE entry ADD COLUMN newer_%d TEXT NOT NULL DEFAULT '';\n", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replaced[filepath.Join(root, "audit", "migrations", name)] = filepath.Join(dir, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "audit")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, "tieout.dev/services/cmd/audit").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// runReady runs a program until it takes work, then lets it drain.
func runReady(t *testing.T, bin, config, status string) {
	t.Helper()
	out := &output{}
	cmd := exec.Command(bin, "--config", config)
	cmd.Stderr = out
	cmd.Env = append(os.Environ(), "TIEOUT_LISTEN_STATUS="+status, "TIEOUT_LISTEN_GRPC=127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	ready := false
	defer func() {
		if !ready {
			_ = cmd.Process.Kill()
		}
	}()
	until(t, "readiness of "+filepath.Base(filepath.Dir(bin)), out, func() bool { r, ok := ask(t, status); return ok && r.Ready })
	ready = true
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// Two processes of the next version migrate at once, and again; this version runs
// on what they made, beside them; and refuses what is further ahead, with a word.
func TestSchemasOfTwoVersionsOnRealParts(t *testing.T) {
	drill.Injected(t, 3, 57) // twice, by two at once, and from the future
	dir := partstest.Dir(t)
	pg, err := parts.StartPostgres(t.Context(), parts.Config{Dir: filepath.Join(dir, "parts"), Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	bus, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	config, status := told(t, strings.Join(bus.Kafka, ","))
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(config)
	text := strings.Replace(string(b), fmt.Sprintf("sqlite: {dir: %q}", folder), fmt.Sprintf("postgres: {url: %q, password_file: db.password}", pg.URL()), 1)
	for name, v := range map[string]string{"tieout.yaml": text, "db.password": pg.Password} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := newerAudit(t, 1)
	for range 2 { // the second time there is nothing to do
		var both sync.WaitGroup
		for range 2 {
			at := free(t)
			both.Go(func() { runReady(t, next, config, at) })
		}
		both.Wait()
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, code := &output{}, make(chan int, 1)
	go func() { code <- mainWith(ctx, "audit", Audit, []string{"--config", config}, nil, out) }()
	until(t, "readiness of this version on the next one's schema", out, func() bool { r, ok := ask(t, status); return ok && r.Ready })
	runReady(t, next, config, free(t)) // side by side
	stop()
	if c := <-code; c != exitDrained {
		t.Errorf("exit code %d; the log is\n%s", c, out)
	}
	runReady(t, newerAudit(t, 2), config, free(t))
	out = &output{}
	if c := mainWith(t.Context(), "audit", Audit, []string{"--config", config}, nil, out); c != exitFailed || !strings.Contains(out.String(), "run the newer program, or restore a backup from before it") {
		t.Errorf("exit code %d on a schema from the future; the log is\n%s", c, out)
	}
}
