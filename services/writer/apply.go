package writer

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

// applier stores what a turn changed, in the turn's transaction.
type applier struct {
	w     *Writer
	tx    *store.Tx
	v     *protocol.View
	epoch int64
	owner string
	// received is when the slots that ended were received
	received map[place]int64
}

func (a *applier) apply(ch *protocol.Changes) error {
	steps := []func(*protocol.Changes) error{a.slots, a.takenOver, a.lanes, a.waits, a.calls, a.ops, a.links, a.recalled, a.exceptions, a.commands, a.target, a.facts}
	for _, step := range steps {
		if err := step(ch); err != nil {
			return fmt.Errorf("store turn of %s: %w", a.v.Target, err)
		}
	}
	return nil
}

func (a *applier) slots(ch *protocol.Changes) error {
	for _, s := range ch.WaitSince {
		if _, err := a.tx.Exec(`UPDATE slot SET wait_since = $1, attempts = $2 WHERE target = $3 AND lane = $4 AND seq = $5`, s.WaitSince, s.Attempts, a.v.Target, s.Lane, s.Seq); err != nil {
			return err
		}
	}
	for _, e := range ch.Ended {
		state, outcome := "ended", string(e.Outcome)
		if e.Outcome == protocol.Aside {
			state, outcome = "aside", ""
		}
		// what leaves the queue no longer pulls its lane forward
		if _, err := a.tx.Exec(`UPDATE lane SET realtime = realtime - 1 WHERE target = $1 AND lane = $2 AND EXISTS
			(SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND seq = $3 AND state = 'queued' AND class = 'realtime')`, a.v.Target, e.Lane, e.Seq); err != nil {
			return err
		}
		var received int64
		err := a.tx.QueryRow(`UPDATE slot SET state = $1, outcome = $2, ended_at = $3, exception = $4 WHERE target = $5 AND lane = $6 AND seq = $7 AND state IN ('queued', 'aside') RETURNING received_at`,
			state, outcome, a.v.Now, e.Exception, a.v.Target, e.Lane, e.Seq).Scan(&received)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		a.received[place{e.Lane, e.Seq}] = received
		if _, err := a.tx.Exec(`UPDATE lane SET next = $1 WHERE target = $2 AND lane = $3 AND next = $4`, e.Seq+1, a.v.Target, e.Lane, e.Seq); err != nil {
			return err
		}
	}
	return nil
}

// takenOver stores the newer rendering that a slot now holds.
func (a *applier) takenOver(ch *protocol.Changes) error {
	for _, s := range ch.TakenOver {
		doc, err := document.Encode(s.Rendering)
		if err != nil {
			return err
		}
		if _, err := a.tx.Exec(`UPDATE slot SET doc = $1, render = $2, mapping_hash = $3 WHERE target = $4 AND lane = $5 AND seq = $6`,
			doc, s.Rendering.Render, s.Rendering.MappingHash, a.v.Target, s.Lane, s.Seq); err != nil {
			return err
		}
		if _, err := a.tx.Exec(`DELETE FROM slot_render WHERE target = $1 AND lane = $2 AND seq = $3 AND render <= $4`, a.v.Target, s.Lane, s.Seq, s.Rendering.Render); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) lanes(ch *protocol.Changes) error {
	for _, l := range ch.Lanes {
		if _, err := a.tx.Exec(`UPDATE lane SET state = $1, exception = $2, wake_at = $3, why = $4 WHERE target = $5 AND lane = $6`, string(l.State), l.Exception, l.WakeAt, l.Why, a.v.Target, l.Lane); err != nil {
			return err
		}
		if _, err := a.tx.Exec(`DELETE FROM wait WHERE target = $1 AND lane = $2`, a.v.Target, l.Lane); err != nil {
			return err
		}
	}
	return nil
}

// waits stores what each waiting head waits for: the turn that brings it wakes
// the lane.
func (a *applier) waits(ch *protocol.Changes) error {
	for _, w := range ch.Waits {
		if _, err := a.tx.Exec(`INSERT INTO wait (target, ref, kind, part, lane, seq) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (target, ref, kind, part, lane) DO UPDATE SET seq = $6`,
			a.v.Target, w.Need.Ref, string(w.Need.Kind), w.Need.Part, w.Lane, w.Seq); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) calls(ch *protocol.Changes) error {
	for _, c := range ch.Calls {
		body, err := json.Marshal(c.Items)
		if err != nil {
			return err
		}
		if _, err := a.tx.Exec(`INSERT INTO call (call, target, epoch, owner, body, state, sends, first_sent, last_sent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (call) DO UPDATE SET epoch = $3, owner = $4, state = $6, sends = $7, first_sent = $8, last_sent = $9`,
			c.ID, a.v.Target, a.epoch, a.owner, body, string(c.State), c.Sends, c.FirstSent, c.LastSent); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) ops(ch *protocol.Changes) error {
	for _, o := range ch.Ops {
		fields, err := json.Marshal(o.Fields)
		if err != nil {
			return err
		}
		if _, err := a.tx.Exec(`INSERT INTO op (op_id, target, lane, seq, part, n, kind, effect, subject, rev, state, gen, call, mark, request_hash, fields,
			target_ref, target_version, attempts, started_at, ended_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
			ON CONFLICT (op_id) DO UPDATE SET lane = $3, seq = $4, effect = $8, state = $11, gen = $12, call = $13, request_hash = $15, fields = $16,
			target_ref = $17, target_version = $18, attempts = $19, started_at = $20, ended_at = $21`,
			o.ID, a.v.Target, o.Lane, o.Seq, o.Part, o.N, string(o.Kind), string(o.Effect), o.Subject, o.Rev, string(o.State), o.Gen, o.Call, o.Mark,
			o.RequestHash, string(fields), o.TargetRef, o.TargetVersion, o.Attempts, o.StartedAt, o.EndsAt); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) links(ch *protocol.Changes) error {
	for _, l := range ch.Links {
		if err := putLink(a.tx, l); err != nil {
			return err
		}
		if _, err := a.tx.Exec(`UPDATE lane SET wake_at = 0 WHERE target = $1 AND state = 'waiting' AND lane IN
			(SELECT lane FROM wait WHERE target = $1 AND ref = $2 AND kind = $3 AND part = $4)`, a.v.Target, l.SourceRef, string(l.Kind), l.Part); err != nil {
			return err
		}
	}
	return nil
}

func putLink(tx *store.Tx, l *link.Link) error {
	base, err := json.Marshal(l.Base)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO link (source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number, alias_of, explain)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (source_ref, kind, part, n, other_target) DO UPDATE SET other_ref = $6, state = $7, mapping_hash = $8, base = $9, base_rev = $10, rev = $11,
		other_version = $12, number = $13, alias_of = $14, explain = $15`,
		l.SourceRef, string(l.Kind), l.Part, l.N, l.OtherTarget, l.OtherRef, string(l.State), l.MappingHash, string(base), l.BaseRev, l.Rev, l.OtherVersion, l.Number, l.AliasOf, l.Explain)
	return err
}

func (a *applier) exceptions(ch *protocol.Changes) error {
	for i := range ch.Opened {
		if err := insertException(a.tx, &ch.Opened[i]); err != nil {
			return err
		}
	}
	for _, x := range ch.Acted {
		if _, err := a.tx.Exec(`UPDATE exception SET state = $1, action = $2, acted_by = $3, acted_at = $4, note = $5 WHERE id = $6 AND state = 'open'`,
			string(x.State), x.Action, x.Actor, a.v.Now, x.Note, x.ID); err != nil {
			return err
		}
	}
	return nil
}

func insertException(tx *store.Tx, e *exception.Exception) error {
	_, err := tx.Exec(`INSERT INTO exception (id, kind, target, lane, seq, subject, customer, reason, field, fix, rule, owner, state, opened_at, waiting_until,
		vendor_code, vendor_text, trace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) DO NOTHING`,
		e.ID, string(e.Kind), e.Target, e.Lane, e.Seq, e.Subject, e.Customer, e.Reason, e.Field, e.Fix, e.Rule, e.Owner, string(e.State),
		store.Micros(e.OpenedAt), store.Micros(e.WaitingUntil), e.VendorCode, e.VendorText, e.TraceID)
	return err
}

func (a *applier) commands(ch *protocol.Changes) error {
	for _, id := range ch.Commands {
		if _, err := a.tx.Exec(`UPDATE command SET state = 'applied' WHERE id = $1`, id); err != nil {
			return err
		}
	}
	for _, r := range ch.Refused {
		if _, err := a.tx.Exec(`UPDATE command SET refused = $1 WHERE id = $2`, r.Why, r.Command); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) target(ch *protocol.Changes) error {
	if ch.Hold != nil {
		if _, err := a.tx.Exec(`UPDATE target SET held_by = $1 WHERE target = $2`, *ch.Hold, a.v.Target); err != nil {
			return err
		}
	}
	if ch.Pause == nil {
		return nil
	}
	state := "active"
	if *ch.Pause {
		state = "paused"
	}
	_, err := a.tx.Exec(`UPDATE target SET state = $1, reason = $2, alert = $3 WHERE target = $4`, state, ch.PauseCause, ch.Alert, a.v.Target)
	return err
}

func (a *applier) facts(ch *protocol.Changes) error {
	facts := make([]trail.Fact, 0, len(ch.Facts))
	for i := range ch.Facts {
		facts = append(facts, a.fact(&ch.Facts[i]))
	}
	return a.w.appendFacts(a.tx, facts...)
}

// fact adds to the core's fact what the shell knows of the slot.
func (a *applier) fact(f *protocol.Fact) trail.Fact {
	out := trail.Fact{
		Type: f.Type, Tenant: a.v.Tenant, Target: a.v.Target, OpIDs: f.Ops, Outcome: f.Outcome, Detail: f.Detail, RequestHash: f.Hash,
		Exception: f.Except, Actor: f.Actor,
	}
	if s := f.Slot; s != nil {
		r := s.Rendering
		out.Entity, out.Lane, out.SlotSeq, out.Subject, out.Customer = r.Entity, s.Lane, s.Seq, s.Subject, s.Customer
		out.Render = r.Render
		out.Rev, out.Route, out.MappingHash, out.Approval, out.SourceEventID = s.Rev, s.Route, r.MappingHash, r.Approval, s.EventID
		out.TraceID = traceID(s.Trace)
	}
	if f.Posting != nil && f.Op != nil {
		out.Posting = postingFact(f)
	}
	return out
}

func postingFact(f *protocol.Fact) *trail.Posting {
	p := f.Posting
	return &trail.Posting{
		Kind: string(f.Op.Kind), Part: f.Op.Part, N: f.Op.N, OtherRef: p.Ref.String(), Number: p.Number, Version: p.Version, Status: string(p.Status),
		Net: p.Net, Tax: p.Tax, Gross: p.Gross, CustomerRef: p.Customer.String(), IssueDate: p.IssueDate, SourceRef: f.Op.Subject, Content: p.Content(),
	}
}

// appendFacts puts facts on the writer's stream of their target.
func (w *Writer) appendFacts(tx *store.Tx, facts ...trail.Fact) error {
	for i := range facts {
		facts[i].Stream = strings.Join([]string{Name, facts[i].Target, facts[i].Entity}, "/")
		facts[i].Time = time.UnixMicro(tx.Now()).UTC()
		if facts[i].Actor == "" {
			facts[i].Actor = Name
		}
	}
	return trail.Append(tx, facts...)
}

// traceID is the second field of a W3C traceparent.
func traceID(traceparent string) string {
	if f := strings.Split(traceparent, "-"); len(f) == 4 {
		return f[1]
	}
	return ""
}

// recalled stores whose documents were found again after a restore.
func (a *applier) recalled(ch *protocol.Changes) error {
	for _, r := range ch.Recalled {
		if _, err := a.tx.Exec(`INSERT INTO recalled (target, subject, state) VALUES ($1, $2, $3) ON CONFLICT (target, subject) DO UPDATE SET state = $3`, a.v.Target, r.Subject, string(r.State)); err != nil {
			return err
		}
	}
	return nil
}
