package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
)

// program finds a program, or installs the Debian package that has it.
func program(ctx context.Context, cfg Config, part, pkg, name string, places ...string) (string, error) {
	if path, ok := find(name, places); ok {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", &AbsentError{part, name + " is not installed", "install the package " + pkg + " (as root on Debian: apt-get install " + pkg + ")"}
	}
	cfg.say("installing the Debian package %s", pkg)
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", pkg}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &AbsentError{part, fmt.Sprintf("apt-get %s: %v: %s", args[0], err, last(out)), "install the package " + pkg + " by hand"}
		}
	}
	if path, ok := find(name, places); ok {
		return path, nil
	}
	return "", &AbsentError{part, pkg + " was installed and brought no " + name, "put " + name + " on the PATH"}
}

func find(name string, places []string) (string, bool) {
	for _, pattern := range places {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		sort.Strings(found)
		if len(found) > 0 {
			return found[len(found)-1], true // the newest version
		}
	}
	path, err := exec.LookPath(name)
	return path, err == nil
}

// last is the end of a program's output.
func last(out []byte) string { return string(out[max(0, len(out)-600):]) }

// cached makes a folder in the cache once, whole or not at all.
func cached(ctx context.Context, cfg Config, name string, make func(ctx context.Context, dir string) error) (string, error) {
	dir := filepath.Join(cfg.Cache, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(cfg.Cache, name+".making-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := make(ctx, tmp); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil { // somebody else was faster
			return dir, nil
		}
		return "", err
	}
	return dir, nil
}
