package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// What a plan does about a topic.
const (
	Make   = "make"   // it is missing
	Alter  = "alter"  // a setting is another
	Refuse = "refuse" // only a person may: records would be lost or lie elsewhere
)

// What may differ and is not changed without thought.
const (
	differsPartitions = "partitions"
	retention         = "retention.ms"
)

// TopicChange is one difference between a topic as it is and as it shall be.
type TopicChange struct {
	Topic  string `json:"topic"`
	Action string `json:"action"`
	What   string `json:"what,omitempty"`
	Is     string `json:"is,omitempty"`
	Want   string `json:"want"`
	Why    string `json:"why,omitempty"` // it is refused
}

// PlanTopics tells what would have to change, in the order of the topics.
func (c *Client) PlanTopics(ctx context.Context, topics []Topic) ([]TopicChange, error) {
	plan := []TopicChange{}
	var there []Topic
	for _, t := range topics {
		n, err := c.partitions(ctx, t.Name)
		switch {
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			plan = append(plan, TopicChange{Topic: t.Name, Action: Make, Want: fmt.Sprintf("%d partitions", t.Partitions)})
			continue
		case err != nil:
			return nil, err
		case n != t.Partitions:
			plan = append(plan, TopicChange{t.Name, Refuse, differsPartitions, strconv.Itoa(n), strconv.Itoa(t.Partitions), "the keys of what it holds lie by that number"})
		}
		there = append(there, t)
	}
	settings, err := c.settingsThatDiffer(ctx, there)
	if err != nil {
		return nil, err
	}
	plan = append(plan, settings...)
	at := func(x TopicChange) int {
		return slices.IndexFunc(topics, func(t Topic) bool { return t.Name == x.Topic })
	}
	slices.SortStableFunc(plan, func(a, b TopicChange) int { return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a.What, b.What)) })
	return plan, nil
}

// ApplyTopics does what a plan says, all but what it refuses. It is safe to
// repeat.
func (c *Client) ApplyTopics(ctx context.Context, topics []Topic, plan []TopicChange) error {
	if err := c.makeTopics(ctx, topics, plan); err != nil {
		return err
	}
	req := &kafka.IncrementalAlterConfigsRequest{}
	for _, x := range plan {
		if x.Action == Alter {
			req.Resources = append(req.Resources, kafka.IncrementalAlterConfigsRequestResource{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: x.Topic,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: x.What, Value: x.Want, ConfigOperation: kafka.ConfigOperationSet}},
			})
		}
	}
	if len(req.Resources) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	res, err := c.kafka.IncrementalAlterConfigs(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			err = errors.Join(err, fmt.Errorf("topic %s: %w", r.ResourceName, r.Error))
		}
	}
	return err
}

// settingsThatDiffer compares what the topics are told with what they were told.
func (c *Client) settingsThatDiffer(ctx context.Context, topics []Topic) ([]TopicChange, error) {
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
		return nil, nil
	}
	res, err := c.kafka.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, err
	}
	var out []TopicChange
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("configuration of topic %s: %w", r.ResourceName, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if value, told := want[r.ResourceName].Config[e.ConfigName]; told && e.ConfigValue != value {
				out = append(out, settingChange(r.ResourceName, e.ConfigName, e.ConfigValue, value))
			}
		}
	}
	return out, nil
}

func settingChange(topic, name, is, want string) TopicChange {
	x := TopicChange{Topic: topic, Action: Alter, What: name, Is: is, Want: want}
	if name == retention && keeps(want) < keeps(is) {
		x.Action, x.Why = Refuse, "records would be gone that are kept today"
	}
	return x
}

// keeps is how long a retention keeps: -1 is for ever, and so is, to be safe,
// what is no number.
func keeps(ms string) int64 {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || n < 0 {
		return math.MaxInt64
	}
	return n
}
