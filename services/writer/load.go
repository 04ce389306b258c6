package writer

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// headsPerTurn bounds what one turn looks at; what does not fit comes next.
const headsPerTurn = 200

// loader reads a View inside the turn's transaction.
type loader struct {
	tx   *store.Tx
	v    *protocol.View
	seen map[string]bool // lanes
}

// loadView reads the heads that may move, the lanes that answers and commands
// name, every unsettled call, and all ops and links that these mention.
func loadView(tx *store.Tx, v *protocol.View, m *protocol.Memory, in protocol.Inputs) error {
	l := &loader{tx: tx, v: v, seen: map[string]bool{}}
	v.Ops, v.Links, v.Own = map[string]*protocol.Op{}, map[link.Key][]*link.Link{}, map[string][]*link.Link{}
	v.Owners = map[string]link.Key{}
	v.Merged, v.Same, v.Queued, v.Waits, v.Aside = map[string][]*link.Link{}, map[string]string{}, map[string][]protocol.Place{}, map[string][]string{}, map[string][]*protocol.Slot{}
	steps := []func() error{l.calls, func() error { return l.named(in) }, l.ready, l.parked, l.around, l.needed, l.answered(m, in)}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("load turn of %s: %w", v.Target, err)
		}
	}
	l.sortOps()
	return nil
}

// calls reads what is unsettled, with its ops and their lanes.
func (l *loader) calls() error {
	rows, err := l.tx.Query(`SELECT call, state, sends, first_sent, last_sent, body FROM call WHERE target = $1 AND state <> 'settled' ORDER BY call`, l.v.Target)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c := &protocol.Call{}
		var state string
		var body []byte
		if err := rows.Scan(&c.ID, &state, &c.Sends, &c.FirstSent, &c.LastSent, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &c.Items); err != nil {
			return fmt.Errorf("call %s: %w", c.ID, err)
		}
		c.State = protocol.CallState(state)
		l.v.Calls = append(l.v.Calls, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return l.ops(`WHERE target = $1 AND state IN ('sent', 'doubt')`, l.v.Target)
}

// named reads the lanes of open ops and of commands.
func (l *loader) named(in protocol.Inputs) error {
	lanes := map[string]bool{}
	for _, op := range l.v.Ops {
		lanes[op.Lane] = true
	}
	for _, c := range in.Commands {
		if c.Lane != "" {
			lanes[c.Lane] = true
		}
	}
	for i, c := range in.Commands {
		if err := l.command(&in.Commands[i]); err != nil {
			return fmt.Errorf("command %s: %w", c.ID, err)
		}
	}
	for _, lane := range sorted(lanes) {
		if err := l.heads(`AND l.lane = $2`, lane); err != nil {
			return err
		}
	}
	return nil
}

// command reads what an action needs that no head brings along.
func (l *loader) command(c *protocol.Command) error {
	if c.Action == protocol.ReissueIt && c.Lane == "" {
		own, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND kind = 'INVOICE'`, c.Ref, l.v.Target)
		l.v.Own[c.Ref] = own
		return err
	}
	if c.Lane == "" {
		return nil
	}
	aside, err := asideSlots(l.tx, `WHERE target = $1 AND lane = $2 AND seq = $3 AND state = 'aside'`, l.v.Target, c.Lane, c.Seq)
	if err == nil && len(aside) == 1 {
		c.Aside = aside[0]
	}
	return err
}

// ready reads the heads that may move: lanes with something realtime first,
// then the rest, each the oldest change first, so that a backlog drains fairly.
func (l *loader) ready() error {
	for _, class := range []string{`l.realtime > 0`, `l.realtime = 0`} {
		if err := l.heads(`AND l.state = 'ready' AND `+class+` ORDER BY s.changed_at, s.lane LIMIT $2`, headsPerTurn); err != nil {
			return err
		}
	}
	return l.heads(`AND l.state = 'waiting' AND l.wake_at <= $2 ORDER BY s.changed_at, s.lane LIMIT 100`, l.v.Now)
}

// parked reads parked heads that go on by themselves: a newer revision of the
// subject is queued, or a newer rendering of the slot is here.
func (l *loader) parked() error {
	return l.heads(`AND l.state = 'parked' AND (EXISTS (SELECT 1 FROM slot n WHERE n.target = s.target AND n.subject = s.subject AND n.rev > s.rev AND n.state = 'queued')
		OR EXISTS (SELECT 1 FROM slot_render r WHERE r.target = s.target AND r.lane = s.lane AND r.seq = s.seq AND r.render > s.render)) LIMIT $2`, headsPerTurn)
}

func (l *loader) heads(where string, arg any) error {
	rows, err := l.tx.Query(`SELECT l.lane, l.state, l.exception, l.realtime, s.seq, s.event_id, s.subject, s.customer, s.route, s.rev, s.class, s.doc, s.trace, s.wait_since, s.attempts
		FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane AND l.next = s.seq
		WHERE s.target = $1 AND s.state = 'queued' `+where, l.v.Target, arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		h, s := &protocol.Head{}, &protocol.Slot{}
		var state, class string
		var realtime int64
		var doc []byte
		if err := rows.Scan(&h.Lane, &state, &h.Exception, &realtime, &s.Seq, &s.EventID, &s.Subject, &s.Customer, &s.Route, &s.Rev, &class, &doc, &s.Trace, &s.WaitSince, &s.Attempts); err != nil {
			return err
		}
		if l.seen[h.Lane] {
			continue
		}
		l.seen[h.Lane] = true
		if s.Rendering, err = document.Decode(doc); err != nil {
			return err
		}
		h.State, s.Lane, s.Class, h.Slot = protocol.LaneState(state), h.Lane, event.Class(class), s
		if realtime > 0 { // a lane's class is the best of its queued slots
			s.Class = event.Realtime
		}
		l.v.Heads = append(l.v.Heads, h)
	}
	return rows.Err()
}

// around reads what is known around each head.
func (l *loader) around() error {
	for _, h := range l.v.Heads {
		if err := l.aroundHead(h); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) aroundHead(h *protocol.Head) error {
	s := h.Slot
	err := l.tx.QueryRow(`SELECT
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND subject = $3 AND rev > $4 AND state = 'queued'),
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND subject = $3 AND rev > $4 AND state = 'queued'),
		EXISTS (SELECT 1 FROM slot WHERE target = $1 AND subject = $3 AND rev > $4 AND state = 'ended' AND outcome IN ('posted', 'unchanged'))
		OR EXISTS (SELECT 1 FROM op WHERE target = $1 AND subject = $3 AND rev > $4)`,
		l.v.Target, h.Lane, s.Subject, s.Rev).Scan(&h.NewerHere, &h.NewerAny, &h.Overtaken)
	if err != nil {
		return err
	}
	if h.AfterMet, h.AfterHeld, err = l.after(s.Rendering); err != nil {
		return err
	}
	if h.State == protocol.Parked {
		if h.Newer, err = l.newer(s); err != nil {
			return err
		}
	}
	if err := l.merged(s.Rendering); err != nil {
		return err
	}
	if err := l.aside(s.Subject); err != nil {
		return err
	}
	if err := l.ops(`WHERE target = $1 AND lane = $2 AND seq = $3`, l.v.Target, h.Lane, s.Seq); err != nil {
		return err
	}
	if err := l.ops(`WHERE target = $1 AND subject = $2 AND state IN ('sent', 'doubt')`, l.v.Target, s.Subject); err != nil {
		return err
	}
	return l.partsOf(s)
}

// newer reads the newest rendering that came after the one a slot holds.
func (l *loader) newer(s *protocol.Slot) (*document.Rendering, error) {
	var doc []byte
	err := l.tx.QueryRow(`SELECT doc FROM slot_render WHERE target = $1 AND lane = $2 AND seq = $3 AND render > $4 ORDER BY render DESC LIMIT 1`,
		l.v.Target, s.Lane, s.Seq, s.Rendering.Render).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return document.Decode(doc)
}

// merged reads the links of what a merge names as merged away.
func (l *loader) merged(r *document.Rendering) error {
	for _, loser := range r.MergedFrom {
		links, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND state = 'primary' AND kind IN ('CUSTOMER', 'ITEM')`, loser, l.v.Target)
		if err != nil {
			return err
		}
		l.v.Merged[loser] = links
		for _, x := range links {
			if err := l.partLinks(link.Key{SourceRef: r.Ref, Kind: x.Kind, Part: x.Part}); err != nil {
				return err
			}
		}
	}
	return nil
}

// aside reads the slots of a subject that were set aside.
func (l *loader) aside(subject string) error {
	if _, ok := l.v.Aside[subject]; ok {
		return nil
	}
	l.v.Aside[subject] = nil
	slots, err := asideSlots(l.tx, `WHERE target = $1 AND subject = $2 AND state = 'aside'`, l.v.Target, subject)
	l.v.Aside[subject] = slots
	return err
}

func asideSlots(tx *store.Tx, where string, args ...any) ([]*protocol.Slot, error) {
	rows, err := tx.Query(`SELECT lane, seq, event_id, subject, customer, route, rev, class, doc, trace, exception FROM slot `+where+` ORDER BY lane, seq`, args...)
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

func (l *loader) ops(where string, args ...any) error {
	rows, err := l.tx.Query(`SELECT op_id, lane, seq, part, n, kind, effect, subject, rev, state, gen, call, mark, request_hash, fields,
		target_ref, target_version, attempts, started_at, ended_at FROM op `+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		o := &protocol.Op{}
		var kind, effect, state, fields string
		if err := rows.Scan(&o.ID, &o.Lane, &o.Seq, &o.Part, &o.N, &kind, &effect, &o.Subject, &o.Rev, &state, &o.Gen, &o.Call, &o.Mark, &o.RequestHash,
			&fields, &o.TargetRef, &o.TargetVersion, &o.Attempts, &o.StartedAt, &o.EndsAt); err != nil {
			return err
		}
		if l.v.Ops[o.ID] != nil {
			continue
		}
		o.Kind, o.Effect, o.State = document.Kind(kind), connector.Effect(effect), protocol.OpState(state)
		if err := json.Unmarshal([]byte(fields), &o.Fields); err != nil {
			return fmt.Errorf("fields of op %s: %w", o.ID, err)
		}
		l.v.Ops[o.ID] = o
	}
	return rows.Err()
}

func (l *loader) sortOps() {
	for id := range l.v.Ops {
		l.v.OpIDs = append(l.v.OpIDs, id)
	}
	sort.Strings(l.v.OpIDs)
}

func sorted(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
