package writer

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/writer/protocol"
)

// carryOut lets calls and looks leave, each in a goroutine that the owner
// waits for; the turn's budget bounds how many there are.
func (o *owner) carryOut(ctx context.Context, e protocol.Effects) {
	decided := o.w.deps.Now()
	o.limit.spend(decided, e)
	for _, c := range e.Send {
		call := connector.Call{Key: c.ID, Items: append([]connector.Item(nil), c.Items...)}
		o.calls.Go(func() { o.answer(o.put(ctx, call, decided)) })
	}
	for _, l := range e.Looks {
		o.calls.Go(func() { o.looked(o.look(ctx, l)) })
	}
}

// patience is how long an answer is awaited.
func (o *owner) patience() time.Duration {
	return max(30*time.Second, o.conn.Claims.LongestRequest+5*time.Second)
}

// put sends a call unless the guard's time has passed: bytes leave soon after
// the decision, or not at all.
func (o *owner) put(ctx context.Context, c connector.Call, decided time.Time) protocol.Answer {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	ctx, span := o.span(ctx, "post", c.Items[0].OpID)
	defer span.End()
	span.SetAttributes(attribute.String("op.id", c.Items[0].OpID), attribute.String("op.effect", string(c.Items[0].Effect)), attribute.String("document.kind", string(c.Items[0].Kind)))
	if !protocol.MayLeave(o.conn.Claims.Guard, o.w.deps.Now().Sub(decided)) {
		span.SetAttributes(attribute.String("sync.outcome", "not_sent"))
		return protocol.Answer{Call: c.Key, NotSent: true}
	}
	crash.At(crash.WriterBeforeSend)
	started := o.w.deps.Now()
	outcomes := o.conn.Target.Put(ctx, c)
	crash.At(crash.WriterAfterSend)
	o.vendor(ctx, "put", started, worst(outcomes))
	for i := range outcomes {
		describe(span, outcomes[i])
		if fault.KindOf(outcomes[i].Err) == fault.Unresolved {
			o.refs.stale() // a table of the books changed under us
		}
	}
	return protocol.Answer{Call: c.Key, Outcomes: outcomes}
}

func describe(span trace.Span, out connector.Outcome) {
	if out.Err != nil {
		span.SetStatus(codes.Error, out.Err.Error())
		span.SetAttributes(attribute.String("error.type", fault.KindOf(out.Err).String()), attribute.String("sync.outcome", fault.KindOf(out.Err).String()))
		return
	}
	span.SetAttributes(attribute.String("sync.outcome", "ok"))
	if out.Posting != nil {
		span.SetAttributes(attribute.String("accounting.record", out.Posting.Ref.String()), attribute.String("accounting.invoice.number", out.Posting.Number))
	}
}

func (o *owner) look(ctx context.Context, l protocol.Look) protocol.LookAnswer {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	started := o.w.deps.Now()
	if l.Probe != nil {
		found, err := o.conn.Target.Find(ctx, *l.Probe)
		o.vendor(ctx, "find", started, err)
		return protocol.LookAnswer{Key: l.Key, Postings: found, Err: err}
	}
	if l.Lock {
		return o.lockDate(ctx, l)
	}
	p, err := o.conn.Target.Get(ctx, l.Kind, l.Ref)
	o.vendor(ctx, "get", started, err)
	if err != nil {
		return protocol.LookAnswer{Key: l.Key, Err: err}
	}
	return protocol.LookAnswer{Key: l.Key, Postings: []connector.Posting{p}}
}

func (o *owner) lockDate(ctx context.Context, l protocol.Look) protocol.LookAnswer {
	books, ok := o.conn.Target.(connector.Locker)
	if !ok {
		return protocol.LookAnswer{Key: l.Key}
	}
	started := o.w.deps.Now()
	through, err := books.LockedThrough(ctx)
	o.vendor(ctx, "lock", started, err)
	return protocol.LookAnswer{Key: l.Key, LockedThrough: through, Err: err}
}

// span continues the trace of the slot that the op belongs to: a sync that
// waited a day is still one trace.
func (o *owner) span(ctx context.Context, name, opID string) (context.Context, trace.Span) {
	parent, err := o.slotTrace(ctx, opID)
	if err != nil {
		o.w.deps.Log.DebugContext(ctx, "the op's slot was not read; its span stands alone", "op_id", opID, "error", err)
	}
	carrier := propagation.MapCarrier{"traceparent": parent}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	return o.w.deps.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("target", o.target)))
}
