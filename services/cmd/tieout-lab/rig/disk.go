package rig

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

	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/lab/chaos"
)

// diskSize is that of the database's own disk: as much as a run needs, and
// filled in a moment.
const diskSize = "1500m"

// databaseDir is where PostgreSQL keeps its data.
func (r *Rig) databaseDir() string { return filepath.Join(r.options.Dir, "parts", "postgres") }

// smallDisk gives the database a disk of its own, where that can be had.
func (r *Rig) smallDisk(ctx context.Context) error {
	if os.Geteuid() != 0 {
		r.noDisk = "only root can mount a small disk"
		return nil
	}
	dir := r.databaseDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size="+diskSize+",mode=0700", "tieout-chaos", dir).CombinedOutput()
	if err != nil {
		r.noDisk = fmt.Sprintf("a small disk was not mounted: %v: %s", err, strings.TrimSpace(string(out)))
		return nil
	}
	r.closers = append(r.closers, func() error { return unmount(dir) })
	return nil
}

// unmount takes the disk away and leaves in its place what it held, with its
// owners, so that the state can be looked at afterwards.
func unmount(dir string) error {
	kept := dir + ".kept"
	for _, args := range [][]string{{"cp", "-a", dir, kept}, {"umount", dir}, {"rmdir", dir}, {"mv", kept, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// fillDisk leaves the database no space, for a while.
func (r *Rig) fillDisk(ctx context.Context, d time.Duration) (err error) {
	if r.noDisk != "" {
		return &chaos.SkippedError{Why: r.noDisk}
	}
	path := filepath.Join(r.databaseDir(), "filled-by-chaos")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path), r.revivePostgres(ctx)) }()
	block := make([]byte, 1<<20)
	for {
		_, werr := f.Write(block)
		if errors.Is(werr, syscall.ENOSPC) {
			break
		}
		if werr != nil {
			return werr
		}
	}
	idle.For(ctx, d)
	return nil
}

// failSync has every fsync of the database fail, for a while: it must stop
// rather than believe the next one.
func (r *Rig) failSync(ctx context.Context, d time.Duration) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return &chaos.SkippedError{Why: "strace is not installed"}
	}
	pid, err := r.postgresPID()
	if err != nil {
		return err
	}
	args := []string{"-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"}
	for _, p := range append(children(pid), pid) {
		args = append(args, "-p", strconv.Itoa(p))
	}
	cmd := exec.Command(strace, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // received below
	select {
	case err := <-ended: // where all that it watched has stopped, as it must, there is none
		if err != nil {
			return &chaos.SkippedError{Why: fmt.Sprintf("strace may not watch the database here: %v", err)}
		}
	case <-time.After(d):
		_ = cmd.Process.Signal(os.Interrupt) // it lets go of what it holds
		<-ended
	}
	return r.revivePostgres(ctx)
}

// postgresPID reads what the parts have written down.
func (r *Rig) postgresPID() (int, error) {
	b, err := os.ReadFile(filepath.Join(r.options.Dir, "parts", "pids", "postgres"))
	if err != nil {
		return 0, err
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	return strconv.Atoi(text)
}

// children are the processes that a process has started and that still run.
func children(pid int) (out []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			if n, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// reviveWithin bounds how long the server may take to answer again.
const reviveWithin = time.Minute

// revivePostgres waits until the server answers, and starts it again if what
// was done to it ended it: it gives up when it cannot recover from its own log.
func (r *Rig) revivePostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviveWithin)
	defer cancel()
	for {
		asking, stop := context.WithTimeout(ctx, 2*time.Second)
		err := r.stores["audit"].Ping(asking)
		stop()
		if err == nil {
			return nil
		}
		if pid, perr := r.postgresPID(); perr != nil || !alive(pid) {
			return r.lab.Parts.Postgres.Start(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the database does not come back: %w", err)
		}
		idle.For(ctx, 100*time.Millisecond)
	}
}

// alive: a process that has ended and was not waited for yet is not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}
