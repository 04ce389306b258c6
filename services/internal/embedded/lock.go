package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// InUseError means that another process uses the folder.
type InUseError struct {
	Path string // the lock file
	PID  string // what the holder wrote into it
}

// Error names the holder.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the data folder is in use by the process with pid %s (%s is locked); stop it or choose another folder", e.PID, e.Path)
}

// lock is an flock, which the system takes back however the process ends. The
// file stays: removing it would let two processes lock two files of one name.
type lock struct{ file *os.File }

func acquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data folder: %w", err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		return nil, &InUseError{Path: path, PID: strings.TrimSpace(string(holder))}
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), f.Close())
	}
	return &lock{f}, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func (l *lock) release() error { return l.file.Close() }
