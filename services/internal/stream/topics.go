package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/trust"
)

// Topic is a topic as it shall be.
type Topic struct {
	Name       string
	Partitions int
	// Replication 0 leaves it to the broker's default.
	Replication int
	Config      map[string]string
}

// EnsureTopics makes the topics that are missing and checks those that exist:
// with another number of partitions keys would lie elsewhere than the other
// services expect, and with another retention records would be gone too early, or
// names of people kept too long. Nothing is ever deleted or changed. It waits, as
// long as ctx allows, until every partition has a leader; a person has to act on a
// DiffersError and on a trust.RefusedError, which are returned at once.
func (c *Client) EnsureTopics(ctx context.Context, topics []Topic) error {
	wait := backoff{first: 100 * time.Millisecond, last: time.Second}
	for {
		err := c.ensureTopics(ctx, topics)
		var differs *DiffersError
		if err == nil || errors.As(err, &differs) {
			return err
		}
		if refused := c.refused(ctx); refused != nil {
			return refused
		}
		if !idle.For(ctx, wait.next()) {
			return fmt.Errorf("make topics: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// refused tells whether a person has to act before a broker takes our requests.
func (c *Client) refused(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	var refused *trust.RefusedError
	if errors.As(c.Reach(ctx), &refused) {
		return refused
	}
	return nil
}

// DiffersError means that a topic is not as it shall be.
type DiffersError struct{ Topic, What, Is, Want string }

// Error says what differs, and what an operator can do.
func (e *DiffersError) Error() string {
	next := "alter the topic's configuration: 'tieout topics apply --plan' shows what would change"
	if e.What == differsPartitions {
		next = "set kafka.partitions to what the topic has: the keys of what it holds lie by that number"
	}
	return fmt.Sprintf("topic %s has %s %s, this program wants %s; operator: %s", e.Topic, e.What, e.Is, e.Want, next)
}

func (c *Client) ensureTopics(ctx context.Context, topics []Topic) error {
	plan, err := c.PlanTopics(ctx, topics)
	if err != nil {
		return err
	}
	for _, x := range plan {
		if x.Action != Make {
			return &DiffersError{x.Topic, x.What, x.Is, x.Want}
		}
	}
	if len(plan) == 0 {
		return nil
	}
	if err := c.makeTopics(ctx, topics, plan); err != nil {
		return err
	}
	return errors.New("topics were made and are not known everywhere yet")
}

func (c *Client) makeTopics(ctx context.Context, topics []Topic, plan []TopicChange) error {
	req := &kafka.CreateTopicsRequest{}
	for _, x := range plan {
		for _, t := range topics {
			if x.Action == Make && x.Topic == t.Name {
				req.Topics = append(req.Topics, t.request())
			}
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	res, err := c.kafka.CreateTopics(ctx, req)
	if err != nil {
		return err
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
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
