//go:build integration

package stream_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/stream"
)

// The disk of all brokers is full, until somebody makes room and starts them again:
// nothing that was acknowledged is lost, nobody is told that anything went through
// meanwhile, whoever asks hears that no broker answers, and then all goes on.
func TestFullDisksOfBrokersOnRealParts(t *testing.T) {
	dir := smallDisk(t, "700m")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	k, err := parts.StartKafka(ctx, parts.Config{Dir: dir, Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Stop() }) // before the disk is taken away
	member := func() *stream.Client {
		cl, err := stream.NewClient(stream.Config{Brokers: k.Brokers, ClientID: "test", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cl.Close() })
		return cl
	}
	producer, reader := member(), member()
	if err := producer.EnsureTopics(ctx, []stream.Topic{{Name: "t", Partitions: 6, Replication: 3}}); err != nil {
		t.Fatal(err)
	}
	s := &sink{db: database(t)}
	consume(t, reader, s.config("g", "t"))
	p := &pump{}
	pumping, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() {
		for pumping.Err() == nil { // a producer that gave up tries again, as a relay does
			p.run(pumping, producer)
			p.mu.Lock()
			p.err = nil
			p.mu.Unlock()
		}
	})
	defer working.Wait()
	defer stop()
	reach(t, p, s, "the beginning", 60*time.Second)

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	within(t, "the brokers stand still", 2*time.Minute, func() bool {
		before, _ := p.state()
		<-time.After(3 * time.Second)
		after, _ := p.state()
		return before == after
	})
	within(t, "who asks hears that no broker answers", time.Minute, func() bool { return producer.Reach(ctx) != nil })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		_ = k.Kill(n) // one that noticed has ended by itself
	}
	var starting sync.WaitGroup
	for n := 1; n <= 3; n++ { // one alone has no quorum
		starting.Go(func() {
			if err := k.StartBroker(ctx, n); err != nil {
				t.Errorf("broker %d, with room again: %v", n, err)
			}
		})
	}
	starting.Wait()
	reach(t, p, s, "there is room again", 2*time.Minute)
	stop()
	working.Wait()
	acked, _ := p.state()
	within(t, "all that was acknowledged", time.Minute, func() bool { return len(distinct(s.values())) >= acked })
}

// smallDisk is a folder that holds little.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tieout-test", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk was not mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("the small disk stays: %v: %s", err, out)
		}
	})
	return dir
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk did not fill: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
