package transform

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/internal/trail"
)

// maxRendering is what a topic takes; larger documents are put in front of a person.
const maxRendering = 900 << 10

// rendered is what became of one record of a batch.
type rendered struct {
	rendering *document.Rendering
	trace     string
	cause     error // it does not decode and names no place
	record    *stream.Record
}

// handle renders a batch, has every rendering acknowledged by Kafka, and only
// then moves the offset row. A crash between the two renders again: the
// writer's slots absorb the repeat.
func (t *Transform) handle(ctx context.Context, b *stream.Batch) error {
	crash.At(crash.TransformBatchReceived)
	all := make([]rendered, 0, len(b.Records))
	out := make([]stream.Record, 0, len(b.Records))
	for i := range b.Records {
		r, message, err := t.render(ctx, b, &b.Records[i])
		if err != nil {
			return err
		}
		all = append(all, r)
		if message != nil {
			out = append(out, *message)
		}
	}
	crash.At(crash.TransformRendered)
	if err := t.deps.Bus.Produce(ctx, out); err != nil {
		return fmt.Errorf("publish renderings: %w", err)
	}
	crash.At(crash.TransformProduced)
	err := t.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if err := t.note(tx, all); err != nil {
			return err
		}
		crash.At(crash.TransformNoted)
		moved, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		crash.At(crash.TransformBeforeCommit)
		if err == nil && !moved {
			return stream.ErrNotOwner
		}
		return err
	})
	crash.At(crash.TransformCommitted)
	t.relay.Wake()
	if err == nil {
		t.measure(ctx, all)
	}
	return err
}

// render makes one rendering of one record; nil where it names no place.
func (t *Transform) render(ctx context.Context, b *stream.Batch, rec *stream.Record) (rendered, *stream.Record, error) {
	ctx, span := b.Process(ctx, rec)
	defer span.End()
	out := rendered{record: rec}
	e, err := event.Decode(rec.Value)
	if err == nil {
		out.rendering = t.byMapping(e)
	} else if out.rendering = placed(rec, err); out.rendering == nil {
		out.cause = err
		return out, nil, nil
	}
	body, err := document.Encode(out.rendering)
	if err == nil && len(body) > maxRendering && e != nil { // no broker would take it, and its partition would stand still
		out.rendering = mapping.Reject(e, out.rendering.MappingHash, document.Reason{Kind: string(exception.Size), Detail: fmt.Sprintf("the documents have %d bytes; a topic takes %d", len(body), maxRendering)})
		body, err = document.Encode(out.rendering)
	}
	r := out.rendering
	if err != nil {
		return out, nil, fmt.Errorf("encode the rendering of %s: %w", r.Ref, err)
	}
	describe(span, r)
	message := stream.Record{Topic: document.Topic(r.Class), Key: r.Target, Value: body, Headers: stream.Inject(ctx, headers(r))}
	out.trace = message.Header(stream.HeaderTraceParent)
	return out, &message, nil
}

// describe says what came of the event: ids and kinds, never what stands in it.
func describe(span trace.Span, r *document.Rendering) {
	outcome := telemetry.OK
	if r.Verdict == document.Rejected {
		outcome = telemetry.Rejected
		span.SetStatus(codes.Error, r.Reason.Kind)
		span.SetAttributes(attribute.String("error.type", r.Reason.Kind), attribute.String("error.field", r.Reason.Field), attribute.String("mapping.rule", r.Reason.Rule))
	}
	span.SetAttributes(attribute.String("tenant.id", r.Tenant), attribute.String("sync.id", r.EventID), attribute.String("crm.record.id", r.Ref), attribute.String("crm.customer.id", r.Customer),
		attribute.String("mapping.verdict", string(r.Verdict)), attribute.String(telemetry.SyncOutcome, outcome))
}

func (t *Transform) byMapping(e *event.Event) *document.Rendering {
	m := t.deps.Mappings[e.Mapping]
	entity, known := t.deps.Registry.Entity(e.Entity)
	if m == nil || !known {
		return mapping.Reject(e, "", document.Reason{Kind: string(exception.Mapping), Field: "mapping", Detail: "route " + e.Route + " names mapping " + strconv.Quote(e.Mapping) + " and entity " + strconv.Quote(e.Entity) + ", and one of them is not there"})
	}
	if e.Type == event.Empty {
		return mapping.Nothing(e, m.Hash)
	}
	r := m.Render(mapping.Input{Event: e, Entity: entity})
	if route, ok := t.deps.Registry.Route(e.Route); ok {
		r.UpdateOnly, r.Unmatched = route.UpdateOnly, document.Unmatched(route.Unmatched)
	}
	return r
}

// placed is a rejected rendering for an event that does not decode but whose
// headers say where it stands, so that its lane has no gap.
func placed(rec *stream.Record, cause error) *document.Rendering {
	seq, err := strconv.ParseInt(rec.Header(stream.HeaderSeq), 10, 64)
	class := event.Class(rec.Header(stream.HeaderClass))
	if err != nil || seq < 1 || !class.Valid() || rec.Header(stream.HeaderTarget) == "" || rec.Header(stream.HeaderLane) == "" || rec.Header(stream.HeaderEventID) == "" {
		return nil
	}
	return &document.Rendering{
		EventID: rec.Header(stream.HeaderEventID), Tenant: rec.Header(stream.HeaderTenant), Entity: rec.Header(stream.HeaderEntity), Target: rec.Header(stream.HeaderTarget),
		Lane: rec.Header(stream.HeaderLane), Seq: seq, Class: class, Ref: rec.Header("source-ref"), Customer: rec.Header("customer"), Render: 1, OccurredAt: rec.Time,
		Verdict: document.Rejected, Reason: document.Reason{Kind: string(exception.Validation), Detail: "the event does not decode: " + cause.Error()},
	}
}

// headers are the keys that people search by and the place in the lane.
func headers(r *document.Rendering) []stream.Header {
	return []stream.Header{
		{Key: stream.HeaderEventID, Value: r.EventID}, {Key: stream.HeaderTenant, Value: r.Tenant}, {Key: stream.HeaderEntity, Value: r.Entity},
		{Key: stream.HeaderTarget, Value: r.Target}, {Key: stream.HeaderLane, Value: r.Lane}, {Key: stream.HeaderSeq, Value: strconv.FormatInt(r.Seq, 10)},
		{Key: stream.HeaderClass, Value: string(r.Class)}, {Key: stream.HeaderType, Value: string(r.Type)}, {Key: stream.HeaderSchema, Value: "document.v1.Rendering"},
		{Key: "customer", Value: r.Customer}, {Key: "source-ref", Value: r.Ref},
	}
}

// note tells the trail what was rendered, and keeps what could not be.
func (t *Transform) note(tx *store.Tx, all []rendered) error {
	facts := make([]trail.Fact, 0, len(all))
	for i := range all {
		x := &all[i]
		if x.rendering != nil {
			facts = append(facts, fact(x.rendering, x.trace))
			continue
		}
		// A record without a value has an empty one.
		if _, err := tx.Exec(`INSERT INTO unreadable (topic, part, at_offset, body, cause, seen_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (topic, part, at_offset) DO NOTHING`,
			x.record.Topic, x.record.Partition, x.record.Offset, append([]byte{}, x.record.Value...), x.cause.Error(), tx.Now()); err != nil {
			return err
		}
	}
	return trail.Append(tx, facts...)
}

func fact(r *document.Rendering, parent string) trail.Fact {
	parts := make([]string, 0, len(r.Parts))
	for _, p := range r.Parts {
		parts = append(parts, p.Name+" "+string(p.Desired))
	}
	detail := strings.Join(parts, ", ")
	if r.Verdict == document.Rejected {
		detail = r.Reason.Detail
	}
	trace := ""
	if f := strings.Split(parent, "-"); len(f) == 4 {
		trace = f[1]
	}
	return trail.Fact{
		Stream: Name + "/" + r.Target + "/" + r.Entity, Type: "event.rendered", Actor: Name, Tenant: r.Tenant, Entity: r.Entity, Target: r.Target, Lane: r.Lane,
		SlotSeq: r.Seq, Outcome: string(r.Verdict), Subject: r.Ref, Customer: r.Customer, Rev: r.Rev, Route: r.Route, MappingHash: r.MappingHash,
		Approval: r.Approval, TraceID: trace, Detail: detail, SourceEventID: r.EventID, Render: r.Render,
	}
}
