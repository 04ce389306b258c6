package writer

import (
	"context"
	"errors"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/writer/protocol"
)

// place is a slot of the target at hand.
type place struct {
	lane string
	seq  int64
}

// connection is the id under which the target is configured.
func (o *owner) connection() string {
	c, _ := o.w.deps.Registry.ByAccount(o.target)
	return c.ID
}

func (o *owner) vendor(ctx context.Context, operation string, started time.Time, err error) {
	o.w.vendor(ctx, o.target, operation, started, err)
}

// vendor measures one operation at the account's system.
func (w *Writer) vendor(ctx context.Context, account, operation string, started time.Time, err error) {
	w.deps.Meter.Vendor(ctx, systemOf(account), operation, w.deps.Now().Sub(started), err)
}

// systemOf is the first part of an account.
func systemOf(account string) string {
	system, _, _ := strings.Cut(account, "/")
	return system
}

// worst is the first error of a call's items.
func worst(outcomes []connector.Outcome) error {
	for i := range outcomes {
		if outcomes[i].Err != nil {
			return outcomes[i].Err
		}
	}
	return nil
}

func hit(ok bool) string {
	if ok {
		return "hit"
	}
	return "miss"
}

// measureTurn measures a turn after its transaction, so that what was rolled
// back does not count.
func (o *owner) measureTurn(ctx context.Context, now time.Time, most budget, ch *protocol.Changes, received map[place]int64, err error) {
	m, took := o.w.deps.Meter, o.w.deps.Now().Sub(now)
	switch {
	case errors.Is(err, errFenced):
		m.Took(ctx, meter.TurnDuration, took, "fenced")
		m.Count(ctx, meter.Fenced, 1, o.connection())
		return
	case err != nil:
		m.Took(ctx, meter.TurnDuration, took, "failed")
		return
	}
	m.Took(ctx, meter.TurnDuration, took, "done")
	for i := range ch.Opened {
		m.Count(ctx, meter.ExceptionsNew, 1, string(ch.Opened[i].Kind))
	}
	for i := range ch.Facts {
		o.measureFact(ctx, now, &ch.Facts[i], received)
	}
	o.measureQuota(ctx, now, most)
}

func (o *owner) measureFact(ctx context.Context, now time.Time, f *protocol.Fact, received map[place]int64) {
	m, s := o.w.deps.Meter, f.Slot
	if s != nil {
		ctx = stream.Extract(ctx, []stream.Header{{Key: stream.HeaderTraceParent, Value: s.Trace}})
	}
	switch {
	case f.Type == "op.settled" && f.Op != nil:
		outcome, _, _ := strings.Cut(f.Outcome, ":")
		m.Count(ctx, meter.Ops, 1, string(f.Op.Kind), outcome)
	case (f.Type == "slot.ended" || f.Type == "slot.aside") && s != nil:
		outcome := f.Outcome
		if f.Type == "slot.aside" {
			outcome = string(protocol.Aside)
		}
		m.Count(ctx, meter.SlotsEnded, 1, string(s.Class), outcome)
		if at := received[place{s.Lane, s.Seq}]; at > 0 {
			m.Took(ctx, meter.HopDuration, now.Sub(store.Time(at)), "post", string(s.Class))
		}
		if r := s.Rendering; outcome == string(protocol.Posted) && r != nil && r.Cause != event.Reissue && r.Cause != event.Requeue && r.Cause != event.Repair {
			m.Took(ctx, meter.SyncDuration, now.Sub(r.OccurredAt), string(s.Class), systemOf(o.target))
		}
	}
}

// measureQuota tells how long the vendor's limits held everything back.
func (o *owner) measureQuota(ctx context.Context, now time.Time, most budget) {
	switch {
	case most.free > 0 && o.held.IsZero():
		o.held = now
	case most.free <= 0 && !o.held.IsZero():
		o.w.deps.Meter.Took(ctx, meter.QuotaWait, now.Sub(o.held), o.connection(), "none")
		o.held = time.Time{}
	}
}

// measureBatch counts what was received, once it is stored.
func (w *Writer) measureBatch(ctx context.Context, b *stream.Batch, repeats int64) {
	m, now := w.deps.Meter, w.deps.Now()
	m.Count(ctx, meter.Dedup, repeats, "slot", "repeat")
	m.Count(ctx, meter.Dedup, int64(len(b.Records))-repeats, "slot", "new")
	for i := range b.Records {
		r := &b.Records[i]
		m.Took(stream.Extract(ctx, r.Headers), meter.HopDuration, now.Sub(r.Time), "receive", r.Header(stream.HeaderClass))
	}
}
