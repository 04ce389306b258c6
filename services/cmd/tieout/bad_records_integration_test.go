//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// badRecords: on every topic that a service reads lies what does not decode, what
// has neither key nor value, and what only seems to be one of ours. Each is put in
// front of a person, or is sent again by whom it came from; what comes after it is
// synced as ever, and nobody restarts. What a broker does not take is refused.
func (o *outside) badRecords(ctx context.Context, l *lab.Lab, d *deals) {
	o.t.Helper()
	pids := map[string]int{}
	for _, name := range []string{"ingest", "transform", "writer", "reconciler", "audit"} {
		pids[name] = l.PID(name, 1)
	}
	books := o.file.Sandboxes["quickbooks"].Account
	for _, topic := range []string{event.Realtime.Topic(), event.Bulk.Topic(), document.Topic(event.Realtime), document.Topic(event.Bulk), trail.Topic} {
		placed := []kafka.Header{{Key: stream.HeaderEventID, Value: []byte("none-" + topic)}, {Key: stream.HeaderTarget, Value: []byte(books)}, {Key: stream.HeaderLane, Value: []byte("bad/" + topic)},
			{Key: stream.HeaderSeq, Value: []byte("1")}, {Key: stream.HeaderClass, Value: []byte("realtime")}}
		for p := range 6 {
			records := []kafka.Record{{}, {Value: kafka.NewBytes([]byte("\xff\xff no record of ours"))}, {Key: kafka.NewBytes([]byte("k"))}}
			if p == 0 {
				records = append(records, kafka.Record{Value: kafka.NewBytes([]byte("\xff\xff")), Headers: placed})
			}
			o.put(ctx, topic, p, records)
		}
	}
	d.win("after bad records")
	o.until("the invoice after them", func() bool { return len(o.live()["after bad records"]) == 1 })
	var open struct {
		Items []struct{ Kind, Lane, Reason string }
	}
	o.until("the exceptions", func() bool {
		open.Items = nil
		if err := json.Unmarshal([]byte(o.run("exceptions", "list", "-o", "json")), &open); err != nil {
			o.t.Fatal(err)
		}
		lanes, nameless := 0, 0
		for _, e := range open.Items {
			if strings.HasPrefix(e.Lane, "bad/") && e.Kind == "validation" {
				lanes++
			}
			if strings.Contains(e.Reason, "names no place") {
				nameless++
			}
		}
		// Of the four topics that lead to the writer each has one lane with a bad
		// record; of its own two it keeps each record of 6 partitions that names none.
		return lanes == 4 && nameless == 2*6*3
	})
	for name, pid := range pids {
		if now := l.PID(name, 1); now != pid {
			o.t.Errorf("%s was restarted", name)
		}
		if !l.Ready(ctx, name) {
			o.t.Errorf("%s is not ready", name)
		}
	}
	cl, err := bus(l)
	if err != nil {
		o.t.Fatal(err)
	}
	defer cl.Close()
	var refused *stream.RefusedError
	from := time.Now()
	err = cl.Produce(ctx, []stream.Record{{Topic: event.Bulk.Topic(), Key: "k", Value: make([]byte, 2<<20)}})
	if err == nil || !errors.As(err, &refused) && !errors.Is(err, kafka.MessageSizeTooLarge) || time.Since(from) > 10*time.Second {
		o.t.Errorf("a record of 2 MiB: %v after %s", err, time.Since(from))
	}
}

// put writes records as they are, nulls too.
func (o *outside) put(ctx context.Context, topic string, partition int, records []kafka.Record) {
	o.t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	cl := &kafka.Client{Addr: kafka.TCP(o.file.Kafka...), Transport: transport, Timeout: 10 * time.Second}
	res, err := cl.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
	if err != nil || res.Error != nil {
		o.t.Fatal(topic, partition, err, res)
	}
}

// What a consumer meets on one lab without secrets: bad records, and traces.
func TestBadRecordsAndTracesOnRealParts(t *testing.T) {
	o, l, d := tracedLab(t)
	drill.Injected(t, 1, 37)
	drill.Injected(t, 30, 38, 39) // in each of six partitions of five topics
	ctx, cancel := context.WithTimeout(t.Context(), labWithin)
	defer cancel()
	o.checkTraces(ctx, l, d)
	o.badRecords(ctx, l, d)
}
