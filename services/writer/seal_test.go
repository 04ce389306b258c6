package writer

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/store/storetest"
)

func keyFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	keyA = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyB = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func seal(t *testing.T, lines ...string) *Seal {
	t.Helper()
	s, err := OpenSeal(keyFile(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsSealedOpensWithItsKeyAlone(t *testing.T) {
	a := seal(t, keyA)
	hidden, err := a.seal("secret", "books/api/access")
	if err != nil || strings.Contains(hidden, "secret") {
		t.Fatalf("%q, %v", hidden, err)
	}
	if again, _ := a.seal("secret", "books/api/access"); again == hidden {
		t.Error("the same secret is sealed to the same text twice")
	}
	for name, c := range map[string]struct {
		seal   *Seal
		stored string
		about  string
		want   string
		says   string
	}{
		"its key":            {a, hidden, "books/api/access", "secret", ""},
		"rotated":            {seal(t, keyB, keyA), hidden, "books/api/access", "secret", ""},
		"another key":        {seal(t, keyB), hidden, "books/api/access", "", "does not hold"},
		"another row":        {a, hidden, "crm/api/access", "", "tampered"},
		"tampered":           {a, hidden[:len(hidden)-4] + "AAA=", "books/api/access", "", "tampered"},
		"cut short":          {a, hidden[:30], "books/api/access", "", "damaged"},
		"stored before keys": {a, "plain", "books/api/access", "plain", ""},
		"nothing":            {a, "", "books/api/access", "", ""},
	} {
		got, err := c.seal.open(c.stored, c.about)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	drill.Injected(t, 2, 106) // keys that were rotated, and lost
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	open := keyFile(t, keyA)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		open: "chmod 600", keyFile(t, ""): "holds no key", keyFile(t, keyA, "short"): "key 2: it is not 32 bytes", filepath.Join(t.TempDir(), "none"): "key file",
	} {
		if _, err := OpenSeal(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// No file of the writer's database holds a token that can be read.
func TestTokensAreNotReadableAtRest(t *testing.T) {
	t.Setenv(storetest.Variable, "") // the files of a SQLite database are looked into
	dir := t.TempDir()
	endpoint := &rotating{}
	if _, err := openVault(t, filepath.Join(dir, "w.db"), endpoint).Refresh(t.Context(), "a0"); err != nil {
		t.Fatal(err)
	}
	found := false
	files, err := filepath.Glob(filepath.Join(dir, "w.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(b, []byte(sealedV1))
		if bytes.Contains(b, []byte("booksapia1")) || bytes.Contains(b, []byte("booksapir1")) {
			t.Errorf("%s holds a token in the clear", f)
		}
	}
	if !found {
		t.Error("nothing sealed was stored")
	}
}
