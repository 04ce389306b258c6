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

// after reports whether every slot that a rendering follows has ended, and
// whether those that have not are stored here.
func (l *loader) after(r *document.Rendering) (met, held bool, err error) {
	met, held = true, true
	for _, a := range r.After {
		var next int64
		err := l.tx.QueryRow(`SELECT next FROM lane WHERE target = $1 AND lane = $2`, l.v.Target, a.Lane).Scan(&next)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			met, held = false, false
		case err != nil:
			return false, false, err
		case next <= a.Seq:
			var stored bool
			if err := l.tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND seq = $3)`, l.v.Target, a.Lane, a.Seq).Scan(&stored); err != nil {
				return false, false, err
			}
			met, held = false, held && stored
		}
	}
	return met, held, nil
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

// needed reads where the subjects that heads need are queued, and what the
// lanes that hold them wait for themselves, as far as it leads.
func (l *loader) needed() error {
	refs := map[string]bool{}
	for _, h := range l.v.Heads {
		for i := range h.Slot.Rendering.Parts {
			for _, n := range h.Slot.Rendering.Parts[i].Needs {
				if len(l.v.Links[link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}]) == 0 {
					refs[n.Ref] = true
				}
			}
		}
	}
	for next := sorted(refs); len(next) > 0; {
		ref := next[0]
		next = next[1:]
		places, err := l.places(ref)
		if err != nil {
			return err
		}
		l.v.Queued[ref] = places
		for _, p := range places {
			if _, known := l.v.Waits[p.Lane]; known {
				continue
			}
			waits, err := l.waitsOf(p.Lane)
			if err != nil {
				return err
			}
			l.v.Waits[p.Lane] = waits
			for _, w := range waits {
				if _, known := l.v.Queued[w]; !known {
					next = append(next, w)
				}
			}
		}
	}
	return nil
}

func (l *loader) places(ref string) ([]protocol.Place, error) {
	rows, err := l.tx.Query(`SELECT lane, seq FROM slot WHERE target = $1 AND subject = $2 AND state = 'queued' ORDER BY lane, seq`, l.v.Target, ref)
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

func (l *loader) waitsOf(lane string) ([]string, error) {
	rows, err := l.tx.Query(`SELECT ref FROM wait WHERE target = $1 AND lane = $2 ORDER BY ref`, l.v.Target, lane)
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

// partsOf reads the links and shared ops of every part and need of a slot, and
// all financial links of its subject.
func (l *loader) partsOf(s *protocol.Slot) error {
	if _, ok := l.v.Own[s.Subject]; !ok {
		own, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND kind = 'INVOICE'`, s.Subject, l.v.Target)
		if err != nil {
			return err
		}
		l.v.Own[s.Subject] = own
		for _, x := range own {
			if err := l.same(x.Base["customer"]); err != nil {
				return err
			}
		}
	}
	for i := range s.Rendering.Parts {
		p := &s.Rendering.Parts[i]
		if err := l.partLinks(link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}); err != nil {
			return err
		}
		for _, n := range p.Needs {
			if err := l.partLinks(link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}); err != nil {
				return err
			}
		}
		if p.Mode == document.Ensure {
			if err := l.ops(`WHERE target = $1 AND subject = $2 AND part = $3`, l.v.Target, p.Subject, p.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) partLinks(k link.Key) error {
	if _, ok := l.v.Links[k]; ok {
		return nil
	}
	links, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND kind = $3 AND part = $4`, k.SourceRef, l.v.Target, string(k.Kind), k.Part)
	for i, x := range links { // one link, one object
		for _, own := range l.v.Own[k.SourceRef] {
			if own.Key == x.Key && own.N == x.N {
				links[i] = own
			}
		}
	}
	l.v.Links[k] = links
	return err
}

// answered reads who is linked to what looks found, now or before, and the
// links of the ops at hand.
func (l *loader) answered(m *protocol.Memory, in protocol.Inputs) func() error {
	looks := append([]protocol.LookAnswer(nil), in.Looks...)
	for _, a := range m.Looks {
		looks = append(looks, a)
	}
	return func() error {
		for _, a := range looks {
			for i := range a.Postings {
				if err := l.ownerOf(&a.Postings[i]); err != nil {
					return err
				}
			}
		}
		for _, op := range l.v.Ops {
			if err := l.partLinks(link.Key{SourceRef: op.Subject, Kind: op.Kind, Part: op.Part}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *loader) ownerOf(p *connector.Posting) error {
	links, err := l.links(`WHERE other_ref = $1 AND other_target = $2 AND state = 'primary'`, p.Ref.String(), l.v.Target)
	for _, x := range links {
		l.v.Owners[x.OtherRef] = x.Key
	}
	return err
}

// same follows a customer in the books that became an alias to the one that
// stands for it.
func (l *loader) same(customer string) error {
	if customer == "" {
		return nil
	}
	at := customer
	for range 16 { // merges of merges
		var next string
		err := l.tx.QueryRow(`SELECT p.other_ref FROM link a JOIN link p ON p.source_ref = a.alias_of AND p.kind = a.kind AND p.part = a.part AND p.other_target = a.other_target
			WHERE a.other_ref = $1 AND a.other_target = $2 AND a.state = 'alias' AND p.state IN ('primary', 'alias') AND p.other_ref <> a.other_ref
			ORDER BY p.n DESC LIMIT 1`, at, l.v.Target).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		at = next
	}
	if at != customer {
		l.v.Same[customer] = at
	}
	return nil
}

func (l *loader) links(where string, args ...any) ([]*link.Link, error) {
	rows, err := l.tx.Query(`SELECT source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number, alias_of, explain
		FROM link `+where+` ORDER BY source_ref, kind, part, n`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*link.Link
	for rows.Next() {
		x := &link.Link{}
		var kind, state, base string
		if err := rows.Scan(&x.SourceRef, &kind, &x.Part, &x.N, &x.OtherTarget, &x.OtherRef, &state, &x.MappingHash, &base, &x.BaseRev, &x.Rev, &x.OtherVersion, &x.Number, &x.AliasOf, &x.Explain); err != nil {
			return nil, err
		}
		x.Kind, x.State = document.Kind(kind), link.State(state)
		if err := json.Unmarshal([]byte(base), &x.Base); err != nil {
			return nil, fmt.Errorf("base of link %s: %w", x.SourceRef, err)
		}
		out = append(out, x)
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
