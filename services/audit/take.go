package audit

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// take stores what is new of a batch, each fact as an entry, its search keys
// and a record of the public topic, in one transaction with the offset.
func (a *Audit) take(ctx context.Context, b *stream.Batch) error {
	crash.At(crash.AuditBatchReceived)
	facts := make([]*trail.Fact, 0, len(b.Records))
	origin := make(map[*trail.Fact]*stream.Record, len(b.Records))
	for i := range b.Records {
		f, err := trail.Decode(b.Records[i].Value)
		if err != nil {
			a.deps.Log.ErrorContext(ctx, "a fact does not decode; its stream's completer sends it again", "offset", b.Records[i].Offset, "error", err)
			continue
		}
		facts = append(facts, f)
		origin[f] = &b.Records[i]
	}
	var fresh []*trail.Fact
	err := a.deps.DB.Write(ctx, func(tx *store.Tx) (err error) {
		fresh, err = trail.Take(tx, facts)
		if err != nil {
			return err
		}
		for _, f := range fresh {
			if err := a.record(ctx, tx, f, origin[f]); err != nil {
				return fmt.Errorf("record fact %s: %w", f.EventID, err)
			}
		}
		moved, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		crash.At(crash.AuditBeforeCommit)
		if err == nil && !moved {
			return stream.ErrNotOwner
		}
		return err
	})
	crash.At(crash.AuditTaken)
	a.relay.Wake()
	if err == nil {
		a.measure(ctx, len(facts), fresh, origin)
	}
	return err
}

// record stores one fact; an entry that is there already is not published twice.
func (a *Audit) record(ctx context.Context, tx *store.Tx, f *trail.Fact, r *stream.Record) error {
	ctx, span := a.deps.Tracer.Start(parent(ctx, f, r), "record "+f.Type, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("tenant.id", f.Tenant), attribute.String("sync.id", f.SourceEventID), attribute.String("audit.event.id", f.EventID)))
	defer span.End()
	fresh, err := insertEntry(tx, f)
	if err != nil || !fresh {
		return err
	}
	crash.At(crash.AuditEntryStored)
	if err := index(tx, f); err != nil {
		return err
	}
	crash.At(crash.AuditIndexed)
	if err := note(tx, f); err != nil {
		return err
	}
	err = a.publish(ctx, tx, f)
	crash.At(crash.AuditPublished)
	return err
}

// parent is the trace that the fact belongs to: that of its record, or the one
// it names.
func parent(ctx context.Context, f *trail.Fact, r *stream.Record) context.Context {
	if carried := stream.Extract(ctx, r.Headers); trace.SpanContextFromContext(carried).IsValid() {
		return carried
	}
	if len(f.TraceID) != 32 || len(f.SourceEventID) < 16 {
		return ctx
	}
	named := []stream.Header{{Key: stream.HeaderTraceParent, Value: "00-" + f.TraceID + "-" + f.SourceEventID[:16] + "-01"}}
	return stream.Extract(ctx, named)
}
