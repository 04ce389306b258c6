package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/audit/notify"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// Notices say how people are told of exceptions.
type Notices struct {
	Channels []notify.Channel
	// Wait is how long the first of a kind waits for others like it: an outage
	// opens a thousand within seconds.
	Wait time.Duration
	// Every is the least time between two messages about the same.
	Every time.Duration
	// Console and Runbook are addresses; Console may be "".
	Console, Runbook string
}

const (
	noticeTick   = time.Second
	firstResend  = 10 * time.Second
	longResend   = 15 * time.Minute
	resendFor    = 24 * time.Hour
	messagesKept = 30 * 24 * time.Hour
)

// States of a message.
const (
	messageDue    = "due"
	messageSent   = "sent"
	messageFailed = "failed"
)

// note keeps what people are to be told, in the transaction that takes the
// fact: nothing is told that is not on the trail, and nothing is forgotten.
func note(tx *store.Tx, f *trail.Fact) error {
	switch {
	case f.Exception == "":
		return nil
	case f.Type == "exception.opened":
		target := f.Target
		if target == "" { // a source's record that has no target yet
			_, target, _ = strings.Cut(strings.TrimSuffix(f.Stream, "/"), "/")
		}
		_, err := tx.Exec(`INSERT INTO notice (exception, tenant, target, kind, subject, reason, opened_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (exception) DO UPDATE SET ended = 0, message = '', opened_at = $7 WHERE notice.ended = 1`,
			f.Exception, f.Tenant, target, f.Outcome, f.Subject, f.Detail, store.Micros(f.Time))
		return err
	case f.Type == "exception.acted" && f.Outcome != "refused":
		_, err := tx.Exec(`UPDATE notice SET ended = 1 WHERE exception = $1`, f.Exception)
		return err
	}
	return nil
}

// tell composes and sends messages until ctx ends; one replica at a time.
func (a *Audit) tell(ctx context.Context) error {
	tick := time.NewTicker(noticeTick)
	defer tick.Stop()
	const lease = "notices"
	for {
		select {
		case <-ctx.Done():
			return a.deps.DB.Release(context.WithoutCancel(ctx), lease, a.deps.Instance)
		case <-tick.C:
		}
		held, err := a.deps.DB.Lease(ctx, lease, a.deps.Instance)
		if err == nil && held {
			err = errors.Join(a.compose(ctx), a.deliver(ctx))
		}
		if err != nil && ctx.Err() == nil {
			a.deps.Log.ErrorContext(ctx, "notifications are late; they are tried again", "error", err)
		}
	}
}

// alike are exceptions of a kind at a target that nobody was told of.
type alike struct {
	tenant, target, kind string
	count, oldest        int64
}

// compose makes a message of each group that has waited for others like it.
func (a *Audit) compose(ctx context.Context) error {
	return a.deps.DB.Write(ctx, func(tx *store.Tx) error {
		groups, err := untold(tx, tx.Now()-a.deps.Notices.Wait.Microseconds(), tx.Now()-a.deps.Notices.Every.Microseconds())
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := a.composeOne(tx, g); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`DELETE FROM message WHERE state <> $1 AND made_at < $2`, messageDue, tx.Now()-messagesKept.Microseconds())
		return err
	})
}

func untold(tx *store.Tx, waited, told int64) (out []alike, err error) {
	rows, err := tx.Query(`SELECT n.tenant, n.target, n.kind, COUNT(*), MIN(n.opened_at) FROM notice n WHERE n.message = '' AND n.ended = 0
		AND NOT EXISTS (SELECT 1 FROM message m WHERE m.tenant = n.tenant AND m.target = n.target AND m.kind = n.kind AND m.made_at > $2)
		GROUP BY n.tenant, n.target, n.kind HAVING MIN(n.opened_at) <= $1`, waited, told)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var g alike
		if err := rows.Scan(&g.tenant, &g.target, &g.kind, &g.count, &g.oldest); err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

func (a *Audit) composeOne(tx *store.Tx, g alike) error {
	reasons, records, err := reasonsOf(tx, g)
	if err != nil {
		return err
	}
	help := exception.HelpFor(exception.Kind(g.kind))
	m := notify.Message{
		ID: "n-" + event.Digest("notice/v1", g.tenant, g.target, g.kind, strconv.FormatInt(tx.Now(), 10))[:16], Tenant: g.tenant, Target: g.target, Kind: g.kind,
		Owner: help.Owner, Count: g.count, Oldest: store.Time(g.oldest).UTC(), Reasons: notify.Group(reasons, records), Fix: help.Fix,
		Next: "tieout exceptions list --kind " + g.kind, Runbook: a.deps.Notices.Runbook + g.kind + ".md",
	}
	if a.deps.Notices.Console != "" {
		m.Console = a.deps.Notices.Console + "/exceptions?kind=" + g.kind
	}
	if _, err := tx.Exec(`UPDATE notice SET message = $1 WHERE message = '' AND ended = 0 AND tenant = $2 AND target = $3 AND kind = $4`, m.ID, g.tenant, g.target, g.kind); err != nil {
		return err
	}
	return a.enqueue(tx, m)
}

// enqueue stores a message for each channel.
func (a *Audit) enqueue(tx *store.Tx, m notify.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	for _, c := range a.deps.Notices.Channels {
		_, err := tx.Exec(`INSERT INTO message (id, channel, tenant, target, kind, count, body, state, made_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
			m.ID, c.Name(), m.Tenant, m.Target, m.Kind, m.Count, body, messageDue, tx.Now())
		if err != nil {
			return err
		}
	}
	return nil
}

func reasonsOf(tx *store.Tx, g alike) (reasons, records []string, err error) {
	rows, err := tx.Query(`SELECT reason, subject FROM notice WHERE message = '' AND ended = 0 AND tenant = $1 AND target = $2 AND kind = $3 ORDER BY opened_at, exception`,
		g.tenant, g.target, g.kind)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var reason, record string
		if err := rows.Scan(&reason, &record); err != nil {
			return nil, nil, err
		}
		reasons, records = append(reasons, reason), append(records, record)
	}
	return reasons, records, rows.Err()
}

// due is a message whose turn has come.
type due struct {
	id, channel      string
	attempts, madeAt int64
	body             []byte
}

// deliver sends what is due. A message that was sent just before a crash goes
// out once more, under the same id.
func (a *Audit) deliver(ctx context.Context) error {
	waiting, err := a.due(ctx)
	if err != nil {
		return err
	}
	for _, d := range waiting {
		var m notify.Message
		if err := json.Unmarshal(d.body, &m); err != nil {
			return fmt.Errorf("message %s: %w", d.id, err)
		}
		if err := a.settle(ctx, d, a.send(ctx, d.channel, m)); err != nil {
			return err
		}
	}
	return nil
}

func (a *Audit) send(ctx context.Context, channel string, m notify.Message) error {
	for _, c := range a.deps.Notices.Channels {
		if c.Name() == channel {
			return c.Send(ctx, m)
		}
	}
	return fmt.Errorf("channel %s is not configured any more", channel)
}

func (a *Audit) due(ctx context.Context) (out []due, err error) {
	err = a.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err := tx.Query(`SELECT id, channel, attempts, made_at, body FROM message WHERE state = $1 AND next_at <= $2 ORDER BY made_at LIMIT 20`, messageDue, tx.Now())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var d due
			if err := rows.Scan(&d.id, &d.channel, &d.attempts, &d.madeAt, &d.body); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	return out, err
}

// settle notes how a delivery went; a failed one is tried again for a day.
func (a *Audit) settle(ctx context.Context, d due, failed error) error {
	return a.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if failed == nil {
			_, err := tx.Exec(`UPDATE message SET state = $1, attempts = attempts + 1, sent_at = $2, error = '' WHERE id = $3 AND channel = $4`,
				messageSent, tx.Now(), d.id, d.channel)
			return err
		}
		state, wait := messageDue, min(firstResend<<min(d.attempts, 10), longResend)
		if tx.Now()-d.madeAt > resendFor.Microseconds() {
			state = messageFailed
		}
		a.deps.Log.WarnContext(ctx, "a notification was not delivered", "channel", d.channel, "message", d.id, "state", state, "error", failed)
		_, err := tx.Exec(`UPDATE message SET state = $1, attempts = attempts + 1, next_at = $2, error = $3 WHERE id = $4 AND channel = $5`,
			state, tx.Now()+wait.Microseconds(), failed.Error(), d.id, d.channel)
		return err
	})
}
