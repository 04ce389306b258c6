package writer

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// askAgain is how long is waited before others are asked once more.
const askAgain = time.Second

// lookBack asks the audit, once per process start and before the first turn,
// whether it has facts of ours that this database does not know. While it is
// silent nothing leaves.
func (w *Writer) lookBack(ctx context.Context) error {
	back, err := trail.LookBack(ctx, w.deps.DB, w.deps.Takers["audit"], func(err error) {
		w.deps.Log.WarnContext(ctx, "nothing is sent before the audit has told what it knows of this database", "error", err)
	})
	if back {
		_, err = w.MarkRestored(ctx, "the audit has facts that this database does not know", Name)
	}
	return err
}

// onGap: the group's offset is written after our row. If it is ahead of it,
// this database went back. While that is known already there is nothing to do.
func (w *Writer) onGap(ctx context.Context, g stream.Gap) error {
	if g.Kind != stream.GapBehindGroup {
		return nil
	}
	var known int64
	err := w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM target WHERE recovery_since > 0`).Scan(&known)
	})
	if err != nil || known > 0 {
		return err
	}
	_, err = w.MarkRestored(ctx, fmt.Sprintf("the group had read %s/%d up to %d, this database up to %d", g.Topic, g.Partition, g.Group, g.Row), Name)
	return err
}

// MarkRestored begins the recovery of every target: streams begin anew, owners
// are fenced, and nothing of the restored tables is sent again.
func (w *Writer) MarkRestored(ctx context.Context, why, actor string) (incarnation int64, err error) {
	w.deps.Log.WarnContext(ctx, "the database was set back; targets go to recovery", "why", why)
	err = w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		since, err := lastWritten(tx)
		if err != nil {
			return err
		}
		for _, s := range []struct {
			sql  string
			args []any
		}{
			// while a recovery is not over, an earlier life may have told more since it was gathered
			{`DELETE FROM past_stream WHERE NOT EXISTS (SELECT 1 FROM target WHERE recovery_since > 0)`, nil},
			{`INSERT INTO past_stream (stream, incarnation, last_seq) SELECT f.stream, f.incarnation, f.last_seq FROM fact_stream f
				WHERE f.stream <> '' AND NOT EXISTS (SELECT 1 FROM past_stream p WHERE p.stream = f.stream)`, nil},
			{`DELETE FROM told`, nil},
			{`DELETE FROM recalled`, nil},
			{`UPDATE call SET first_sent = 0 WHERE state <> 'settled'`, nil},
			{`UPDATE command SET state = 'dropped' WHERE state = 'waiting'`, nil},
			{`UPDATE exception SET state = 'released', action = 'restored', acted_by = 'tieout', acted_at = $1 WHERE state = 'open' AND id IN (SELECT exception FROM lane WHERE exception <> '')`, []any{tx.Now()}},
			{`UPDATE lane SET state = 'ready', exception = '', wake_at = 0, why = ''`, nil},
			{`DELETE FROM wait`, nil},
			{`UPDATE target SET epoch = epoch + 1, owner = '', recovery_gathered = 0, recovery_since = CASE WHEN recovery_since > 0 AND recovery_since < $1 THEN recovery_since ELSE $1 END,
				gens = CASE WHEN gens >= $2 THEN gens + 1 ELSE $2 END`, []any{since, tx.Now() / 1_000_000}},
		} {
			if _, err := tx.Exec(s.sql, s.args...); err != nil {
				return err
			}
		}
		if incarnation, err = trail.Reincarnate(tx); err != nil {
			return err
		}
		return w.tellTargets(tx, "target.restored", why, actor)
	})
	if err != nil {
		return 0, fmt.Errorf("mark the writer's database as restored: %w", err)
	}
	w.relay.Wake()
	signalOne(w.restored)
	return incarnation, nil
}

// lastWritten is when this database was last written to before it was set back:
// every change says a fact.
func lastWritten(tx *store.Tx) (at int64, err error) {
	err = tx.QueryRow(`SELECT COALESCE(MAX(at), 1) FROM (SELECT MAX(created_at) AS at FROM outbox UNION ALL SELECT MAX(received_at) FROM slot UNION ALL SELECT MAX(last_sent) FROM call) AS written`).Scan(&at)
	return max(at, 1), err
}

func (w *Writer) tellTargets(tx *store.Tx, what, why, actor string) error {
	var facts []trail.Fact
	for account := range w.deps.Connections {
		c, _ := w.deps.Registry.ByAccount(account)
		facts = append(facts, trail.Fact{Type: what, Tenant: c.Tenant, Target: account, Detail: why, Actor: actor})
	}
	return w.appendFacts(tx, facts...)
}

func signalOne(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// recovering lists the targets in recovery, gathered or not.
func (w *Writer) recovering(ctx context.Context) (open, gathered []string, err error) {
	err = w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		open, gathered = nil, nil
		rows, err := tx.Query(`SELECT target, recovery_gathered FROM target WHERE recovery_since > 0 ORDER BY target`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var target string
			var done int64
			if err := rows.Scan(&target, &done); err != nil {
				return err
			}
			if done == 1 {
				gathered = append(gathered, target)
			} else {
				open = append(open, target)
			}
		}
		return rows.Err()
	})
	return open, gathered, err
}

// recover gathers what others know as soon as the database was set back, and
// ends the recovery once books and links agree.
func (w *Writer) recover(ctx context.Context) {
	since := map[string]time.Time{} // targets whose recovery this process has seen gathered
	next := certifyEvery
	for {
		open, gathered, err := w.recovering(ctx)
		for _, target := range open {
			next = certifyEvery
			delete(since, target)
			err = w.try(ctx, "gather what others know of "+target, w.gather(ctx, target), err)
		}
		for _, target := range gathered {
			if _, seen := since[target]; !seen {
				since[target] = w.deps.Now()
			}
			err = w.try(ctx, "compare books and links of "+target, w.certify(ctx, target, since[target]), err)
		}
		rest := w.deps.DB.Rest(idleTurn)
		switch {
		case err != nil || len(open) > 0:
			rest = askAgain
		case len(gathered) > 0:
			rest = next
			next = min(2*next, certifyMost)
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.restored:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// try reports an error and keeps the first.
func (w *Writer) try(ctx context.Context, what string, err, before error) error {
	if err != nil && ctx.Err() == nil {
		w.deps.Log.WarnContext(ctx, "not yet: "+what, "error", err)
	}
	if before != nil {
		return before
	}
	return err
}
