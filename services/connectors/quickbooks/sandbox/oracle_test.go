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

// TestOracle lets the clients QuickBooks users have judge the company.
func TestOracle(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: install Node.js 18 or newer")
	}
	folder := install(t)
	s, err := New(Config{Dir: t.TempDir(), Preset: "IE"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	srv := httptest.NewServer(s)
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := s.Credentials()
	cmd := exec.CommandContext(ctx, "node", "oracle.js")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "QBO_BASE_URL="+srv.URL, "QBO_REALM="+c.RealmID, "QBO_CLIENT_ID="+c.ClientID,
		"QBO_CLIENT_SECRET="+c.ClientSecret, "QBO_ACCESS_TOKEN="+c.AccessToken, "QBO_REFRESH_TOKEN="+c.RefreshToken,
		"QBO_READER_TOKEN="+c.ReaderToken, "QBO_VERIFIER_TOKEN="+c.VerifierToken)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), ", 0 failed") {
		t.Fatalf("the clients disagree: %v", err)
	}
}

// install puts the pinned clients into a cache outside the repository, once for
// each lock file.
func install(t *testing.T) string {
	lock, err := os.ReadFile("oracle/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	folder := filepath.Join(cache(t), "oracles", "quickbooks-"+hex.EncodeToString(sum[:6]))
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
