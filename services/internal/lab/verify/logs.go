package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tieout.dev/services/internal/stream"
)

// readLogs asks the broker about every partition that a row is about.
func (s *State) readLogs(ctx context.Context, src Sources) (err error) {
	c, err := stream.NewClient(stream.Config{Brokers: src.Kafka, ClientID: "tieout-verify"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := s.readGroups(ctx, c); err != nil {
		return err
	}
	for service, x := range s.Services {
		if err := src.read(ctx, service, x.readOffsets); err != nil {
			return err
		}
	}
	return s.readBounds(ctx, c)
}

func (s *State) readBounds(ctx context.Context, c *stream.Client) (err error) {
	s.Logs = map[Partition]Log{}
	ids := map[string]string{}
	for _, x := range s.Services {
		for p := range x.Offsets {
			if _, known := s.Logs[p]; known {
				continue
			}
			if ids[p.Topic] == "" {
				if ids[p.Topic], err = c.TopicID(ctx, p.Topic); err != nil {
					return err
				}
			}
			l := Log{TopicID: ids[p.Topic]}
			if l.Start, l.End, err = c.Bounds(ctx, p.Topic, p.ID); err != nil {
				return err
			}
			s.Logs[p] = l
		}
	}
	return nil
}

// readGroups adds what each consumer told Kafka.
func (s *State) readGroups(ctx context.Context, c *stream.Client) error {
	for service, x := range s.Services {
		told := map[string]map[int]int64{}
		for p, row := range x.Offsets {
			if told[p.Topic] == nil {
				n, err := c.Partitions(ctx, p.Topic)
				if err != nil {
					return err
				}
				if told[p.Topic], err = c.Committed(ctx, group(service, p.Topic), p.Topic, n); err != nil {
					return fmt.Errorf("group of %s: %w", service, err)
				}
			}
			if at, ok := told[p.Topic][p.ID]; ok {
				row.Group = at
				x.Offsets[p] = row
			}
		}
	}
	return nil
}

// group is the consumer group of a service: transform has one for each class.
func group(service, topic string) string {
	if service == "transform" {
		return "tieout-transform-" + strings.Split(topic, ".")[2]
	}
	return "tieout-" + service
}
