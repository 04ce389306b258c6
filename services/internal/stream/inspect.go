package stream

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Partitions returns how many a topic has.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	return c.partitions(ctx, topic)
}

// TopicID tells a topic from one of the same name that was deleted and made
// again.
func (c *Client) TopicID(ctx context.Context, topic string) (string, error) {
	return c.topicID(ctx, topic)
}

// Committed returns what a group has told Kafka of a topic, by partition; a
// partition of which it said nothing is left out. Nothing depends on these
// numbers: they are for lag, and for whoever compares them with the rows.
func (c *Client) Committed(ctx context.Context, group, topic string, partitions int) (map[int]int64, error) {
	asking, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	res, err := c.kafka.OffsetFetch(asking, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: all}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", group, err)
	}
	out := map[int]int64{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offset of group %s in %s/%d: %w", group, topic, p.Partition, p.Error)
		}
		if p.CommittedOffset >= 0 {
			out[p.Partition] = p.CommittedOffset
		}
	}
	return out, nil
}
