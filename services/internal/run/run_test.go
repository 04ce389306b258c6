package run

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// One failing service stops the others, and its error names it.
func TestOneFailureStopsAll(t *testing.T) {
	stopped := false
	err := Services(t.Context(),
		Service{"good", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return ctx.Err() }},
		Service{"bad", func(context.Context) error { return errors.New("no disk") }},
	)
	if err == nil || !strings.Contains(err.Error(), "bad: no disk") || !stopped {
		t.Fatalf("err %v, the other stopped: %v", err, stopped)
	}
}

func TestDocumentsTopicsHaveEqualPartitions(t *testing.T) {
	r, err := New(Config{Kafka: []string{"127.0.0.1:1"}, Partitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range r.Topics() {
		if topic.Partitions != 3 {
			t.Errorf("%s has %d partitions", topic.Name, topic.Partitions)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
