package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/codes"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
)

const (
	produceDeadline = 3 * time.Second
	// produceFor is how long a batch is tried: longer than a failover (10 s).
	produceFor = 30 * time.Second
	// Limits of one request; a broker takes 1 MiB.
	batchRecords = 2000
	batchBytes   = 900_000
	// parallel bounds the partitions that one Produce sends to at a time.
	parallel = 16
)

// Produce writes the records and returns nil once all are acknowledged by all
// replicas in sync. The order within a partition is that of the slice; a failed
// acknowledgement may leave a record in the log twice. After an error any part
// of the records may have been written. Everything but a refusal of the records
// themselves is tried again for 30 s.
func (c *Client) Produce(ctx context.Context, records []Record) error {
	byPartition, err := c.place(ctx, records)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, parallel)
	errs := make(chan error, len(byPartition))
	var senders sync.WaitGroup
	for to, records := range byPartition {
		senders.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := c.send(ctx, to, records); err != nil {
				errs <- fmt.Errorf("produce to %s/%d: %w", to.Topic, to.Partition, err)
			}
		})
	}
	senders.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// place sorts the records by partition, keeping their order.
func (c *Client) place(ctx context.Context, records []Record) (map[TopicPartition][]*Record, error) {
	counts := map[string]int{}
	byPartition := map[TopicPartition][]*Record{}
	for i := range records {
		r := &records[i]
		if counts[r.Topic] == 0 {
			n, err := c.awaitTopic(ctx, r.Topic)
			if err != nil {
				return nil, err
			}
			counts[r.Topic] = n
		}
		to := TopicPartition{r.Topic, Partition(r.Key, counts[r.Topic])}
		byPartition[to] = append(byPartition[to], r)
	}
	return byPartition, nil
}

func (c *Client) awaitTopic(ctx context.Context, topic string) (int, error) {
	wait := backoff{first: 50 * time.Millisecond, last: time.Second}
	for end := time.Now().Add(produceFor); ; {
		n, err := c.partitions(ctx, topic)
		if err == nil {
			return n, nil
		}
		if time.Now().After(end) || !idle.For(ctx, wait.next()) {
			return 0, fmt.Errorf("find %s: %w", topic, err)
		}
	}
}

// send writes one partition's records, batch after batch, while nobody else in
// this process writes to it.
func (c *Client) send(ctx context.Context, to TopicPartition, records []*Record) error {
	lane := c.lane(to)
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-lane }()
	for len(records) > 0 {
		n := batchLength(records)
		if err := c.sendBatch(ctx, to, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

func (c *Client) lane(to TopicPartition) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lanes[to] == nil {
		c.lanes[to] = make(chan struct{}, 1)
	}
	return c.lanes[to]
}

// batchLength returns how many of the records fit one request, at least one.
func batchLength(records []*Record) int {
	size := 0
	for i, r := range records {
		size += len(r.Key) + len(r.Value) + 32
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 4
		}
		if i > 0 && (size > batchBytes || i == batchRecords) {
			return i
		}
	}
	return len(records)
}

func (c *Client) sendBatch(ctx context.Context, to TopicPartition, records []*Record) (err error) {
	ctx, span, headers := c.startSend(ctx, to, records)
	defer func() {
		if err != nil {
			span.SetStatus(codes.Error, "not acknowledged")
		}
		span.End()
	}()
	wait := backoff{first: 50 * time.Millisecond, last: time.Second}
	crash.At(crash.StreamBeforeProduce)
	for end := time.Now().Add(produceFor); ; {
		start := time.Now()
		err := c.tryBatch(ctx, to, wire(records, headers))
		c.sent(ctx, to, len(records), start, err)
		if err == nil {
			crash.At(crash.StreamAfterProduce)
		}
		if err == nil || refused(err) || time.Now().After(end) {
			return err
		}
		c.log.DebugContext(ctx, "produce again", "topic", to.Topic, "partition", to.Partition, "error", err)
		if !idle.For(ctx, wait.next()) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// wire makes the records of one attempt. They are not used again: an attempt
// that is out of time may still be reading them.
func wire(records []*Record, headers [][]Header) []kafka.Record {
	out := make([]kafka.Record, len(records))
	for i, r := range records {
		out[i] = kafka.Record{Time: r.Time, Key: kafka.NewBytes([]byte(r.Key)), Value: kafka.NewBytes(r.Value), Headers: make([]kafka.Header, len(headers[i]))}
		for j, h := range headers[i] {
			out[i].Headers[j] = kafka.Header{Key: h.Key, Value: []byte(h.Value)}
		}
	}
	return out
}

func (c *Client) tryBatch(ctx context.Context, to TopicPartition, records []kafka.Record) error {
	ctx, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	res, err := c.kafka.Produce(ctx, &kafka.ProduceRequest{Topic: to.Topic, Partition: to.Partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
	if err != nil {
		return err
	}
	for i, err := range res.RecordErrors {
		return &RefusedError{Record: i, Err: errors.Join(res.Error, err)}
	}
	return res.Error
}

// RefusedError means that the broker will never take this record.
type RefusedError struct {
	Record int // its place in the batch of its partition
	Err    error
}

// Error describes the refusal.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("record %d is refused: %v", e.Record, e.Err)
}

// Unwrap returns the broker's errors.
func (e *RefusedError) Unwrap() error { return e.Err }

// refused tells whether the records themselves are the reason.
func refused(err error) bool {
	var record *RefusedError
	if errors.As(err, &record) {
		return true
	}
	for _, code := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTimestamp, kafka.UnsupportedForMessageFormat, kafka.InvalidRecord} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
