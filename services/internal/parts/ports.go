package parts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are below every range that outgoing connections take theirs from: on
// Linux 32768 and up, in a gVisor container 16000 and up. A stopped part finds its
// port free when it comes back.
const (
	firstPort = 10000
	portRange = 6000
)

// Ports returns n free loopback ports for a part, the same ones each time for
// the same folder, and none that stands in this folder for another part: that one
// may not have taken it yet.
func Ports(ctx context.Context, dir, part string, n int) ([]int, error) {
	done, err := choosing(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	file := portsFile(dir, part)
	var kept []int
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &kept) == nil && len(kept) == n && allFree(ctx, kept) {
		return kept, nil
	}
	kept = nil
	given := given(dir, file)
	for range 100 * n {
		if p := firstPort + rand.IntN(portRange); !given[p] && free(ctx, p) {
			kept, given[p] = append(kept, p), true
		}
		if len(kept) == n {
			b, err := json.Marshal(kept)
			if err != nil {
				return nil, err
			}
			return kept, os.WriteFile(file, b, 0o644)
		}
	}
	return nil, fmt.Errorf("there are no %d free ports from %d to %d", n, firstPort, firstPort+portRange-1)
}

// Listen opens the loopback address of a part. Another process may have taken the
// port since it was chosen: then the part gets another one.
func Listen(ctx context.Context, dir, part string) (net.Listener, error) {
	for attempt := 1; ; attempt++ {
		p, err := Ports(ctx, dir, part, 1)
		if err != nil {
			return nil, err
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at(p[0]))
		if err == nil || attempt == 5 || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
}

func portsFile(dir, part string) string { return filepath.Join(dir, part+".ports") }

// choosing lets one part of a folder choose at a time: what it chose stands in its
// file before another looks.
func choosing(dir string) (done func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "ports.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which gives the lock back
}

// given are the ports that the folder's other parts have.
func given(dir, but string) map[int]bool {
	out := map[int]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.ports"))
	for _, f := range files {
		var ports []int
		if b, err := os.ReadFile(f); f == but || err != nil || json.Unmarshal(b, &ports) != nil {
			continue
		}
		for _, p := range ports {
			out[p] = true
		}
	}
	return out
}

func allFree(ctx context.Context, ports []int) bool {
	for _, p := range ports {
		if !free(ctx, p) {
			return false
		}
	}
	return true
}

func free(ctx context.Context, port int) bool {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at(port))
	return err == nil && l.Close() == nil
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers reports whether something accepts connections.
func answers(ctx context.Context, address string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	return err == nil && c.Close() == nil
}
