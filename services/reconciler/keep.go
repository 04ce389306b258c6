package reconciler

import (
	"context"
	"fmt"

	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/reconciler/match"
)

// keep stores what a run found. One of the same entity and period that is not
// seen any more is repaired.
func (r *Reconciler) keep(tx *store.Tx, run, entity, period string, breaks []match.Break) error {
	for _, b := range breaks {
		if err := r.tell(tx, b); err != nil {
			return err
		}
		if err := outdate(tx, b); err != nil {
			return err
		}
		// A person may have accepted it, or had it read again, while the lists were read.
		if _, err := tx.Exec(`INSERT INTO breaks (id, run, entity, target, kind, cause, source_ref, books_ref, amount, currency, state, seen_at, repair, period, difference, actor, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
			ON CONFLICT (id) DO UPDATE SET run = $2, cause = $6, amount = $9, currency = $10, seen_at = $12, repair = $13, difference = $15,
			state = CASE WHEN $11 = 'open' AND (breaks.state = 'repairing' OR breaks.state = 'accepted' AND breaks.difference = $15) THEN breaks.state ELSE $11 END,
			actor = CASE WHEN $11 = 'accepted' THEN $16 ELSE breaks.actor END, reason = CASE WHEN $11 = 'accepted' THEN $17 ELSE breaks.reason END`,
			b.ID, run, b.Entity, b.Target, string(b.Kind), b.Cause, b.SourceRef, b.BooksRef, b.Amount.Minor, b.Amount.Currency, b.State, tx.Now(), b.Repair, period,
			b.Difference, b.Acceptance.Actor, b.Acceptance.Reason); err != nil {
			return err
		}
	}
	return settle(tx, run, entity, period)
}

// tell puts an open difference on the trail, once for all periods that it is
// found in, so that the record's own history names it.
func (r *Reconciler) tell(tx *store.Tx, b match.Break) error {
	if b.State != match.Open {
		return nil
	}
	var known int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM breaks WHERE difference = $1 AND state IN ('open', 'repairing', 'accepted')`, b.Difference).Scan(&known); err != nil || known > 0 {
		return err
	}
	subject := b.SourceRef
	if subject == "" {
		subject = b.BooksRef
	}
	e, _ := r.deps.Registry.Entity(b.Entity)
	return trail.Append(tx, trail.Fact{
		Stream: Name + "/" + b.Entity + "/" + b.Entity, Type: "break.opened", Actor: Name, Tenant: e.Tenant, Entity: b.Entity, Subject: subject, Outcome: b.Cause,
		Detail: fmt.Sprintf("break %s: %s, source minus books %s %s. %s", b.ID, b.Kind, b.Amount.Major(), b.Amount.Currency, b.Repair),
	})
}

// outdate ends the acceptance of what differed before and differs otherwise now.
func outdate(tx *store.Tx, b match.Break) error {
	_, err := tx.Exec(`DELETE FROM accepted WHERE difference IN (SELECT difference FROM breaks WHERE id = $1 AND difference <> $2)`, b.ID, b.Difference)
	return err
}

// settle ends what the run covers and did not see; should it come again, a person
// is asked again.
func settle(tx *store.Tx, run, entity, period string) error {
	const unseen = ` WHERE run <> $1 AND period = $2 AND ($3 = '' OR entity = $3) AND state IN ('open', 'repairing', 'accepted')`
	if _, err := tx.Exec(`DELETE FROM accepted WHERE difference IN (SELECT difference FROM breaks`+unseen+`)`, run, period, entity); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE breaks SET state = 'repaired'`+unseen, run, period, entity)
	return err
}

// accepted are the differences that persons accepted.
func (r *Reconciler) accepted(ctx context.Context) (map[string]match.Acceptance, error) {
	out := map[string]match.Acceptance{}
	err := r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT difference, actor, reason FROM accepted`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var difference string
			var a match.Acceptance
			if err := rows.Scan(&difference, &a.Actor, &a.Reason); err != nil {
				return err
			}
			out[difference] = a
		}
		return rows.Err()
	})
	return out, err
}
