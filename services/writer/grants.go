package writer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

const (
	day = 24 * time.Hour
	// grantsEvery is how often the ends of grants are looked at.
	grantsEvery = time.Hour
)

// alarmDays is the alarm that is due for a grant that ends in left, 0 for none.
func alarmDays(left time.Duration) int64 {
	for _, days := range []int64{1, 3, 14} {
		if left <= time.Duration(days)*day {
			return days
		}
	}
	return 0
}

// watchGrants tells a person in time that a consent ends, until ctx does.
func (w *Writer) watchGrants(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.checkGrants(ctx); err != nil && ctx.Err() == nil {
			w.deps.Log.WarnContext(ctx, "the ends of consents are looked at again later", "error", err)
		}
		idle.For(ctx, w.deps.DB.Rest(grantsEvery))
	}
}

// checkGrants raises and ends the alarms that are due. Replicas may do so at
// once: who changes the row is the one who speaks.
func (w *Writer) checkGrants(ctx context.Context) error {
	for account := range w.deps.Connections {
		c, ok := w.deps.Registry.ByAccount(account)
		if !ok {
			continue
		}
		err := w.deps.DB.Write(ctx, func(tx *store.Tx) error { return w.checkGrant(tx, c) })
		if err != nil {
			return fmt.Errorf("connection %s: %w", c.ID, err)
		}
	}
	w.relay.Wake()
	return nil
}

func (w *Writer) checkGrant(tx *store.Tx, c registry.Connection) error {
	var micros int64
	err := tx.QueryRow(`SELECT refresh_expires FROM credential WHERE connection = $1 AND purpose = 'api'`, c.ID).Scan(&micros)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	ends := store.Time(micros)
	days := int64(0)
	if micros > 0 {
		days = alarmDays(ends.Sub(store.Time(tx.Now())))
	}
	if days == 0 {
		return w.endGrantAlarm(tx, c)
	}
	id := "w-" + event.Digest("exception/v1", c.Account, "grant", fmt.Sprint(tx.Now()))[:16]
	var open string
	err = tx.QueryRow(`SELECT a.exception FROM grant_alarm a JOIN exception e ON e.id = a.exception WHERE a.connection = $1 AND e.state = 'open'`, c.ID).Scan(&open)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if open != "" {
		id = open
	}
	n, err := tx.Exec(`INSERT INTO grant_alarm (connection, days, exception) VALUES ($1, $2, $3)
		ON CONFLICT (connection) DO UPDATE SET days = $2, exception = $3 WHERE grant_alarm.days > $2`, c.ID, days, id)
	if err != nil || n == 0 {
		return err
	}
	return w.raiseGrantAlarm(tx, c, id, open == "", ends, days)
}

// raiseGrantAlarm says it on the trail each time, and in one exception.
func (w *Writer) raiseGrantAlarm(tx *store.Tx, c registry.Connection, id string, opens bool, ends time.Time, days int64) error {
	says := fmt.Sprintf("the consent of connection %s ends on %s: without a new one nothing is read or written there", c.ID, ends.UTC().Format("2006-01-02 15:04 UTC"))
	facts := []trail.Fact{{Type: "connection.expiring", Tenant: c.Tenant, Target: c.Account, Outcome: fmt.Sprintf("within %d days", days), Detail: says, Exception: id}}
	if opens {
		help := exception.HelpFor(exception.Credential)
		err := insertException(tx, &exception.Exception{
			ID: id, Kind: exception.Credential, State: exception.Open, Target: c.Account, Subject: c.Account, Reason: says, Owner: help.Owner,
			Fix: "tieout connections authorize " + c.ID, OpenedAt: store.Time(tx.Now()),
		})
		if err != nil {
			return err
		}
		facts = append(facts, trail.Fact{Type: "exception.opened", Tenant: c.Tenant, Target: c.Account, Outcome: string(exception.Credential), Detail: says, Exception: id})
	}
	return w.appendFacts(tx, facts...)
}

// endGrantAlarm releases what was opened about a grant that ended.
func (w *Writer) endGrantAlarm(tx *store.Tx, c registry.Connection) error {
	const why = "the consent was renewed"
	var id string
	err := tx.QueryRow(`DELETE FROM grant_alarm WHERE connection = $1 RETURNING exception`, c.ID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE exception SET state = $1, action = 'renewed', acted_by = $2, acted_at = $3, note = $4 WHERE id = $5 AND state = 'open'`,
		string(exception.Released), Name, tx.Now(), why, id)
	if err != nil || n == 0 {
		return err
	}
	return w.appendFacts(tx, trail.Fact{Type: "exception.acted", Tenant: c.Tenant, Target: c.Account, Outcome: "renewed", Detail: why, Exception: id})
}
