package transform

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

const rules = `
mapping: m
version: "1"
source: {system: hubspot, type: deal}
target: [MARKER]
schema:
  deal: {id: text, to: text}
parts:
  - name: marker
    kind: MARKER
    mode: own
    subject: event.ref
    fields: {record: deal.to, id: deal.id, status: "'open'"}
`

type world struct {
	t   *testing.T
	bus *stream.Client
	db  *store.DB
	tr  *Transform
}

func open(t *testing.T) *world {
	t.Helper()
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	parts, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parts.Close() })
	bus, err := stream.NewClient(stream.Config{Brokers: parts.Kafka, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	var topics []stream.Topic
	for _, c := range []event.Class{event.Realtime, event.Bulk} {
		topics = append(topics, stream.Topic{Name: c.Topic(), Partitions: 1}, stream.Topic{Name: document.Topic(c), Partitions: 1})
	}
	if err := bus.EnsureTopics(t.Context(), append(topics, stream.Topic{Name: trail.Topic, Partitions: 1})); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: filepath.Join(dir, "t.db"), Name: Name, Migrations: Migrations}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	mappings := map[string]*mapping.Mapping{}
	for name, text := range map[string]string{"m": rules, "twice": strings.NewReplacer("mapping: m", "mapping: twice", `"'open'"`, "deal.id").Replace(rules)} {
		if mappings[name], err = mapping.Load(name+".yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, bus: bus, db: db}
	w.tr, err = New(Deps{
		DB: db, Bus: bus, Registry: &registry.Registry{Entities: []registry.Entity{{ID: "ie", Zone: "UTC", Currency: "EUR"}}}, Mappings: mappings,
		Tracer: noop.NewTracerProvider().Tracer(""), Log: quiet, Now: time.Now, Instance: "one",
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) event(class event.Class, seq int64, mappingName, data string) stream.Record {
	w.t.Helper()
	ref := event.Ref{System: "hubspot", Account: "1", Type: "deal", ID: strconv.FormatInt(seq, 10)}
	e := &event.Event{
		ID: event.ID(ref.String(), 1, "r", 1), Entity: "ie", Route: "r", Mapping: mappingName, Target: "quickbooks/9", Lane: "l", Seq: seq, Class: class, Ref: ref, Rev: 1,
		SlotNo: 1, Render: 1, Cause: event.Change, Type: event.Put, OccurredAt: time.Now(), Data: []byte(data),
	}
	b, err := event.Encode(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return stream.Record{Topic: class.Topic(), Key: e.Lane, Value: b, Headers: []stream.Header{
		{Key: stream.HeaderEventID, Value: e.ID}, {Key: stream.HeaderTarget, Value: e.Target}, {Key: stream.HeaderLane, Value: e.Lane},
		{Key: stream.HeaderSeq, Value: strconv.FormatInt(seq, 10)}, {Key: stream.HeaderClass, Value: string(class)},
	}}
}

// renderings runs transform and a reader beside it until so many are there.
func (w *world) renderings(n int) []*document.Rendering {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer stop()
	got := make(chan *document.Rendering, 100)
	reader, err := store.Open(ctx, storetest.On(w.t, store.Config{Path: filepath.Join(w.t.TempDir(), "r.db"), Name: "reader"}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer reader.Close()
	c, err := stream.NewConsumer(w.bus, stream.ConsumerConfig{
		Group: "reader-" + strconv.Itoa(n), Topics: []string{document.Topic(event.Realtime), document.Topic(event.Bulk)}, Offsets: reader,
		Handle: func(ctx context.Context, b *stream.Batch) error {
			for i := range b.Records {
				r, err := document.Decode(b.Records[i].Value)
				if err != nil {
					return err
				}
				got <- r
			}
			return reader.Write(ctx, func(tx *store.Tx) error {
				_, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
				return err
			})
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- w.tr.Run(ctx) }()
	go func() { done <- c.Run(ctx) }()
	var out []*document.Rendering
	for len(out) < n {
		select {
		case r := <-got:
			out = append(out, r)
		case <-ctx.Done():
			w.t.Fatalf("%d of %d renderings", len(out), n)
		}
	}
	stop()
	for range 2 {
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	}
	return out
}

// Every event has exactly one rendering: a good one, one whose mapping is not
// there, one that does not decode but names its place. One that names none is
// kept and the batch goes on.
func TestEveryEventHasOneRendering(t *testing.T) {
	w := open(t)
	broken, lost := w.event(event.Realtime, 3, "m", `{}`), stream.Record{Topic: event.Realtime.Topic(), Key: "l", Value: []byte("\xff\xff")}
	broken.Value = []byte("\xff\xff")
	if err := w.bus.Produce(t.Context(), []stream.Record{
		w.event(event.Realtime, 1, "m", `{"id":"1","to":"hubspot/1/deal/1"}`), w.event(event.Realtime, 2, "gone", `{}`), broken, lost,
		w.event(event.Bulk, 4, "m", `{"id":"4","to":"hubspot/1/deal/4"}`), w.event(event.Realtime, 5, "m", `not json`), {Topic: event.Realtime.Topic()},
		w.event(event.Realtime, 6, "twice", `{"id":"`+strings.Repeat("x", 600<<10)+`","to":"hubspot/1/deal/6"}`), // more than a broker takes, once it is rendered
		w.event(event.Realtime, 7, "m", `{"id":"7","to":"hubspot/1/deal/7"}`),
	}); err != nil {
		t.Fatal(err)
	}
	want := map[int64]document.Verdict{1: document.Documents, 2: document.Rejected, 3: document.Rejected, 4: document.Documents, 5: document.Rejected, 6: document.Rejected, 7: document.Documents}
	for _, r := range w.renderings(7) {
		if r.Seq == 6 && r.Reason.Kind != string(exception.Size) {
			t.Errorf("what is too large is rejected for %+v", r.Reason)
		}
		if want[r.Seq] != r.Verdict {
			t.Errorf("slot %d is %s, want %s", r.Seq, r.Verdict, want[r.Seq])
		}
		if r.Verdict == document.Rejected && (r.Reason.Kind == "" || r.Reason.Detail == "") {
			t.Errorf("slot %d is rejected without a reason: %+v", r.Seq, r.Reason)
		}
		if (r.Class == event.Bulk) != (r.Seq == 4) {
			t.Errorf("slot %d travels as %s", r.Seq, r.Class)
		}
		delete(want, r.Seq)
	}
	if len(want) != 0 {
		t.Errorf("without a rendering: %v", want)
	}
	w.kept(t)
}

func (w *world) kept(t *testing.T) {
	t.Helper()
	var unreadable, facts int64
	err := w.db.Read(t.Context(), func(tx *store.Tx) error {
		if err := tx.QueryRow(`SELECT COUNT(*) FROM unreadable`).Scan(&unreadable); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT COUNT(*) FROM outbox`).Scan(&facts)
	})
	if err != nil || unreadable != 2 || facts != 7 {
		t.Errorf("%d unreadable events kept, %d facts, %v", unreadable, facts, err)
	}
}

// A crash after the renderings were acknowledged and before the offset moved
// publishes them again, the same to the byte.
func TestACrashRendersAgain(t *testing.T) {
	w := open(t)
	rec := w.event(event.Realtime, 1, "m", `{"id":"1","to":"hubspot/1/deal/1"}`)
	if err := w.bus.Produce(t.Context(), []stream.Record{rec}); err != nil {
		t.Fatal(err)
	}
	first := w.renderings(1)[0]
	err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE consumer_offset SET next = 0`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	again := w.renderings(2)
	a, _ := document.Encode(first)
	for _, r := range again {
		if b, _ := document.Encode(r); string(a) != string(b) {
			t.Errorf("rendered again as %+v, was %+v", r, first)
		}
	}
}
