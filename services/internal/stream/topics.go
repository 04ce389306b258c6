package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

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
		if !pause(ctx, wait.next()) {
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
	next := "alter the topic's configuration (kafka-configs --alter)"
	if e.What == differsPartitions {
		next = "set kafka.partitions to what the topic has: the keys of what it holds lie by that number"
	}
	return fmt.Sprintf("topic %s has %s %s, this program wants %s; operator: %s", e.Topic, e.What, e.Is, e.Want, next)
}

const differsPartitions = "partitions"

func (c *Client) ensureTopics(ctx context.Context, topics []Topic) error {
	missing := make([]kafka.TopicConfig, 0, len(topics))
	for _, t := range topics {
		switch n, err := c.partitions(ctx, t.Name); {
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			missing = append(missing, t.request())
		case err != nil:
			return err
		case n != t.Partitions:
			return &DiffersError{t.Name, differsPartitions, strconv.Itoa(n), strconv.Itoa(t.Partitions)}
		}
	}
	if len(missing) == 0 {
		return c.checkConfigs(ctx, topics)
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

// checkConfigs compares what the topics are told with what they were told.
func (c *Client) checkConfigs(ctx context.Context, topics []Topic) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := &kafka.DescribeConfigsRequest{}
	want := map[string]Topic{}
	for _, t := range topics {
		if want[t.Name] = t; len(t.Config) > 0 {
			req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t.Name, ConfigNames: slices.Sorted(maps.Keys(t.Config))})
		}
	}
	if len(req.Resources) == 0 {
		return nil
	}
	res, err := c.kafka.DescribeConfigs(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			return fmt.Errorf("configuration of topic %s: %w", r.ResourceName, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if value, told := want[r.ResourceName].Config[e.ConfigName]; told && e.ConfigValue != value {
				return &DiffersError{r.ResourceName, e.ConfigName, e.ConfigValue, value}
			}
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
