// Command tieout-lab runs Tieout on real parts, to try it and to prove it. It is
// no part of an installation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/parts"
)

// Exit codes, as those of tieout.
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2
	exitAbsent = 3
)

const usage = `usage:
  tieout-lab up   [--dir DIR] [--writers N] [--no-jaeger] [--foreground]   real parts, sandboxes, five processes
  tieout-lab down [--dir DIR]                                             end them; the data stays
  tieout-lab fetch [--no-jaeger]                                          get every program and start nothing
  tieout-lab postgres COMMAND…      run a command with TIEOUT_TEST_POSTGRES naming a server that ends with it
`

// stopWithin bounds how long 'down' waits.
const stopWithin = 90 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errOut, usage)
		return exitUsage
	}
	flags := flag.NewFlagSet("tieout-lab "+args[0], flag.ContinueOnError)
	flags.SetOutput(errOut)
	dir := flags.String("dir", ".tieout/up", "state folder")
	writers := flags.Int("writers", 1, "replicas of the writer")
	noJaeger := flags.Bool("no-jaeger", false, "leave Jaeger out")
	foreground := flags.Bool("foreground", false, "stay; Ctrl-C ends everything")
	if err := flags.Parse(args[1:]); err != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args[0] {
	case "up":
		if *foreground {
			err = stay(ctx, *dir, *writers, !*noJaeger, out)
		} else {
			err = leave(ctx, *dir, args, out)
		}
	case "down":
		err = down(ctx, *dir, out)
	case "fetch":
		err = parts.Fetch(ctx, parts.Config{Jaeger: !*noJaeger, Out: out})
	case "postgres":
		err = withPostgres(ctx, flags.Args(), out, errOut)
	default:
		fmt.Fprint(errOut, usage)
		return exitUsage
	}
	var absent *parts.AbsentError
	var other *otherEnded
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &other):
		return other.code
	case errors.As(err, &absent):
		fmt.Fprintf(errOut, "tieout-lab: %v\n", absent)
		return exitAbsent
	}
	fmt.Fprintf(errOut, "tieout-lab: %v\n", err)
	return exitError
}

// otherEnded means that a program we started ended with an error, and said why.
type otherEnded struct{ code int }

// Error names the code.
func (e *otherEnded) Error() string { return fmt.Sprintf("ended with exit code %d", e.code) }

func asOther(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &otherEnded{exit.ExitCode()}
	}
	return err
}

// stay runs everything until it is told to end.
func stay(ctx context.Context, dir string, writers int, jaeger bool, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l, err := lab.Start(ctx, lab.Options{Dir: dir, Bin: filepath.Dir(self), Replicas: map[string]int{"writer": writers}, Jaeger: jaeger, Out: out})
	if err != nil {
		return err
	}
	f := l.File()
	fmt.Fprintf(out, "ready: %s\nconsole: %s\n", filepath.Join(dir, endpoints.Name), f.Console)
	if f.Jaeger != "" {
		fmt.Fprintf(out, "traces: %s\n", f.Jaeger)
	}
	<-ctx.Done()
	return l.Stop()
}

// leave starts another one of us that stays, and returns when it is ready.
func leave(ctx context.Context, dir string, args []string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logPath := filepath.Join(dir, "up.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(self, append(append([]string{}, args...), "--foreground")...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with it, or with us
	shown := 0
	show := func() {
		if b, err := os.ReadFile(logPath); err == nil && len(b) > shown {
			fmt.Fprint(out, string(b[shown:]))
			shown = len(b)
		}
	}
	for {
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case err := <-ended:
			timer.Stop()
			show()
			return asOther(err)
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(cmd.Process.Signal(syscall.SIGTERM), <-ended)
		case <-timer.C:
		}
		if f, err := endpoints.Read(dir); err == nil && f.PID == cmd.Process.Pid {
			<-time.After(100 * time.Millisecond) // its last lines
			show()
			return nil
		}
		show()
	}
}

// withPostgres runs a command beside a server of its own.
func withPostgres(ctx context.Context, command []string, out, errOut io.Writer) error {
	if len(command) == 0 {
		return errors.New("which command? tieout-lab postgres COMMAND…")
	}
	dir, err := os.MkdirTemp("", "tieout-postgres-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the server's own user enters it
		return err
	}
	p, err := parts.StartPostgres(ctx, parts.Config{Dir: dir, Out: out})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), "TIEOUT_TEST_POSTGRES="+p.URLWithPassword())
	cmd.Stdout, cmd.Stderr = out, errOut
	err = asOther(cmd.Run())
	if serr := p.Stop(); serr != nil {
		return errors.Join(err, serr)
	}
	return err
}

// down ends what runs on a folder, also what a killed supervisor left behind.
func down(ctx context.Context, dir string, out io.Writer) error {
	f, err := endpoints.Read(dir)
	if err == nil && lab.Runs(dir) {
		fmt.Fprintf(out, "stopping pid %d\n", f.PID)
		if err := syscall.Kill(f.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if err := waitGone(ctx, f.PID); err != nil {
			return err
		}
	}
	if err := parts.StopLeft(ctx, filepath.Join(dir, "parts")); err != nil {
		return err
	}
	if err := endpoints.Remove(dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "nothing runs on %s; its data stays\n", dir)
	return nil
}

func waitGone(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	for syscall.Kill(pid, 0) == nil {
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("pid %d does not end: %w", pid, ctx.Err())
		case <-timer.C:
		}
	}
	return nil
}
