package writer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/telemetry"
	"tieout.dev/services/writer/protocol"
)

// posting are the spans of a call, one for each of its items in the trace of the
// slot that the item belongs to: a sync that waited a day, or shared a call with
// others, is still one trace.
type posting []trace.Span

func (o *owner) startPost(ctx context.Context, items []connector.Item) (context.Context, posting) {
	parents, err := o.slotTraces(ctx, items)
	if err != nil {
		o.w.deps.Log.DebugContext(ctx, "the slots of a call were not read; its spans stand alone", "op_id", items[0].OpID, "error", err)
	}
	out := make(posting, len(items))
	first := ctx
	for i, item := range items {
		in := withTrace(ctx, parents[item.OpID])
		if i > 0 && !trace.SpanContextFromContext(in).IsSampled() {
			out[i] = trace.SpanFromContext(context.Background())
			continue
		}
		in, out[i] = o.w.deps.Tracer.Start(in, "post", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("target", o.target),
			attribute.String("op.id", item.OpID), attribute.String("op.effect", string(item.Effect)), attribute.String("document.kind", string(item.Kind)), attribute.Int("call.items", len(items))))
		if i == 0 {
			first = in
		}
	}
	return first, out
}

func (p posting) end() {
	for _, s := range p {
		s.End()
	}
}

// notSent says of each that the guard's time had passed.
func (p posting) notSent() {
	for _, s := range p {
		s.SetAttributes(attribute.String(telemetry.SyncOutcome, telemetry.Retried), attribute.String("error.type", "not_sent"))
	}
}

// describe says how an item ended: ids and codes, never the vendor's words, which
// may name people.
func (p posting) describe(i int, out connector.Outcome) {
	span := p[i]
	if out.Err == nil {
		span.SetAttributes(attribute.String(telemetry.SyncOutcome, telemetry.OK))
		if out.Posting != nil {
			span.SetAttributes(attribute.String("accounting.record", out.Posting.Ref.String()), attribute.String("accounting.invoice.number", out.Posting.Number),
				attribute.String("accounting.customer.id", out.Posting.Customer.String()))
		}
		return
	}
	kind, outcome := fault.KindOf(out.Err), telemetry.Retried
	switch kind {
	case fault.Rejected, fault.Unresolved, fault.Internal:
		outcome = telemetry.Rejected
	case fault.InDoubt:
		outcome = telemetry.Quarantined
	}
	span.SetStatus(codes.Error, kind.String())
	span.SetAttributes(attribute.String("error.type", kind.String()), attribute.String(telemetry.SyncOutcome, outcome))
	var known *fault.Error
	if errors.As(out.Err, &known) {
		span.SetAttributes(attribute.String("vendor.code", known.Code), attribute.String("error.field", known.Field))
	}
}

// slotTraces reads the traceparents of the slots that ops belong to, by op.
func (o *owner) slotTraces(ctx context.Context, items []connector.Item) (map[string]string, error) {
	ids, marks := make([]any, len(items)), make([]string, len(items))
	for i, item := range items {
		ids[i], marks[i] = item.OpID, fmt.Sprintf("$%d", i+1)
	}
	out := map[string]string{}
	err := o.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT o.op_id, s.trace FROM op o JOIN slot s ON s.target = o.target AND s.lane = o.lane AND s.seq = o.seq WHERE o.op_id IN (`+strings.Join(marks, ", ")+`)`, ids...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id, parent string
			if err := rows.Scan(&id, &parent); err != nil {
				return err
			}
			out[id] = parent
		}
		return rows.Err()
	})
	return out, err
}

func withTrace(ctx context.Context, parent string) context.Context {
	return stream.Extract(ctx, []stream.Header{{Key: stream.HeaderTraceParent, Value: parent}})
}

// traceTurn tells the traces of slots what a turn has decided, once that is
// stored: that a slot ended, or is parked behind an exception, and which. A trace
// without an end is of a sync that is late, and worth keeping.
func (o *owner) traceTurn(ctx context.Context, now time.Time, ch *protocol.Changes) {
	opened := map[string]*exception.Exception{}
	for i := range ch.Opened {
		opened[ch.Opened[i].ID] = &ch.Opened[i]
	}
	for i := range ch.Facts {
		f := &ch.Facts[i]
		if f.Slot == nil || f.Type != "slot.ended" && f.Type != "exception.opened" {
			continue
		}
		in := withTrace(ctx, f.Slot.Trace)
		if !trace.SpanContextFromContext(in).IsSampled() {
			continue
		}
		name := map[string]string{"slot.ended": "end", "exception.opened": "park"}[f.Type]
		_, span := o.w.deps.Tracer.Start(in, name, trace.WithTimestamp(now), trace.WithAttributes(attribute.String("target", o.target), attribute.String("sync.id", f.Slot.EventID),
			attribute.String("crm.record.id", f.Slot.Subject), attribute.String("crm.customer.id", f.Slot.Customer)))
		if f.Type == "slot.ended" {
			ended(span, f.Outcome)
		} else {
			parked(span, f, opened[f.Except])
		}
		span.End(trace.WithTimestamp(now))
	}
}

func ended(span trace.Span, outcome string) {
	outcome, _, _ = strings.Cut(outcome, ":")
	sync := telemetry.OK
	if outcome == string(protocol.Discarded) {
		sync = telemetry.Rejected
	}
	span.SetAttributes(attribute.String(telemetry.SyncOutcome, sync), attribute.String("slot.outcome", outcome), attribute.String(telemetry.SyncEnded, "true"))
}

func parked(span trace.Span, f *protocol.Fact, e *exception.Exception) {
	sync := telemetry.Rejected
	if f.Outcome == string(exception.Doubt) {
		sync = telemetry.Quarantined
	}
	span.SetStatus(codes.Error, f.Outcome)
	span.SetAttributes(attribute.String(telemetry.SyncOutcome, sync), attribute.String("exception.id", f.Except), attribute.String("exception.kind", f.Outcome), attribute.String("error.type", f.Outcome))
	if e != nil {
		span.SetAttributes(attribute.String("exception.owner", e.Owner), attribute.String("error.field", e.Field), attribute.String("mapping.rule", e.Rule), attribute.String("vendor.code", e.VendorCode))
	}
}
