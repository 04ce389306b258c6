package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Topic is a topic as it shall be.
type Topic struct {
	Name       string
	Partitions int
	// Replication 0 leaves it to the broker's default.
	Replication int
	Config      map[string]string
}

// EnsureTopics makes the topics that are missing and checks the partitions of
// those that exist: with another number of partitions keys would lie elsewhere
// than the other services expect. Nothing is ever deleted or changed. It waits,
// as long as ctx allows, until every partition has a leader.
func (c *Client) EnsureTopics(ctx context.Context, topics []Topic) error {
	wait := backoff{first: 100 * time.Millisecond, last: time.Second}
	for {
		err := c.ensureTopics(ctx, topics)
		if err == nil || errors.Is(err, errPartitions) {
			return err
		}
		if !pause(ctx, wait.next()) {
			return fmt.Errorf("make topics: %w", errors.Join(ctx.Err(), err))
		}
	}
}

var errPartitions = errors.New("number of partitions differs")

func (c *Client) ensureTopics(ctx context.Context, topics []Topic) error {
	missing := make([]kafka.TopicConfig, 0, len(topics))
	for _, t := range topics {
		switch n, err := c.partitions(ctx, t.Name); {
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			missing = append(missing, t.request())
		case err != nil:
			return err
		case n != t.Partitions:
			return fmt.Errorf("%w: topic %s has %d, %d are configured", errPartitions, t.Name, n, t.Partitions)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	res, err := c.kafka.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
	if err != nil {
		return err
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return errors.New("topics were made and are not known everywhere yet")
}

func (t Topic) request() kafka.TopicConfig {
	req := kafka.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: t.Replication}
	if t.Replication == 0 {
		req.ReplicationFactor = -1
	}
	for name, value := range t.Config {
		req.ConfigEntries = append(req.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	return req
}

// partitions returns how many partitions a topic has, as the transport last saw it.
func (c *Client) partitions(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	res, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	if err := res.Topics[0].Error; err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	for _, p := range res.Topics[0].Partitions {
		if p.Error != nil {
			return 0, fmt.Errorf("topic %s, partition %d: %w", topic, p.ID, p.Error)
		}
	}
	if len(res.Topics[0].Partitions) == 0 {
		return 0, fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
	}
	return len(res.Topics[0].Partitions), nil
}
