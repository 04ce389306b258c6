package reconciler

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/reconciler/match"
)

// lookAgain is what LookAgain is unless it is set.
const lookAgain = 2 * time.Second

// reconcile compares every books target of an entity, or of all entities. A
// difference that is in one look and not in the next moves; it is no break.
func (r *Reconciler) reconcile(ctx context.Context, entity, period string) (run string, report *match.Report, err error) {
	run = "r-" + rand.Text()[:16]
	started := r.deps.Now()
	if err := r.begin(ctx, run, entity, period); err != nil {
		return run, nil, err
	}
	defer func() {
		r.ended(ctx, started, report, err)
		if end := r.end(context.WithoutCancel(ctx), run, entity, period, report, err); end != nil && err == nil {
			err = end
		}
	}()
	if err := r.whole(ctx); err != nil {
		return run, nil, err
	}
	var reports []*match.Report
	for _, t := range r.targets(entity) {
		one, err := r.look(ctx, t.entity, t.account, period, nil)
		if err != nil {
			return run, nil, err
		}
		if one.Unexplained() {
			if !idle.For(ctx, r.deps.LookAgain) {
				return run, nil, ctx.Err()
			}
			if one, err = r.look(ctx, t.entity, t.account, period, one.OpenIDs()); err != nil {
				return run, nil, err
			}
		}
		reports = append(reports, one)
	}
	report, err = match.Join(reports...)
	crash.At(crash.ReconcilerCompared)
	return run, report, err
}

type booksOf struct{ entity, account string }

// targets are the books that routes lead to, each once.
func (r *Reconciler) targets(entity string) []booksOf {
	var out []booksOf
	for _, route := range r.deps.Registry.Routes {
		t := booksOf{route.Entity, route.Target}
		if !route.WriteBack && (entity == "" || route.Entity == entity) && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func (r *Reconciler) begin(ctx context.Context, run, entity, period string) error {
	err := r.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO run (run, entity, period, state, started_at) VALUES ($1, $2, $3, 'running', $4)`, run, entity, period, tx.Now()); err != nil {
			return err
		}
		return r.told(tx, "run.started", entity, "", "run "+run+" of period "+period)
	})
	crash.At(crash.ReconcilerRunBegun)
	r.relay.Wake()
	return err
}

// told is a fact about an entity's reconciliation.
func (r *Reconciler) told(tx *store.Tx, typ, entity, outcome, detail string) error {
	e, _ := r.deps.Registry.Entity(entity)
	return trail.Append(tx, trail.Fact{Stream: Name + "/" + entity + "/" + entity, Type: typ, Actor: Name, Tenant: e.Tenant, Entity: entity, Outcome: outcome, Detail: detail})
}

// end stores what was found; a run that failed found nothing.
func (r *Reconciler) end(ctx context.Context, run, entity, period string, report *match.Report, cause error) error {
	err := r.deps.DB.Write(ctx, func(tx *store.Tx) error {
		state, detail, text := "failed", fmt.Sprint(cause), ""
		if cause == nil && report != nil {
			state, detail = "done", fmt.Sprintf("%d breaks", len(report.Breaks))
			if err := r.keep(tx, run, entity, period, report.Breaks); err != nil {
				return err
			}
			b, err := protojson.Marshal(answer(run, entity, period, report))
			if err != nil {
				return err
			}
			text = string(b)
		}
		if _, err := tx.Exec(`UPDATE run SET state = $1, ended_at = $2, detail = $3, report = $4 WHERE run = $5`, state, tx.Now(), detail, text, run); err != nil {
			return err
		}
		return r.told(tx, "run.ended", entity, state, "run "+run+": "+detail)
	})
	crash.At(crash.ReconcilerRunEnded)
	r.relay.Wake()
	return err
}
