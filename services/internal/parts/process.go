package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startWithin bounds how long a part may take to answer.
const startWithin = 90 * time.Second

// process is one program that was started here. Its pid is in a file, so that
// it can be stopped when whoever started it is gone.
type process struct {
	name string
	cmd  *exec.Cmd
	pid  string        // file
	log  string        // file
	done chan struct{} // closed when it has ended
}

// launch starts a program in a session of its own: a Ctrl-C at the terminal is
// for whoever started it, who stops it in good order.
func launch(dir, name string, credential *syscall.Credential, program string, args ...string) (*process, error) {
	p := &process{name: name, pid: filepath.Join(dir, "pids", name), log: filepath.Join(dir, "logs", name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = "/", log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the program, which stop awaits
		_ = p.cmd.Wait()
		close(p.done)
	}()
	if err := os.WriteFile(p.pid, fmt.Appendf(nil, "%d %s\n", p.cmd.Process.Pid, born(p.cmd.Process.Pid)), 0o644); err != nil {
		return nil, errors.Join(err, p.stop(0))
	}
	return p, nil
}

// await polls until ready says so, the program ends, or time is up.
func (p *process) await(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while it started:\n%s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", p.name, ctx.Err(), p.tail())
		case <-tick.C:
		}
	}
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// running reports whether the program has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the program, if it runs.
func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// kill ends the program at once.
func (p *process) kill() error { return p.stop(0) }

// stop asks the program to end, and makes it after a while.
func (p *process) stop(grace time.Duration) error { return p.stopWith(syscall.SIGTERM, grace) }

func (p *process) stopWith(s syscall.Signal, grace time.Duration) error {
	if p == nil {
		return nil
	}
	if grace > 0 {
		_ = p.signal(s)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
		case <-timer.C:
		}
	}
	if p.running() {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return removed(p.pid)
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// born is when a process was started, in ticks since the machine was: with it a
// pid that was given out again is not taken for the process that had it.
func born(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" { // a zombie has ended
		return ""
	}
	return fields[19]
}

// Record writes down a program that somebody else starts in this folder, so that
// StopLeft finds it.
func Record(dir, name string, pid int) error {
	if err := os.MkdirAll(filepath.Join(dir, "pids"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "pids", name), fmt.Appendf(nil, "%d %s\n", pid, born(pid)), 0o644)
}

// Forget removes what Record wrote.
func Forget(dir, name string) error { return removed(filepath.Join(dir, "pids", name)) }

// StopLeft ends the programs that a killed predecessor left in this folder, by
// the pids that it wrote down. A broker first: it writes its logs out.
func StopLeft(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "pids", "*"))
	if err != nil {
		return err
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, f := range files {
			if pid, ok := left(f); ok {
				_ = syscall.Kill(pid, signal)
			}
		}
		if err := gone(ctx, files, 5*time.Second); err == nil {
			break
		} else if signal == syscall.SIGKILL {
			return err
		}
	}
	for _, f := range files {
		if err := removed(f); err != nil {
			return err
		}
	}
	return nil
}

// left returns the pid in a file, if that very process still runs.
func left(file string) (int, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	text, start, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, err := strconv.Atoi(text)
	return pid, err == nil && pid > 1 && start != "" && born(pid) == start
}

func gone(ctx context.Context, files []string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		var still []string
		for _, f := range files {
			if pid, ok := left(f); ok {
				still = append(still, fmt.Sprintf("%s (pid %d)", filepath.Base(f), pid))
			}
		}
		if len(still) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still running: %s", strings.Join(still, ", "))
		case <-tick.C:
		}
	}
}
