package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/parts"
)

// stopWithin bounds how long 'down' waits.
const stopWithin = 90 * time.Second

// realCommands run Tieout on real parts.
func realCommands() []*cobra.Command {
	var dir string
	var writers int
	var noJaeger, foreground bool
	up := &cobra.Command{
		Use: "up", Short: "Real parts, sandboxes and five processes, left running", Args: cobra.NoArgs, Example: "  tieout-lab up\n  tieout-lab up --writers 2 --foreground",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if foreground {
				return stay(cmd.Context(), dir, writers, !noJaeger, os.Stdout)
			}
			return leave(cmd.Context(), dir, os.Args[1:], os.Stdout)
		},
	}
	up.Flags().IntVar(&writers, "writers", 1, "replicas of the writer")
	up.Flags().BoolVar(&foreground, "foreground", false, "stay; Ctrl-C ends everything")
	end := &cobra.Command{
		Use: "down", Short: "End them; the data stays", Args: cobra.NoArgs, Example: "  tieout-lab down",
		RunE: func(cmd *cobra.Command, _ []string) error { return down(cmd.Context(), dir, os.Stdout) },
	}
	fetch := &cobra.Command{
		Use: "fetch", Short: "Get every program and start nothing", Args: cobra.NoArgs, Example: "  tieout-lab fetch --no-jaeger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return parts.Fetch(cmd.Context(), parts.Config{Jaeger: !noJaeger, Out: os.Stdout})
		},
	}
	for _, c := range []*cobra.Command{up, end} {
		c.Flags().StringVar(&dir, "dir", ".tieout/up", "state folder")
	}
	for _, c := range []*cobra.Command{up, fetch} {
		c.Flags().BoolVar(&noJaeger, "no-jaeger", false, "leave Jaeger out")
	}
	postgres := &cobra.Command{
		Use: "postgres COMMAND…", Short: "Run a command with TIEOUT_TEST_POSTGRES naming a server that ends with it", DisableFlagParsing: true,
		Example: "  tieout-lab postgres go test ./internal/store",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPostgres(cmd.Context(), args, os.Stdout, os.Stderr)
		},
	}
	return []*cobra.Command{up, end, fetch, postgres}
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
		if !idle.For(ctx, 100*time.Millisecond) {
			return fmt.Errorf("pid %d does not end: %w", pid, ctx.Err())
		}
	}
	return nil
}
