package writer

import (
	"context"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
)

// measure has what waits, and what state the connections are in, read at each
// scrape.
func (w *Writer) measure() {
	w.deps.Meter.Watch(func(ctx context.Context, put func(meter.Name) meter.Put) error {
		return w.deps.DB.Read(ctx, func(tx *store.Tx) error { return w.measureLanes(tx, put) })
	}, meter.SlotsQueued, meter.OldestMoving, meter.Lanes)
	w.deps.Meter.Watch(func(ctx context.Context, put func(meter.Name) meter.Put) error {
		w.measureOwned(put)
		return w.deps.DB.Read(ctx, func(tx *store.Tx) error { return w.measureTargets(tx, put(meter.Paused)) })
	}, meter.Paused, meter.GrantLeft, meter.QuotaUsed, meter.QuotaLimit)
}

func (w *Writer) measureLanes(tx *store.Tx, put func(meter.Name) meter.Put) error {
	queued := func(class string) (n int64, err error) {
		err = tx.QueryRow(`SELECT COUNT(*) FROM slot WHERE state = 'queued' AND class = $1`, class).Scan(&n)
		return n, err
	}
	for _, class := range []string{"realtime", "bulk"} {
		n, err := queued(class)
		if err != nil {
			return err
		}
		put(meter.SlotsQueued)(float64(n), class)
	}
	for _, state := range []string{"waiting", "parked"} {
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM lane WHERE state = $1`, state).Scan(&n); err != nil {
			return err
		}
		put(meter.Lanes)(float64(n), state)
	}
	var oldest int64
	err := tx.QueryRow(`SELECT COALESCE(MIN(s.changed_at), 0) FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane
		WHERE s.state = 'queued' AND s.class = 'realtime' AND l.state NOT IN ('parked', 'waiting')`).Scan(&oldest)
	if err != nil {
		return err
	}
	since := 0.0
	if oldest > 0 {
		since = max(0, store.Time(tx.Now()).Sub(store.Time(oldest)).Seconds())
	}
	put(meter.OldestMoving)(since)
	return nil
}

// measureOwned tells the quota of the targets that this process owns, and how
// long each consent lasts.
func (w *Writer) measureOwned(put func(meter.Name) meter.Put) {
	now := w.deps.Now()
	for account := range w.deps.Connections {
		c, _ := w.deps.Registry.ByAccount(account)
		if o := w.owner(account); o != nil {
			used, limit, _ := o.limit.used(now)
			put(meter.QuotaUsed)(float64(used), c.ID)
			put(meter.QuotaLimit)(float64(limit), c.ID)
		}
		if w.deps.Vault == nil {
			continue
		}
		if tokens, ok := w.deps.Vault.of(c.ID); ok && tokens.ends() != nil {
			put(meter.GrantLeft)(tokens.ends().AsTime().Sub(now).Seconds(), c.ID)
		}
	}
}

func (w *Writer) measureTargets(tx *store.Tx, put meter.Put) error {
	rows, err := tx.Query(`SELECT target, state, held_by FROM target`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var target, state, heldBy string
		if err := rows.Scan(&target, &state, &heldBy); err != nil {
			return err
		}
		c, _ := w.deps.Registry.ByAccount(target)
		put(truth(state == "paused" && heldBy == ""), c.ID, "tieout")
		put(truth(heldBy != ""), c.ID, "person")
	}
	return rows.Err()
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
