package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
)

const (
	fetchSlack    = 2 * time.Second // what a fetch may take beyond MaxWait
	fetchMaxBytes = 64 << 20
)

// worker reads one partition in one generation.
type worker struct {
	c          *Consumer
	at         TopicPartition
	committed  int64 // the group's offset in Kafka when the generation began; negative: none
	generation int32
	marks      *marks
	progress   *progress
	beyond     int // how often in a row the row stood beyond the log's end
}

// run reads until reading ends; what handles a batch then has until handling ends.
func (w *worker) run(reading, handling context.Context) {
	wait := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for reading.Err() == nil {
		next, err := w.position(reading)
		if err == nil {
			crash.At(crash.StreamPositioned)
			err = w.consume(reading, handling, next, &wait)
		}
		if err != nil && reading.Err() == nil {
			w.c.log.WarnContext(reading, "partition waits", "topic", w.at.Topic, "partition", w.at.Partition, "error", err)
			idle.For(reading, wait.next())
		}
	}
}

// consume reads on from next until something has to be looked at anew.
func (w *worker) consume(reading, handling context.Context, next int64, wait *backoff) error {
	size := w.c.cfg.MaxBytes
	w.progress.reached(w.at, next)
	for reading.Err() == nil {
		b, high, err := w.fetch(reading, next, size)
		if err != nil {
			return err
		}
		w.c.setLag(w.at, max(high-next, 0))
		wait.reset()
		if len(b.Records) == 0 {
			if high <= next {
				w.progress.nothing(w.at)
			}
			if high > next { // a compacted stretch without a record, longer than a fetch
				size = min(2*size, fetchMaxBytes)
			}
			continue
		}
		size = w.c.cfg.MaxBytes
		crash.At(crash.StreamFetched)
		done, err := w.handle(reading, handling, b)
		if !done {
			return err
		}
		crash.At(crash.StreamHandled)
		next = b.End
		w.c.setLag(w.at, max(high-next, 0))
		w.marks.set(w.at, next)
		w.progress.reached(w.at, next)
	}
	return nil
}

// handle gives the batch to the handler until it is stored. False means that
// the row has to be read again.
func (w *worker) handle(reading, handling context.Context, b *Batch) (bool, error) {
	wait := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for {
		start := time.Now()
		err := w.c.cfg.Handle(handling, b)
		w.c.client.handled(handling, b, start, err)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, ErrNotOwner):
			return false, fmt.Errorf("batch [%d, %d): %w", b.First, b.End, err)
		case reading.Err() != nil:
			return false, err
		}
		w.c.log.WarnContext(handling, "batch is handled again", "topic", b.Topic, "partition", b.Partition, "first", b.First, "end", b.End, "error", err)
		if !idle.For(reading, wait.next()) {
			return false, nil
		}
	}
}

// fetch asks the partition's leader for what follows next, and returns the
// log's end with it.
func (w *worker) fetch(ctx context.Context, next int64, size int) (*Batch, int64, error) {
	start := time.Now()
	asking, cancel := context.WithTimeout(ctx, w.c.cfg.MaxWait+fetchSlack)
	defer cancel()
	res, err := w.c.client.kafka.Fetch(asking, &kafka.FetchRequest{Topic: w.at.Topic, Partition: w.at.Partition, Offset: next,
		MinBytes: 1, MaxBytes: int64(size), MaxWait: w.c.cfg.MaxWait})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, 0, fmt.Errorf("fetch from %d: %w", next, err)
	}
	b := &Batch{Topic: w.at.Topic, Partition: w.at.Partition, First: next, End: next, Generation: w.generation, group: w.c.cfg.Group, tracer: w.c.client.tracer}
	if err := b.read(res.Records); err != nil {
		return nil, 0, fmt.Errorf("read what follows %d: %w", next, err)
	}
	if len(b.Records) > 0 {
		w.c.polled(ctx, b, start)
	}
	return b, res.HighWatermark, nil
}

// read takes the records from First on; a broker answers with whole batches,
// which may begin earlier.
func (b *Batch) read(records kafka.RecordReader) error {
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		key, err := drain(r.Key)
		if err != nil {
			return err
		}
		value, err := drain(r.Value)
		if err != nil {
			return err
		}
		if r.Offset < b.End {
			continue
		}
		out := Record{Topic: b.Topic, Partition: b.Partition, Offset: r.Offset, Key: string(key), Value: value, Time: r.Time, Headers: make([]Header, len(r.Headers))}
		for i, h := range r.Headers {
			out.Headers[i] = Header{Key: h.Key, Value: string(h.Value)}
		}
		b.Records = append(b.Records, out)
		b.End = r.Offset + 1
	}
}

func drain(b kafka.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer func() { _ = b.Close() }()
	return kafka.ReadAll(b)
}
