package stream

import (
	"context"
	"sync"
	"time"

	"tieout.dev/services/internal/idle"
)

// stuckAfter is how long a partition with unread records may stand still: longer
// than a failover, a restart of the database and a batch that is produced.
const stuckAfter = 2 * time.Minute

// looks is how often a partition is looked at before it counts as stuck.
const looks = 4

// progress is how far each partition of one generation is.
type progress struct {
	mu sync.Mutex
	at map[TopicPartition]*place
}

// place is where a partition stands.
type place struct {
	next  int64     // offset; negative: where to go on is not known yet
	moved time.Time // when that changed
	empty time.Time // when a fetch last found nothing unread
}

func newProgress(assigned map[string][]int) *progress {
	p := &progress{at: map[TopicPartition]*place{}}
	for topic, partitions := range assigned {
		for _, n := range partitions {
			p.at[TopicPartition{topic, n}] = &place{next: -1, moved: time.Now()}
		}
	}
	return p
}

// reached notes that a partition is read on from next.
func (p *progress) reached(at TopicPartition, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.at[at]; x.next != next {
		x.next, x.moved = next, time.Now()
	}
}

// nothing notes that nothing is unread in a partition.
func (p *progress) nothing(at TopicPartition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[at].empty = time.Now()
}

// still are the partitions that have neither moved nor been found empty for so long.
func (p *progress) still(after time.Duration) map[TopicPartition]place {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[TopicPartition]place{}
	for at, x := range p.at {
		if time.Since(x.moved) > after && time.Since(x.empty) > after {
			out[at] = *x
		}
	}
	return out
}

// watchdog returns when ctx ends, or as soon as a partition has unread records
// and its offset does not move: whatever holds it up, a connection that never
// answers or a worker that is lost, does not hold in a new generation.
func (c *Consumer) watchdog(ctx context.Context, p *progress) {
	after := max(c.cfg.StuckAfter, looks*c.client.rest)
	for idle.For(ctx, after/looks) {
		for at, x := range p.still(after) {
			start, end, err := c.client.Bounds(ctx, at.Topic, at.Partition)
			if err != nil || end <= max(x.next, start) { // its leader is away, or there is nothing to read
				continue
			}
			c.log.WarnContext(ctx, "a partition with unread records does not move: the group is joined anew", "topic", at.Topic, "partition", at.Partition,
				"next", x.next, "end", end, "since", x.moved.UTC())
			return
		}
	}
}
