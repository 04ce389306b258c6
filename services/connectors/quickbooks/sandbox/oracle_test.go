//go:build oracles

package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	engine "tieout.dev/services/internal/sandbox"
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
	seen := &witness{Handler: s}
	srv := httptest.NewServer(seen)
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
	everyRoute(t, arrived(t, srv.URL))
	seen.saw(t, `code: "(\d+)"`, `http.Status\w+, "(3\d\d\d)"`, `oauthError\([^"]*"(\w+)"`, `Set\("error", "(\w+)"`)
}

// everyRoute wants each thing the company does to have been asked for by a
// client: a connector can ask for nothing else, so none of its requests is
// without an oracle.
func everyRoute(t *testing.T, log []engine.Record) {
	all, _, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"GET " + authorizePath, "POST " + tokenPath, "POST " + revokePath, "GET query", "GET cdc", "POST batch", "GET exchangerate", "POST exchangerate", "POST invoice send"}
	for typ, k := range all {
		wanted = append(wanted, "GET "+typ)
		if k.check != nil {
			wanted = append(wanted, "POST "+typ)
		}
		if k.void != nil {
			wanted = append(wanted, "POST "+typ+" void")
		}
		if k.remove != nil {
			wanted = append(wanted, "POST "+typ+" delete")
		}
	}
	slices.Sort(wanted)
	for _, w := range wanted {
		if !slices.ContainsFunc(log, func(r engine.Record) bool { return asked(r) == w && r.Status > 0 && r.Status < 400 }) {
			t.Errorf("%s has no oracle", w)
		}
	}
}

// asked is what a request of the log wanted.
func asked(r engine.Record) string {
	path, ours := strings.CutPrefix(r.Path, apiPath)
	if !ours {
		return r.Method + " " + r.Path
	}
	parts := strings.Split(path, "/")
	what := parts[1]
	if parts[len(parts)-1] == "send" {
		what += " send"
	}
	q, err := url.ParseQuery(r.Query)
	if err != nil {
		return ""
	}
	for _, option := range []string{q.Get("operation"), q.Get("include")} {
		if option == "void" || option == "delete" {
			what += " " + option
		}
	}
	return r.Method + " " + what
}

// witness notes the answers that were errors, so that each shape can be asked for.
type witness struct {
	http.Handler
	mu     sync.Mutex
	errors strings.Builder
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.Handler.ServeHTTP(&witnessed{ResponseWriter: rw, by: w, control: strings.HasPrefix(r.URL.Path, "/_sandbox/")}, r)
}

type witnessed struct {
	http.ResponseWriter
	by      *witness
	control bool
}

// Unwrap lets the sandbox reach the connection it resets.
func (w *witnessed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *witnessed) WriteHeader(status int) {
	if status == http.StatusFound {
		w.by.note([]byte(w.Header().Get("Location")))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *witnessed) Write(b []byte) (int, error) {
	if !w.control {
		w.by.note(b)
	}
	return w.ResponseWriter.Write(b)
}

func (w *witness) note(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors.Write(b)
	w.errors.WriteByte('\n')
}

// saw wants every word that the package's own sources answer errors with.
func (w *witness) saw(t *testing.T, patterns ...string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.errors.String()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range patterns {
			for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(string(source), -1) {
				word := m[1]
				if strings.Trim(word, "0123456789") == "" {
					word = `"code":"` + word + `"`
				}
				if !strings.Contains(strings.ToLower(seen), strings.ToLower(word)) {
					t.Errorf("%s answers %s, and no oracle has seen it", name, m[1])
				}
			}
		}
	}
}

// arrived is the log of the sandbox after the oracle.
func arrived(t *testing.T, base string) []engine.Record {
	t.Helper()
	resp, err := http.Get(base + "/_sandbox/requests?since=0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out []engine.Record
	for d := json.NewDecoder(resp.Body); ; {
		var r engine.Record
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatal(err)
		}
		out = append(out, r)
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
