package reconciler

import (
	"context"
	"time"

	"tieout.dev/services/internal/registry"
)

// schedule reconciles the running month of each entity, again and again, and
// repairs what needs no person. Several processes may try: a lease lets one.
func (r *Reconciler) schedule(ctx context.Context) error {
	if r.deps.Every <= 0 {
		return nil
	}
	tick := time.NewTicker(r.deps.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		mine, err := r.deps.DB.Lease(ctx, "schedule", r.deps.Instance)
		if err != nil || !mine {
			continue
		}
		for _, e := range r.deps.Registry.Entities {
			if err := r.scheduled(ctx, e.ID); err != nil && ctx.Err() == nil {
				r.deps.Log.WarnContext(ctx, "the scheduled reconciliation failed; the next one comes", "entity", e.ID, "error", err)
			}
		}
	}
}

func (r *Reconciler) scheduled(ctx context.Context, entity string) error {
	_, report, err := r.reconcile(ctx, entity, r.deps.Now().UTC().Format("2006-01"))
	if err != nil || !report.Unexplained() {
		return err
	}
	breaks, err := r.breaks(ctx, nil, registry.Scope{})
	if err != nil {
		return err
	}
	for _, b := range breaks {
		if b.entity != entity || b.state == repairing || !repairsItself(b.cause) {
			continue
		}
		if err := r.repair(ctx, b, "recheck", Name, "found by the schedule"); err != nil {
			return err
		}
	}
	return nil
}

// repairsItself: what was never posted is read again without asking anybody.
func repairsItself(cause string) bool { return cause == "never_posted" }
