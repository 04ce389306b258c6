//go:build integration

package parts

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tieout.dev/services/internal/parts/partstest"
)

// Every part starts, stops, comes back on its old port, and leaves nothing running.
func TestPartsComeAndGo(t *testing.T) {
	dir := partstest.Dir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	p, err := Start(ctx, Config{Dir: dir, Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = p.Stop()
		}
	})
	addresses := append([]string{p.Postgres.Address, p.Redis.Address}, p.Kafka.Brokers...)
	if err := p.Kafka.Kill(2); err != nil {
		t.Fatal(err)
	}
	if err := p.Kafka.StartBroker(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := p.Postgres.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := p.Postgres.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Redis.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	err = p.Stop()
	stopped = true
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("all stopped after %s", time.Since(from))
	for _, a := range addresses {
		if c, err := net.DialTimeout("tcp", a, time.Second); err == nil {
			_ = c.Close()
			t.Errorf("%s still answers", a)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "pids", "*")); len(left) != 0 {
		t.Errorf("pids left: %v", left)
	}
}

// What a killed starter leaves running is stopped by the pids it wrote down, and
// nothing else is.
func TestPartsThatAreLeftAreStopped(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"pids", "logs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	left, err := launch(dir, "left", nil, "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	// A pid that was given out again: its process was born at another time.
	if err := os.WriteFile(filepath.Join(dir, "pids", "reused"), fmt.Appendf(nil, "%d 1\n", os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := StopLeft(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	<-left.done
}
