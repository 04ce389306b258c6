package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
)

const (
	sessionTimeout   = 6 * time.Second
	sessionRests     = 3 // how many rests a session outlives
	heartbeat        = time.Second
	rebalanceTimeout = 10 * time.Second
	joinBackoff      = 300 * time.Millisecond
	groupTimeout     = 2 * time.Second
	watchPartitions  = 30 * time.Second
	commitEvery      = time.Second
	// stopGrace is how long a handler in flight may go on after its partition
	// is gone or the consumer stops.
	stopGrace = 5 * time.Second

	defaultMaxWait  = 500 * time.Millisecond
	defaultMaxBytes = 1 << 20
)

// Offsets are the rows that say where to go on; *store.DB has them.
type Offsets interface {
	// Offset reads the row of a partition.
	Offset(ctx context.Context, topic string, partition int) (next int64, topicID string, known bool, err error)
	// StartOffset makes the first row; one that exists stays.
	StartOffset(ctx context.Context, topic string, partition int, next int64, topicID string) error
	// ResetOffset moves the row, if it still stands at from.
	ResetOffset(ctx context.Context, topic string, partition int, from, to int64, topicID string) error
}

// Batch is what one fetch of a partition brought: all records of [First, End).
type Batch struct {
	Topic      string
	Partition  int
	First, End int64
	Records    []Record
	Generation int32

	group  string
	tracer trace.Tracer
	poll   trace.SpanContext
}

// Generation is one stable assignment of the group.
type Generation struct {
	ID         int32
	Member     string
	Partitions map[string][]int // by topic
}

// ConsumerConfig says what a consumer reads and who handles it.
type ConsumerConfig struct {
	Group   string
	Topics  []string
	Offsets Offsets
	// Handle stores the batch and moves the offset row from First to End in one
	// transaction. Any error but ErrNotOwner makes it come again after a while.
	// Partitions are handled concurrently, the batches of one in order.
	Handle func(ctx context.Context, b *Batch) error
	// OnAssigned is called before the first batch of a generation, OnRevoked as
	// soon as it is over (batches in flight may still end). Both may be nil.
	OnAssigned, OnRevoked func(g Generation)
	// OnGap is told that row and log do not fit each other, before the row is
	// moved. Nil means a line in the log.
	OnGap func(ctx context.Context, g Gap) error
	// MaxWait is how long a fetch waits for the first byte; a record that
	// arrives ends the wait, so it bounds what idling costs, not the delay.
	MaxWait  time.Duration
	MaxBytes int
	// Heartbeat is how often the group hears from this member, and it of a
	// rebalance; 0 is a second.
	Heartbeat time.Duration
	// StuckAfter is how long a partition with unread records may stand still
	// before the group is joined anew; 0 is two minutes.
	StuckAfter time.Duration
}

// Consumer reads the partitions that its group assigns to it.
type Consumer struct {
	client *Client
	cfg    ConsumerConfig
	log    *slog.Logger

	mu  sync.Mutex
	lag map[TopicPartition]int64
}

// NewConsumer checks the configuration; Run does the work.
func NewConsumer(c *Client, cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Group == "" || len(cfg.Topics) == 0 || cfg.Offsets == nil || cfg.Handle == nil {
		return nil, errors.New("a consumer needs a group, topics, offsets and a handler")
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = max(defaultMaxWait, c.rest)
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = heartbeat
	}
	if cfg.StuckAfter <= 0 {
		cfg.StuckAfter = stuckAfter
	}
	out := &Consumer{client: c, cfg: cfg, log: c.log.With("group", cfg.Group), lag: map[TopicPartition]int64{}}
	out.measureLag()
	return out, nil
}

// Lag returns, for each partition assigned now, how many records are unread.
func (c *Consumer) Lag() map[TopicPartition]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[TopicPartition]int64, len(c.lag))
	for p, n := range c.lag {
		out[p] = n
	}
	return out
}

func (c *Consumer) setLag(p TopicPartition, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lag[p] = n
}

// Run reads until ctx ends. It returns nil once the handlers in flight have
// ended and the group is left.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.client.replacePredecessor(ctx, c.cfg.Group); err != nil { // then its session ends by itself
		c.log.InfoContext(ctx, "no predecessor was looked for", "error", err)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: c.cfg.Group, Brokers: []string{bootstrap}, Dialer: c.client.groupDialer(), Topics: c.cfg.Topics,
		GroupBalancers:    []kafka.GroupBalancer{together{}},
		HeartbeatInterval: max(c.cfg.Heartbeat, c.client.rest), SessionTimeout: max(sessionTimeout, sessionRests*c.client.rest), RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: joinBackoff, Timeout: groupTimeout,
		WatchPartitionChanges: true, PartitionWatchInterval: max(watchPartitions, c.client.rest), StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return fmt.Errorf("join group %s: %w", c.cfg.Group, err)
	}
	defer func() { _ = group.Close() }()
	for { // errors are delivered here too: while nobody asks, the library does not join again
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.DebugContext(ctx, "no generation yet", "error", err)
		default:
			c.generation(ctx, gen)
		}
	}
}

// generation reads the assigned partitions until the generation or ctx ends.
func (c *Consumer) generation(ctx context.Context, gen *kafka.Generation) {
	over := make(chan struct{})
	gen.Start(func(ended context.Context) { <-ended.Done(); close(over) })
	g := describe(gen)
	c.log.DebugContext(ctx, "assigned", "generation", g.ID, "partitions", g.Partitions)
	if c.cfg.OnAssigned != nil {
		c.cfg.OnAssigned(g)
	}
	crash.At(crash.StreamAssigned)
	reading, stop := context.WithCancel(ctx)
	handling, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer stop()
	marks, progress := &marks{next: map[TopicPartition]int64{}}, newProgress(g.Partitions)
	gen.Start(func(ended context.Context) { c.watchdog(ended, progress) }) // its return ends the generation
	var workers sync.WaitGroup
	for topic, assigned := range gen.Assignments {
		for _, a := range assigned {
			w := &worker{c: c, at: TopicPartition{topic, a.ID}, committed: a.Offset, generation: gen.ID, marks: marks, progress: progress}
			workers.Go(func() { w.run(reading, handling) })
		}
	}
	workers.Go(func() { c.commitLoop(reading, gen, marks) })
	select {
	case <-over:
	case <-ctx.Done():
	}
	stop()
	if c.cfg.OnRevoked != nil {
		c.cfg.OnRevoked(g)
	}
	grace := time.AfterFunc(stopGrace, cut)
	workers.Wait()
	grace.Stop()
	c.commit(ctx, gen, marks)
	c.mu.Lock()
	clear(c.lag)
	c.mu.Unlock()
}

func describe(gen *kafka.Generation) Generation {
	g := Generation{ID: gen.ID, Member: gen.MemberID, Partitions: map[string][]int{}}
	for topic, assigned := range gen.Assignments {
		for _, a := range assigned {
			g.Partitions[topic] = append(g.Partitions[topic], a.ID)
		}
		slices.Sort(g.Partitions[topic])
	}
	return g
}

// marks are the offsets that the group's commit in Kafka does not show yet.
type marks struct {
	mu   sync.Mutex
	next map[TopicPartition]int64
}

func (m *marks) set(p TopicPartition, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next[p] = next
}

func (m *marks) take() map[string]map[int]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]map[int]int64{}
	for p, next := range m.next {
		if out[p.Topic] == nil {
			out[p.Topic] = map[int]int64{}
		}
		out[p.Topic][p.Partition] = next
	}
	clear(m.next)
	return out
}

func (c *Consumer) commitLoop(ctx context.Context, gen *kafka.Generation, m *marks) {
	for idle.For(ctx, max(commitEvery, c.client.rest)) {
		c.commit(ctx, gen, m)
	}
}

// commit tells Kafka how far the rows are. Nothing depends on it: after a
// failure the next one says it.
func (c *Consumer) commit(ctx context.Context, gen *kafka.Generation, m *marks) {
	if err := gen.CommitOffsets(m.take()); err != nil {
		c.log.DebugContext(ctx, "the group's offset was not written", "generation", gen.ID, "error", err)
	}
	crash.At(crash.StreamCommitted)
}
