//go:build oracles

package console

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOracle lets a browser and an accessibility checker judge every page.
func TestOracle(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: install Node.js 18 or newer")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: install Debian's package chromium")
	}
	folder := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "oracle.js"} {
		b, err := os.ReadFile(filepath.Join("oracle", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run := func(env []string, name string, args ...string) string {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	run(nil, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	srv := httptest.NewServer(newPlane(t).handler)
	t.Cleanup(srv.Close)
	out := run([]string{
		"CONSOLE_URL=" + srv.URL, "CHROMIUM=" + chromium, "CONSOLE_PAGES=/ /exceptions /exceptions/w-1 /record/1001 /record/none",
	}, "node", "oracle.js")
	t.Log(out)
	if !strings.Contains(out, ", 0 failed") {
		t.Fatal("the checker disagrees")
	}
}
