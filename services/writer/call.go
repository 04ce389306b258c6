package writer

import (
	"context"
	"time"

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
		o.calls.Go(func() { o.looked(o.look(ctx, l, decided)) })
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
	ctx, spans := o.startPost(ctx, c.Items)
	defer spans.end()
	if !protocol.MayLeave(o.conn.Claims.Guard, o.w.deps.Now().Sub(decided)) {
		spans.notSent()
		return protocol.Answer{Call: c.Key, NotSent: true}
	}
	crash.At(crash.WriterBeforeSend)
	started := o.w.deps.Now()
	p := o.pass(decided)
	p.guard = o.conn.Claims.Guard
	outcomes := o.conn.Target.Put(p.on(ctx), c)
	if p.refused {
		spans.notSent()
		return protocol.Answer{Call: c.Key, NotSent: true}
	}
	crash.At(crash.WriterAfterSend)
	o.vendor(ctx, "put", started, worst(outcomes))
	for i := range outcomes {
		spans.describe(i, outcomes[i])
		if fault.KindOf(outcomes[i].Err) == fault.Unresolved {
			o.refs.stale() // a table of the books changed under us
		}
	}
	return protocol.Answer{Call: c.Key, Outcomes: outcomes}
}

func (o *owner) look(ctx context.Context, l protocol.Look, decided time.Time) protocol.LookAnswer {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	ctx = o.pass(decided).on(ctx)
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
