// Package partstest makes folders for tests that run real parts.
package partstest

import (
	"os"
	"testing"
)

// Dir is a folder that the database server's own user may enter, unlike those of
// testing.TB. It is removed when the test and what it stops have ended.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tieout-parts-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
