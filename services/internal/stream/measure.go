package stream

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/meter"
)

// handled measures one try of handling a batch; the span of its first record
// is its exemplar.
func (c *Client) handled(ctx context.Context, b *Batch, start time.Time, err error) {
	ctx = Extract(ctx, b.Records[0].Headers)
	c.meter.Took(ctx, meter.ProcessDuration, time.Since(start), b.Topic, outcome(err))
	if err == nil {
		c.meter.Count(ctx, meter.ConsumedMessages, int64(len(b.Records)), b.Topic)
	}
}

// sent measures one try of sending a batch.
func (c *Client) sent(ctx context.Context, to TopicPartition, n int, start time.Time, err error) {
	c.meter.Took(ctx, meter.SendDuration, time.Since(start), to.Topic, outcome(err))
	if err == nil {
		c.meter.Count(ctx, meter.SentMessages, int64(n), to.Topic)
	}
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "none"
}

func (c *Consumer) measureLag() {
	c.client.meter.Watch(func(_ context.Context, put func(meter.Name) meter.Put) error {
		for at, n := range c.Lag() {
			put(meter.ConsumerLag)(float64(n), at.Topic, strconv.Itoa(at.Partition), classOf(at.Topic))
		}
		return nil
	}, meter.ConsumerLag)
}

// classOf is the class that a topic is for.
func classOf(topic string) string {
	for _, class := range []string{"realtime", "bulk"} {
		if strings.Contains(topic, "."+class+".") {
			return class
		}
	}
	return "none"
}
