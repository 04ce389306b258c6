package stream_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
)

// cord holds a process's connections; cut ends all of them, and nothing is said
// over them before, as when the process is killed.
type cord struct {
	dial stream.Dial

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (c *cord) connect(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.New("the process is dead")
	}
	conn, err := c.dial(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cord) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Who is started again where a process was killed does not wait for the session
// of the dead; who is somebody else does, and puts nobody out.
func TestWhoComesBackPutsItsPredecessorOut(t *testing.T) {
	t.Setenv(storetest.Variable, "") // a real server has a clock of its own
	db := database(t)
	for _, c := range []struct {
		name, before, after string
		atLeast, atMost     time.Duration
	}{
		{"the same place", "pod-1/:7443", "pod-1/:7443", 0, 2 * time.Second},
		{"another place", "pod-1/:7443", "pod-2/:7443", 4 * time.Second, 15 * time.Second},
		{"no place", "", "", 4 * time.Second, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network kfake.VirtualNetwork
				k, err := kfake.NewCluster(kfake.Ports(9001, 9002, 9003), kfake.SeedTopics(2, "t"), kfake.ListenFn(network.Listen))
				if err != nil {
					t.Fatal(err)
				}
				defer k.Close()
				// start runs a member until it is killed, and tells when it reads.
				start := func(place string) (reads <-chan time.Time, kill func()) {
					line := &cord{dial: network.DialContext}
					cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs(), ClientID: "tieout-writer", GroupInstance: place, Dial: line.connect})
					if err != nil {
						t.Fatal(err)
					}
					assigned := make(chan time.Time, 100)
					cfg := (&sink{db: db}).config("g", "t")
					cfg.OnAssigned = func(stream.Generation) { assigned <- time.Now() }
					consumer, err := stream.NewConsumer(cl, cfg)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error, 1)
					go func() { done <- consumer.Run(ctx) }()
					return assigned, func() {
						line.cut()
						cancel()
						if err := <-done; err != nil {
							t.Error(err)
						}
						_ = cl.Close()
					}
				}
				first, kill := start(c.before)
				<-first
				time.Sleep(time.Minute)
				kill()
				killed := time.Now()
				second, end := start(c.after)
				defer end()
				if took := (<-second).Sub(killed); took < c.atLeast || took > c.atMost {
					t.Errorf("reads again %s after the kill, want %s to %s", took, c.atLeast, c.atMost)
				}
			})
		})
	}
}
