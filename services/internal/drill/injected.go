package drill

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// LogVariable names the environment variable with the file that tests append to
// what they injected; without it they only assert that they did.
const LogVariable = "TIEOUT_FAULT_LOG"

// Test is what is needed of a *testing.T; a command that injects faults can be
// one too.
type Test interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(f func())
	Failed() bool
}

// Run is what one test said about one fault when it ran.
type Run struct {
	Fault int       `json:"fault"`
	By    string    `json:"by"`
	Times int64     `json:"times"`
	Held  bool      `json:"held"`
	At    time.Time `json:"at,omitzero"` // when it was read from the log
}

// Injected says that the test made these faults happen so many times: a fault
// that did not happen was not lived through, so none is a failure. The numbers
// must be literals, in the body of the test function: they are read from the
// source as well.
func Injected(t Test, times int64, faults ...int) {
	t.Helper()
	InjectedBy(t, caller(), times, faults...)
}

// InjectedBy is Injected for a scenario, which says in its script what it injects.
func InjectedBy(t Test, by string, times int64, faults ...int) {
	t.Helper()
	for _, n := range faults {
		if f, known := ByNumber(n); !known {
			t.Errorf("there is no fault %d", n)
		} else if times <= 0 {
			t.Errorf("fault %d (%s) was not injected", n, f.Name)
		}
	}
	t.Cleanup(func() {
		for _, n := range faults {
			if err := Note(Run{Fault: n, By: by, Times: times, Held: !t.Failed()}); err != nil {
				t.Errorf("note that fault %d was injected: %v", n, err)
			}
		}
	})
}

// Note appends a run to the log, where there is one.
func Note(r Run) error {
	path := os.Getenv(LogVariable)
	if path == "" {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w (and %v)", err, file.Close())
	}
	return file.Close()
}

// caller is the test function that called Injected, as the source names it.
func caller() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if pkg, rest, ok := cutFunction(f.Function); ok && strings.HasPrefix(rest, "Test") {
			return pkg + "." + rest
		}
		if !more {
			return "?"
		}
	}
}

// cutFunction takes "host/module/a/b_test.TestX.func1" apart into "a/b" and
// "TestX".
func cutFunction(name string) (pkg, function string, ok bool) {
	path, ok := strings.CutPrefix(name, module+"/")
	if !ok {
		return "", "", false
	}
	slash := strings.LastIndex(path, "/") + 1
	last, rest, ok := strings.Cut(path[slash:], ".")
	if !ok {
		return "", "", false
	}
	function, _, _ = strings.Cut(rest, ".")
	return path[:slash] + strings.TrimSuffix(last, "_test"), function, true
}
