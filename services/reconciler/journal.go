package reconciler

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

const (
	// journalWithin is how long a run waits for the journal: longer than it takes
	// until a fact that was lost on the way is sent again.
	journalWithin = 3 * time.Minute
	journalLook   = 200 * time.Millisecond
)

// whole waits until the journal holds all that the writer has told. With half a
// journal, what the writer itself changed would look like somebody's edit.
func (r *Reconciler) whole(ctx context.Context) error {
	told, err := r.deps.Told(ctx)
	if err != nil {
		return fmt.Errorf("ask what the writer has told: %w", err)
	}
	deadline := r.deps.Now().Add(r.deps.DB.Rest(journalWithin))
	for {
		behind, err := r.behind(ctx, told)
		if err != nil || behind == 0 {
			return err
		}
		if r.deps.Now().After(deadline) {
			return fmt.Errorf("the journal lacks %d of the writer's facts and nothing was compared: look at the lag of the consumer group tieout-%s, then reconcile again", behind, Name)
		}
		if !idle.For(ctx, journalLook) {
			return ctx.Err()
		}
	}
}

// behind counts the facts that were told and are not in the journal.
func (r *Reconciler) behind(ctx context.Context, told []trail.Head) (n int64, err error) {
	err = r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		taken, err := trail.Heads(tx, told)
		for i, h := range taken {
			n += max(0, told[i].Seq-h.Seq)
		}
		return err
	})
	return n, err
}
