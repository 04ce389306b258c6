//go:build oracles

package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOracle lets HubSpot's own client judge the portal.
func TestOracle(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: install Node.js 18 or newer")
	}
	folder := install(t)
	p, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	srv := httptest.NewServer(p)
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "oracle.js")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "HUBSPOT_BASE_URL="+srv.URL, "HUBSPOT_TOKEN="+p.AccessToken,
		"HUBSPOT_APP_SECRET="+p.AppSecret, "HUBSPOT_CLIENT_ID="+p.ClientID, "HUBSPOT_REFRESH_TOKEN="+p.RefreshToken)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), ", 0 failed") {
		t.Fatalf("HubSpot's client disagrees: %v", err)
	}
}

// install puts the pinned client into a cache outside the repository, once for
// each lock file.
func install(t *testing.T) string {
	lock, err := os.ReadFile("oracle/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	folder := filepath.Join(cache(t), "oracles", "hubspot-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", "oracle.js"} {
		b, err := os.ReadFile(filepath.Join("oracle", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err == nil {
		return folder
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return folder
}

func cache(t *testing.T) string {
	if dir := os.Getenv("TIEOUT_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "tieout")
}
