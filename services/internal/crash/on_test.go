//go:build crashpoints

package crash

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const child = "TIEOUT_CRASH_TEST_CHILD"

// TestMain makes a child that passes one point again and again, saying so.
func TestMain(m *testing.M) {
	passes, err := strconv.Atoi(os.Getenv(child))
	if err != nil {
		os.Exit(m.Run())
	}
	for n := 1; n <= passes; n++ {
		os.Stdout.WriteString("pass " + strconv.Itoa(n) + "\n")
		At(WriterAfterSend)
		At(WriterBeforeSend)
	}
	os.Stdout.WriteString("end\n")
}

func start(t *testing.T, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Env = out, append(os.Environ(), append(env, child+"=5")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func TestDiesAtTheThirdPass(t *testing.T) {
	cmd, out := start(t, EnvAt+"=writer/after-send:3")
	if err := cmd.Wait(); !killed(err) || strings.Count(out.String(), "pass") != 3 {
		t.Errorf("it ended with %v after %q", err, out)
	}
}

func TestDiesOnceByFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "order")
	if err := os.WriteFile(file, []byte("writer/before-send:2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := start(t, EnvFile+"="+file)
	if err := cmd.Wait(); !killed(err) || strings.Count(out.String(), "pass") != 2 {
		t.Errorf("it ended with %v after %q", err, out)
	}
	if b, err := os.ReadFile(file + HitSuffix); err != nil || strings.TrimSpace(string(b)) != "writer/before-send:2" {
		t.Errorf("what was obeyed is not there: %q, %v", b, err)
	}
	cmd, out = start(t, EnvFile+"="+file)
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "end") {
		t.Errorf("the next one ended with %v after %q", err, out)
	}
}

func TestDiesNotWhenItFreezes(t *testing.T) {
	cmd, out := start(t, EnvAt+"=writer/after-send:2:stop")
	for deadline := time.Now().Add(10 * time.Second); state(cmd.Process.Pid) != "T"; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not freeze: %q", out)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "end") {
		t.Errorf("thawed it ended with %v after %q", err, out)
	}
}

func TestDiesNotAtAnUnknownPoint(t *testing.T) {
	cmd, _ := start(t, EnvAt+"=writer/nowhere")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v, not by itself with 2", err)
	}
}

func state(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}
