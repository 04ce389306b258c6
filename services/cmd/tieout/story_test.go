package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/endpoints"
)

// told starts the story and returns what it said when it has come to its end.
func told(t *testing.T, more ...string) (*outside, string) {
	t.Helper()
	o := start(t)
	o.kill()
	o.dir = t.TempDir()
	path := filepath.Join(t.TempDir(), "story")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o.cmd = exec.Command(o.bin, append([]string{"dev", "--dir", o.dir}, more...)...)
	o.cmd.Stdout, o.cmd.Stderr = f, f
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); ; <-time.After(50 * time.Millisecond) {
		said, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(said, []byte("Ctrl-C drains")) {
			if o.file, err = endpoints.Read(o.dir); err != nil {
				t.Fatal(err)
			}
			return o, string(said)
		}
		if time.Now().After(end) {
			t.Fatalf("the story did not end:\n%s", said)
		}
	}
}

// What the story offers to try does what it says.
func TestWhatTheStoryOffersHappens(t *testing.T) {
	t.Parallel()
	o, said := told(t)
	find := func(pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("the story lacks %s:\n%s", pattern, said)
		}
		return m[1]
	}
	deal, number, void := find(`sandbox crm lose (deal/\d+)`), find(`(?m)^  tieout journey (\d+) --dir`), find(`sandbox books void (\d+)`)
	if number == void {
		t.Errorf("invoice %s is to be voided twice", number)
	}
	o.run("sandbox", "crm", "lose", deal)
	o.run("wait", "--for", deal+"=voided", "--timeout", "60s")
	var j struct {
		Documents []struct{ State string }
	}
	for end := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) { // the audit hears of it a moment later
		if err := json.Unmarshal([]byte(o.run("journey", number, "-o", "json")), &j); err != nil {
			t.Fatal(err)
		}
		if len(j.Documents) == 1 && strings.HasPrefix(j.Documents[0].State, "void") || time.Now().After(end) {
			break
		}
	}
	if len(j.Documents) != 1 || !strings.HasPrefix(j.Documents[0].State, "void") {
		t.Errorf("invoice %s of the lost %s is %s", number, deal, fmt.Sprint(j.Documents))
	}
	o.run("sandbox", "books", "void", void)
	if said, code := o.try("reconcile"); code != 5 {
		t.Errorf("exit %d: %s", code, said)
	}
}
