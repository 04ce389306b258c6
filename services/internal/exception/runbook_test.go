package exception

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every kind has a page that says who acts and what to do, and every page is
// of a kind.
func TestEveryKindHasAPageInTheRunbook(t *testing.T) {
	pages := filepath.Join("..", "..", "..", "docs", "runbook")
	for _, k := range Kinds() {
		b, err := os.ReadFile(filepath.Join(pages, string(k)+".md"))
		if err != nil {
			t.Errorf("kind %s has no page: %v", k, err)
			continue
		}
		text := string(b)
		for _, want := range []string{"# " + string(k) + ": ", "Who acts: **" + HelpFor(k).Owner + "**", "## What to do\n1. "} {
			if !strings.Contains(text, want) {
				t.Errorf("the page of %s lacks %q", k, want)
			}
		}
	}
	files, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".md"); HelpFor(Kind(name)) == (Help{}) && name != "README" {
			t.Errorf("page %s is of no kind", f.Name())
		}
	}
}
