package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkPattern   = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	targetPattern = regexp.MustCompile("(?m)make ([a-z][a-z-]+)")
)

func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out[p] = string(b)
		}
	}
	if len(out) < 5 {
		t.Fatalf("%d documents found", len(out))
	}
	return out
}

func TestLinksInDocsLeadSomewhere(t *testing.T) {
	n := 0
	for path, text := range documents(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(text, -1) {
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
	if n == 0 {
		t.Error("no link was found")
	}
}

// A target that the docs name is one that the Makefile has.
func TestTargetsInDocsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range documents(t) {
		for _, m := range targetPattern.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") && m[1] != "and" {
				t.Errorf("%s names make %s, which the Makefile lacks", path, m[1])
			}
		}
	}
}
