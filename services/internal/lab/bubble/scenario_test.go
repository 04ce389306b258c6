package bubble

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what became of the scenarios of testdata anew")

// The sections of a scenario: its first lines say what it shows, then comes the
// script, and what became of it.
const (
	scriptMark = "-- script --\n"
	traceMark  = "-- trace --\n"
)

// TestScenarios plays testdata/*.txtar.
func TestScenarios(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d scenarios, %v", len(all), err)
	}
	for _, name := range all {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			scenario(t, name)
		})
	}
}

func scenario(t *testing.T, name string) {
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), scriptMark)
	script, want, traced := strings.Cut(rest, traceMark)
	if !ok || strings.TrimSpace(head) == "" {
		t.Fatal("a scenario says what it shows, then has a script and, where it is one sequence, a trace")
	}
	p := pace{rest: time.Hour, pollEvery: time.Hour}
	if strings.Contains(head, "production's pace") {
		p = pace{pollEvery: time.Minute, reconcileEvery: 10 * time.Minute}
	}
	var got string
	inside(t, p, func(b *bubble) {
		s := newStory(b)
		s.name = name
		defer s.disarm()
		s.think = 3 * time.Second
		if err := s.play(script); err != nil {
			b.t.Error(err)
			return
		}
		if !traced { // what happened is no one sequence: the script says what must come of it
			return
		}
		if got, err = s.trace(); err != nil {
			b.t.Error(err)
		}
	})
	switch {
	case t.Failed(), !traced:
	case *update:
		if err := os.WriteFile(name, []byte(head+scriptMark+script+traceMark+got), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want:
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
