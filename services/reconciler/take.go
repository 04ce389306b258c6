package reconciler

import (
	"context"
	"fmt"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// take keeps the journal: the newest posting of each document.
func (r *Reconciler) take(ctx context.Context, b *stream.Batch) error {
	crash.At(crash.ReconcilerBatchReceived)
	facts := make([]*trail.Fact, 0, len(b.Records))
	for i := range b.Records {
		f, err := trail.Decode(b.Records[i].Value)
		if err != nil {
			r.deps.Log.ErrorContext(ctx, "a fact does not decode; its stream's completer sends it again", "offset", b.Records[i].Offset, "error", err)
			continue
		}
		facts = append(facts, f)
	}
	err := r.deps.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := trail.Take(tx, facts)
		if err != nil {
			return err
		}
		for _, f := range fresh {
			if err := enter(tx, f); err != nil {
				return fmt.Errorf("enter fact %s: %w", f.EventID, err)
			}
		}
		moved, err := store.Advance(tx, b.Topic, b.Partition, b.First, b.End)
		if err == nil && !moved {
			return stream.ErrNotOwner
		}
		return err
	})
	crash.At(crash.ReconcilerTaken)
	return err
}

func enter(tx *store.Tx, f *trail.Fact) error {
	p := f.Posting
	settled := f.Type == "op.settled" && f.Outcome == "posted"
	found := f.Type == "link.created" && (f.Outcome == "matched" || f.Outcome == "merged") || f.Type == "link.voided" || f.Type == "link.credited"
	if p == nil || !settled && !found {
		return nil
	}
	if f.Outcome == "merged" && document.Kind(p.Kind).Financial() { // it was another record's until now
		if _, err := tx.Exec(`DELETE FROM journal WHERE target = $1 AND kind = $2 AND other_ref = $3 AND source_ref <> $4`, f.Target, p.Kind, p.OtherRef, p.SourceRef); err != nil {
			return err
		}
	}
	op := ""
	if len(f.OpIDs) > 0 {
		op = f.OpIDs[0]
	}
	_, err := tx.Exec(`INSERT INTO journal (target, source_ref, kind, part, n, other_ref, number, status, currency, net, tax, gross, issue_date, entity, op_id, settled_at, content)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		ON CONFLICT (target, source_ref, kind, part, n) DO UPDATE SET other_ref = $6, number = $7, status = $8, currency = $9, net = $10, tax = $11, gross = $12,
		issue_date = $13, entity = $14, op_id = $15, settled_at = $16, content = $17`,
		f.Target, p.SourceRef, p.Kind, p.Part, p.N, p.OtherRef, p.Number, p.Status, p.Gross.Currency, p.Net.Minor, p.Tax.Minor, p.Gross.Minor, p.IssueDate, f.Entity, op, store.Micros(f.Time), p.Content)
	crash.At(crash.ReconcilerFactEntered)
	return err
}
