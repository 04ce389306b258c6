package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// line is one line of the journal: what one request did, or a whole world.
type line struct {
	Record   *Record           `json:"record,omitempty"`
	At       *Time             `json:"at,omitempty"`
	Objects  []write           `json:"objects,omitempty"`
	Facts    map[string]string `json:"facts,omitempty"`
	Keys     []remembered      `json:"keys,omitempty"`
	Forget   bool              `json:"forget,omitempty"`
	Settings *Settings         `json:"settings,omitempty"`
	World    *dump             `json:"world,omitempty"`
	Preset   string            `json:"preset,omitempty"` // which fresh world World is
	Faults   *storedFaults     `json:"faults,omitempty"`
	Counts   map[string]counts `json:"counts,omitempty"` // of the faults that looked at the request
}

// write is one new version of an object, or several made by one request.
type write struct {
	Type     string    `json:"type"`
	ID       string    `json:"id"`
	Deleted  bool      `json:"deleted,omitempty"`
	Versions []Version `json:"versions"`
}

// journal is the append-only file a world is rebuilt from. Lines are appended
// under the sandbox's mutex and reach the disk by sync, where waiting requests
// share one fsync.
type journal struct {
	file *os.File

	mu  sync.Mutex // guards buf and seq
	buf []byte
	seq int64

	syncing sync.Mutex // held while writing; guards durable and err
	durable int64
	err     error
}

// openJournal locks the file against a second process, replays its lines and
// cuts off a torn last one.
func openJournal(path string, replay func(*line) error) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sandbox journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sandbox journal: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("sandbox journal %s is in use by another process: %w", path, err)
	}
	if err := replayLines(f, replay); err != nil {
		f.Close()
		return nil, fmt.Errorf("sandbox journal %s: %w", path, err)
	}
	return &journal{file: f}, nil
}

func replayLines(f *os.File, replay func(*line) error) error {
	in := bufio.NewReaderSize(f, 1<<20)
	var end int64
	for n := 1; ; n++ {
		raw, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // what follows the last newline was never acknowledged
		}
		if err != nil {
			return err
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			if _, more := in.Peek(1); errors.Is(more, io.EOF) {
				break
			}
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := replay(&l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		end += int64(len(raw))
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.Seek(end, io.SeekStart)
	return err
}

// append adds a line and returns what sync must be asked for.
func (j *journal) append(l *line) (int64, error) {
	if j == nil {
		return 0, nil
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(l); err != nil {
		return 0, fmt.Errorf("sandbox journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf = append(j.buf, b.Bytes()...)
	j.seq++
	return j.seq, nil
}

// sync returns when all lines up to upto are on disk. Later lines are handed
// to the operating system at least. A full disk is asked again by the next
// request, with what it did not take; after any other failure sync fails for
// ever: a disk that lost something once is not asked again.
func (j *journal) sync(upto int64) error {
	if j == nil {
		return nil
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.err != nil {
		return j.err
	}
	j.mu.Lock()
	buf, seq := j.buf, j.seq
	j.buf = nil
	j.mu.Unlock()
	if len(buf) > 0 {
		n, err := j.file.Write(buf)
		if errors.Is(err, syscall.ENOSPC) {
			j.mu.Lock()
			j.buf = append(buf[n:], j.buf...)
			j.mu.Unlock()
			return fmt.Errorf("sandbox journal: what is done waits for space on the disk: %w", err)
		}
		j.err = err
	}
	if j.err == nil && j.durable < upto {
		j.err = j.file.Sync()
		j.durable = seq
	}
	return j.err
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	err := j.sync(j.seq)
	return errors.Join(err, j.file.Close())
}
