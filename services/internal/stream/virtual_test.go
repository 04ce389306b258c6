package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
)

func TestConsumerLivesInVirtualTime(t *testing.T) {
	t.Setenv(storetest.Variable, "") // a real server has a clock of its own
	db := database(t)
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		k, err := kfake.NewCluster(kfake.Ports(9001, 9002, 9003), kfake.SeedTopics(2, "t"), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		cl, err := stream.NewClient(stream.Config{Brokers: k.ListenAddrs(), Dial: network.DialContext, MetadataTTL: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cl.Close() }()
		s := &sink{db: db}
		cfg := s.config("g", "t")
		cfg.MaxWait = 10 * time.Second
		c, err := stream.NewConsumer(cl, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for i := range 3 {
			if err := cl.Produce(ctx, records("t", 20*i, 20)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got := len(s.values()); got != 20*(i+1) {
				t.Fatalf("%d records after %d hours", got, i+1)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(s.gens) != 1 {
			t.Fatalf("generations %v, want one for the three hours", s.gens)
		}
	})
}
