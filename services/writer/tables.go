package writer

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// tables answers a turn's questions by SQL, inside the turn's transaction.
type tables struct {
	tx     *store.Tx
	target string
}

var _ protocol.Tables = tables{}

func (t tables) Unsettled() ([]*protocol.Call, error) {
	rows, err := t.tx.Query(`SELECT call, state, sends, first_sent, last_sent, body FROM call WHERE target = $1 AND state <> 'settled' ORDER BY call`, t.target)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*protocol.Call
	for rows.Next() {
		c := &protocol.Call{}
		var state string
		var body []byte
		if err := rows.Scan(&c.ID, &state, &c.Sends, &c.FirstSent, &c.LastSent, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &c.Items); err != nil {
			return nil, fmt.Errorf("call %s: %w", c.ID, err)
		}
		c.State = protocol.CallState(state)
		out = append(out, c)
	}
	return out, rows.Err()
}

func (t tables) OpenOps() ([]*protocol.Op, error) {
	return t.ops(`target = $1 AND state IN ('sent', 'doubt')`, t.target)
}

func (t tables) OpenOpsOf(subject string) ([]*protocol.Op, error) {
	return t.ops(`target = $1 AND subject = $2 AND state IN ('sent', 'doubt')`, t.target, subject)
}

func (t tables) OpsAt(p protocol.Place) ([]*protocol.Op, error) {
	return t.ops(`target = $1 AND lane = $2 AND seq = $3`, t.target, p.Lane, p.Seq)
}

func (t tables) OpsFor(subject, part string) ([]*protocol.Op, error) {
	return t.ops(`target = $1 AND subject = $2 AND part = $3`, t.target, subject, part)
}

func (t tables) OpsMaking(otherRef string, now int64) ([]*protocol.Op, error) {
	return t.ops(`target = $1 AND target_ref = $2 AND effect = 'create' AND state = 'done' AND ended_at > $3`, t.target, otherRef, now)
}

func (t tables) ops(where string, args ...any) ([]*protocol.Op, error) {
	rows, err := t.tx.Query(`SELECT op_id, lane, seq, part, n, kind, effect, subject, rev, state, gen, call, mark, request_hash, fields,
		target_ref, target_version, attempts, started_at, ended_at FROM op WHERE `+where+` ORDER BY op_id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*protocol.Op
	for rows.Next() {
		o := &protocol.Op{}
		var kind, effect, state, fields string
		if err := rows.Scan(&o.ID, &o.Lane, &o.Seq, &o.Part, &o.N, &kind, &effect, &o.Subject, &o.Rev, &state, &o.Gen, &o.Call, &o.Mark, &o.RequestHash,
			&fields, &o.TargetRef, &o.TargetVersion, &o.Attempts, &o.StartedAt, &o.EndsAt); err != nil {
			return nil, err
		}
		o.Kind, o.Effect, o.State = document.Kind(kind), connector.Effect(effect), protocol.OpState(state)
		if err := json.Unmarshal([]byte(fields), &o.Fields); err != nil {
			return nil, fmt.Errorf("fields of op %s: %w", o.ID, err)
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

func (t tables) Head(lane string) (*protocol.Head, error) {
	heads, err := t.heads(`AND l.lane = $2`, lane)
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	return heads[0], nil
}

// ofRank tells the ranks apart by a head's own class and its lane's count of
// realtime slots, which counts the head too.
var ofRank = map[protocol.Rank]string{
	protocol.Awaited:   `s.class = 'realtime'`,
	protocol.Lifted:    `s.class <> 'realtime' AND l.realtime > 0`,
	protocol.Unhurried: `s.class <> 'realtime' AND l.realtime = 0`,
}

func (t tables) ReadyHeads(rank protocol.Rank, limit int) ([]*protocol.Head, error) {
	return t.heads(`AND l.state = 'ready' AND `+ofRank[rank]+` ORDER BY s.changed_at, s.lane LIMIT $2`, limit)
}

func (t tables) WakingHeads(now int64, limit int) ([]*protocol.Head, error) {
	return t.heads(`AND l.state = 'waiting' AND l.wake_at <= $2 ORDER BY s.changed_at, s.lane LIMIT $3`, now, limit)
}

func (t tables) ReleasedHeads(limit int) ([]*protocol.Head, error) {
	return t.heads(`AND l.state = 'parked' AND (EXISTS (SELECT 1 FROM slot n WHERE n.target = s.target AND n.subject = s.subject AND n.rev > s.rev AND n.state = 'queued')
		OR EXISTS (SELECT 1 FROM slot_render r WHERE r.target = s.target AND r.lane = s.lane AND r.seq = s.seq AND r.render > s.render)) ORDER BY s.lane LIMIT $2`, limit)
}

func (t tables) heads(where string, args ...any) ([]*protocol.Head, error) {
	rows, err := t.tx.Query(`SELECT l.lane, l.state, l.exception, s.seq, s.event_id, s.subject, s.customer, s.route, s.rev, s.class, s.doc, s.trace, s.wait_since, s.attempts
		FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane AND l.next = s.seq
		WHERE s.target = $1 AND s.state = 'queued' `+where, append([]any{t.target}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*protocol.Head
	for rows.Next() {
		h, s := &protocol.Head{}, &protocol.Slot{}
		var state, class string
		var doc []byte
		if err := rows.Scan(&h.Lane, &state, &h.Exception, &s.Seq, &s.EventID, &s.Subject, &s.Customer, &s.Route, &s.Rev, &class, &doc, &s.Trace, &s.WaitSince, &s.Attempts); err != nil {
			return nil, err
		}
		if s.Rendering, err = document.Decode(doc); err != nil {
			return nil, err
		}
		h.State, s.Lane, s.Class, h.Slot = protocol.LaneState(state), h.Lane, event.Class(class), s
		out = append(out, h)
	}
	return out, rows.Err()
}

func (t tables) Around(s *protocol.Slot) (newerHere, newerAny, overtaken bool, err error) {
	err = t.tx.QueryRow(`SELECT
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND subject = $3 AND rev > $4 AND state = 'queued'),
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND subject = $3 AND rev > $4 AND state = 'queued'),
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND subject = $3 AND rev > $4 AND state = 'ended' AND outcome IN ('posted', 'unchanged'))
		OR EXISTS (SELECT 1 FROM op WHERE target = $1 AND subject = $3 AND rev > $4)`,
		t.target, s.Lane, s.Subject, s.Rev).Scan(&newerHere, &newerAny, &overtaken)
	return newerHere, newerAny, overtaken, err
}

func (t tables) Newer(s *protocol.Slot) (*document.Rendering, error) {
	var doc []byte
	err := t.tx.QueryRow(`SELECT doc FROM slot_render WHERE target = $1 AND lane = $2 AND seq = $3 AND render > $4 ORDER BY render DESC LIMIT 1`,
		t.target, s.Lane, s.Seq, s.Rendering.Render).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return document.Decode(doc)
}

func (t tables) Next(lane string) (seq int64, known bool, err error) {
	err = t.tx.QueryRow(`SELECT next FROM lane WHERE target = $1 AND lane = $2`, t.target, lane).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return seq, err == nil, err
}

func (t tables) Stored(p protocol.Place) (stored bool, err error) {
	err = t.tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND seq = $3)`, t.target, p.Lane, p.Seq).Scan(&stored)
	return stored, err
}

func (t tables) Places(subject string) ([]protocol.Place, error) {
	rows, err := t.tx.Query(`SELECT lane, seq FROM slot WHERE target = $1 AND subject = $2 AND state = 'queued' ORDER BY lane, seq`, t.target, subject)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []protocol.Place
	for rows.Next() {
		var p protocol.Place
		if err := rows.Scan(&p.Lane, &p.Seq); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

func (t tables) WaitsOf(lane string) ([]string, error) {
	rows, err := t.tx.Query(`SELECT ref FROM wait WHERE target = $1 AND lane = $2 ORDER BY ref`, t.target, lane)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var ref string
		if err := rows.Scan(&ref); err != nil {
			return nil, err
		}
		out = append(out, ref)
	}
	return out, rows.Err()
}

func (t tables) AsideOf(subject string) ([]*protocol.Slot, error) {
	return t.aside(`target = $1 AND subject = $2 AND state = 'aside'`, t.target, subject)
}

func (t tables) AsideAt(p protocol.Place) (*protocol.Slot, error) {
	slots, err := t.aside(`target = $1 AND lane = $2 AND seq = $3 AND state = 'aside'`, t.target, p.Lane, p.Seq)
	if err != nil || len(slots) == 0 {
		return nil, err
	}
	return slots[0], nil
}

func (t tables) aside(where string, args ...any) ([]*protocol.Slot, error) {
	rows, err := t.tx.Query(`SELECT lane, seq, event_id, subject, customer, route, rev, class, doc, trace, exception FROM slot WHERE `+where+` ORDER BY lane, seq`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*protocol.Slot
	for rows.Next() {
		s := &protocol.Slot{}
		var class string
		var doc []byte
		if err := rows.Scan(&s.Lane, &s.Seq, &s.EventID, &s.Subject, &s.Customer, &s.Route, &s.Rev, &class, &doc, &s.Trace, &s.Exception); err != nil {
			return nil, err
		}
		if s.Rendering, err = document.Decode(doc); err != nil {
			return nil, err
		}
		s.Class = event.Class(class)
		out = append(out, s)
	}
	return out, rows.Err()
}
