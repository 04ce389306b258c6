package stream

import (
	"context"
	"fmt"
	"net"
	"strconv"

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

// Leader returns the address of the broker that leads a partition.
func (c *Client) Leader(ctx context.Context, topic string, partition int) (string, error) {
	asking, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	res, err := c.kafka.Metadata(asking, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return "", fmt.Errorf("leader of %s/%d: %w", topic, partition, err)
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if p.ID == partition && p.Leader.Host != "" {
				return net.JoinHostPort(p.Leader.Host, strconv.Itoa(p.Leader.Port)), nil
			}
		}
	}
	return "", fmt.Errorf("leader of %s/%d: %w", topic, partition, kafka.LeaderNotAvailable)
}

// Coordinator returns the address of the broker that a group is run by.
func (c *Client) Coordinator(ctx context.Context, group string) (string, error) {
	asking, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	res, err := c.kafka.FindCoordinator(asking, &kafka.FindCoordinatorRequest{Key: group, KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return "", fmt.Errorf("coordinator of group %s: %w", group, err)
	}
	return net.JoinHostPort(res.Coordinator.Host, strconv.Itoa(res.Coordinator.Port)), nil
}
