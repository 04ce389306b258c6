package drill

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/crash"
)

// Each fault is injected by somebody, or says what that would need; never both.
func TestEveryFaultIsInjectedOrSaysWhatItNeeds(t *testing.T) {
	places, err := Source("../..")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(Faults()); n != 112 {
		t.Errorf("%d faults, want 112", n)
	}
	for _, f := range Faults() {
		automated := len(places[f.Number])+len(f.Chaos) > 0
		if f.Name == "" || f.Proves == "" || automated == (f.Needs != "") {
			t.Errorf("fault %d (%s): injected %v, needs %q", f.Number, f.Name, automated, f.Needs)
		}
	}
	for n := range places {
		if _, known := ByNumber(n); !known {
			t.Errorf("%v inject fault %d, which there is not", places[n], n)
		}
	}
}

// A crash point that the table names is one that exists.
func TestCrashPointsOfTheTableExist(t *testing.T) {
	known := map[string]bool{}
	for _, p := range crash.Points() {
		known[string(p)] = true
	}
	for _, f := range Faults() {
		for _, name := range f.Chaos {
			if strings.Contains(name, "/") && !known[name] {
				t.Errorf("fault %d is made by crash point %s, which there is not", f.Number, name)
			}
		}
	}
}

// double is a test that fails or not.
type double struct {
	failures []string
	cleanups []func()
}

func (d *double) Helper()                   {}
func (d *double) Errorf(f string, _ ...any) { d.failures = append(d.failures, f) }
func (d *double) Cleanup(f func())          { d.cleanups = append(d.cleanups, f) }
func (d *double) Failed() bool              { return len(d.failures) > 0 }

func TestAFaultThatDidNotHappenIsAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	t.Setenv(LogVariable, path)
	var none, some, unknown double
	func() { Injected(&none, 0, 62) }()
	func() { Injected(&some, 3, 62, 63) }()
	func() { Injected(&unknown, 1, 113) }()
	if len(none.failures) != 1 || len(some.failures) != 0 || len(unknown.failures) != 1 {
		t.Errorf("failures %v, %v, %v", none.failures, some.failures, unknown.failures)
	}
	for _, d := range []*double{&none, &some} {
		for _, f := range d.cleanups {
			f()
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record, err := Record(nil).Merge(text, time.Now())
	if err != nil || len(record) != 2 {
		t.Fatalf("%v, %v", record, err)
	}
	if r := record[0]; r.Fault != 62 || r.Held || r.Times != 3 || r.By != "internal/drill.TestAFaultThatDidNotHappenIsAFailure" {
		t.Errorf("62: %+v", r)
	}
	if r := record[1]; r.Fault != 63 || !r.Held {
		t.Errorf("63: %+v", r)
	}
}

// A newer run takes the place of an older one; two words in one run are one.
func TestTheLastRunCounts(t *testing.T) {
	line := func(r Run) string {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	old := Record{{Fault: 1, By: "a.T", Times: 9, Held: false, At: day}, {Fault: 2, By: "b.T", Times: 1, Held: true, At: day}}
	got, err := old.Merge([]byte(line(Run{Fault: 1, By: "a.T", Times: 2, Held: true})+line(Run{Fault: 1, By: "a.T", Times: 3, Held: true})), day.AddDate(0, 0, 1))
	if err != nil || len(got) != 2 || got[0].Times != 5 || !got[0].Held || got[1] != old[1] {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := old.Merge([]byte("{"), day); err == nil {
		t.Error("half a line was read")
	}
	places := map[int][]Place{1: {{By: "a.T"}}, 2: {{By: "b.T"}, {By: "c.T"}}, 3: {{By: "d.T"}}}
	page := Page(places, got)
	for _, want := range []string{"`a.T`, `chaos:ingest/webhook-received`, `chaos:ingest/hint-stored`, and 2 more | 2026-11-02 | 5 | held in 1 of 5 |", "not run yet", "not automated: needs a memory limit"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page[:1500])
		}
	}
}

// What tests say is read from their source, and a place that cannot be read is a
// mistake rather than a fault that nobody injects.
func TestWhatTestsSayIsReadFromTheSource(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		wrong            bool
	}{
		{"a test", "package a\nfunc TestX(t *testing.T) { drill.Injected(t, n, 3, 4) }", "x.TestX", false},
		{"a tagged one", "//go:build integration\n\npackage a\nfunc TestX(t *testing.T) { t.Run(\"\", func(t *testing.T) { drill.Injected(t, n, 3) }) }", "x.TestX integration", false},
		{"a helper", "package a\nfunc help(t *testing.T) { drill.Injected(t, n, 3) }", "", true},
		{"a variable", "package a\nfunc TestX(t *testing.T) { drill.Injected(t, n, number) }", "", true},
	} {
		out := map[int][]Place{}
		err := scan("x/x_test.go", []byte(c.text), out)
		got := ""
		if len(out[3]) == 1 {
			got = strings.TrimSpace(out[3][0].By + " " + out[3][0].Target)
		}
		if (err != nil) != c.wrong || got != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
