package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// GapKind says how the offset row and the log do not fit each other.
type GapKind string

// The kinds of gaps. After the first two the row stays or moves and records may
// be missing in the log; after the others the database itself may have gone back.
const (
	// GapTrimmed: retention removed records before they were read.
	GapTrimmed GapKind = "trimmed"
	// GapRenewed: the topic was made anew; it is read from its beginning.
	GapRenewed GapKind = "renewed"
	// GapBeyondEnd: the log ends before the row; its tail was lost. Reading goes
	// on at the end.
	GapBeyondEnd GapKind = "beyond_end"
	// GapBehindGroup: the group's offset, written after the row, is ahead of it:
	// this database went back. Reading goes on at the row.
	GapBehindGroup GapKind = "behind_group"
)

// Gap tells what was found when a partition was taken over.
type Gap struct {
	Topic      string
	Partition  int
	Kind       GapKind
	Row        int64 // where the row stood
	Group      int64 // the group's offset in Kafka; negative if there is none
	Start, End int64 // the log
	Resume     int64 // where reading goes on
}

// beyondChecks is how often the end of the log must be found before the row:
// a new leader may not know its whole log for a moment.
const beyondChecks = 3

// errSettling means that the row seems to be beyond the end; it is looked at again.
var errSettling = errors.New("the log seems to end before the offset row")

// position finds where to go on: at the row, if the log has it.
func (w *worker) position(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	start, end, err := w.c.client.Bounds(ctx, w.at.Topic, w.at.Partition)
	if err != nil {
		return 0, err
	}
	id, err := w.c.client.topicID(ctx, w.at.Topic)
	if err != nil {
		return 0, err
	}
	row, rowID, known, err := w.c.cfg.Offsets.Offset(ctx, w.at.Topic, w.at.Partition)
	if err != nil {
		return 0, err
	}
	gap := Gap{Topic: w.at.Topic, Partition: w.at.Partition, Row: row, Group: w.committed, Start: start, End: end, Resume: row}
	switch {
	case !known:
		gap.Kind, gap.Resume = GapBehindGroup, start
		if err := w.report(ctx, gap, gap.Group > start); err != nil {
			return 0, err
		}
		return start, w.c.cfg.Offsets.StartOffset(ctx, gap.Topic, gap.Partition, start, id)
	case rowID != id:
		gap.Kind, gap.Resume = GapRenewed, start
	case row < start:
		gap.Kind, gap.Resume = GapTrimmed, start
	case row > end:
		if w.beyond++; w.beyond < beyondChecks {
			return 0, fmt.Errorf("%w: row %d, end %d", errSettling, row, end)
		}
		gap.Kind, gap.Resume = GapBeyondEnd, end
	default:
		w.beyond = 0
		gap.Kind = GapBehindGroup
		return row, w.report(ctx, gap, gap.Group > row)
	}
	return w.reset(ctx, gap, id)
}

// reset moves the row to where the log can be read.
func (w *worker) reset(ctx context.Context, gap Gap, id string) (int64, error) {
	if err := w.report(ctx, gap, true); err != nil {
		return 0, err
	}
	if err := w.c.cfg.Offsets.ResetOffset(ctx, gap.Topic, gap.Partition, gap.Row, gap.Resume, id); err != nil {
		return 0, err
	}
	w.beyond = 0
	w.marks.set(w.at, gap.Resume)
	return gap.Resume, nil
}

// report tells of a gap; the group's offset is compared once for each generation.
func (w *worker) report(ctx context.Context, gap Gap, found bool) error {
	w.committed = -1
	if !found {
		return nil
	}
	w.c.log.WarnContext(ctx, "offset row and log do not fit", "gap", gap)
	if w.c.cfg.OnGap == nil {
		return nil
	}
	return w.c.cfg.OnGap(ctx, gap)
}

// Bounds returns a partition's first offset and its end.
func (c *Client) Bounds(ctx context.Context, topic string, partition int) (start, end int64, err error) {
	bounds := [2]int64{}
	for i, which := range []int64{kafka.FirstOffset, kafka.LastOffset} {
		asking, cancel := context.WithTimeout(ctx, produceDeadline)
		res, err := c.kafka.ListOffsets(asking, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {{Partition: partition, Timestamp: which}}}})
		cancel()
		if err != nil {
			return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, err)
		}
		if len(res.Topics[topic]) == 0 {
			return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, kafka.UnknownTopicOrPartition)
		}
		p := res.Topics[topic][0]
		if p.Error != nil {
			return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, p.Error)
		}
		bounds[i] = max(p.FirstOffset, p.LastOffset)
	}
	return bounds[0], bounds[1], nil
}
