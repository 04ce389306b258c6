package lab

import (
	"cmp"
	"slices"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// slotRow is a slot as the writer's database holds it.
type slotRow struct {
	protocol.Slot
	state   string // queued, ended, aside
	outcome protocol.Outcome
	changed int64
	newer   []*document.Rendering
}

// laneRow is a lane.
type laneRow struct {
	lane      string
	next      int64
	state     protocol.LaneState
	exception string
	wakeAt    int64
	realtime  int
	waits     []document.Need
	slots     []*slotRow // by seq, as far as they are stored
}

// excRow is an exception; it is never deleted.
type excRow struct {
	exception.Exception
	open bool
}

// tables are the writer's database in memory. A turn gets copies, so that one
// which dies before its commit changed nothing.
type tables struct {
	w      *site
	room   *room
	lease  protocol.Lease // of the target
	offset int

	paused        bool
	reason, alert string
	held          string

	lanes      map[string]*laneRow
	order      []string // of lanes, sorted
	calls      []*protocol.Call
	ops        []*protocol.Op // sorted by id
	links      []*link.Link
	exceptions []*excRow
	commands   []protocol.Command
	done       map[string]bool         // commands
	discards   map[protocol.Place]bool // what a person asked to discard
	agreed     map[protocol.Place]bool // whose invoice a person agreed to have issued anew

	recovery *protocol.Recovery // set while the tables may be older than the books
	gens     int64
	life     int64 // the incarnation of its streams
	knew     int   // facts that the tables knew when they were set back
	told     []protocol.Told
	sure     micros // when the last recovery ended
	recalled map[string]protocol.RecallState

	astray bool // the tables beside are to be written anew
}

func newTables(w *site) *tables {
	return &tables{w: w, room: w.room, life: 1, lanes: map[string]*laneRow{}, done: map[string]bool{}, discards: map[protocol.Place]bool{}, agreed: map[protocol.Place]bool{}, astray: true}
}

var _ protocol.Tables = (*tables)(nil)

// receive stores a rendering as its slot; a repeat changes nothing.
func (t *tables) receive(r *document.Rendering) {
	t.beside(func(b Beside) error { return b.Receive(r) })
	l := t.lanes[r.Lane]
	if l == nil {
		l = &laneRow{lane: r.Lane, next: 1, state: protocol.Ready}
		t.lanes[r.Lane] = l
		t.order = append(t.order, r.Lane)
		slices.Sort(t.order)
	}
	if old := l.at(r.Seq); old != nil {
		t.again(old, r)
		return
	}
	s := &slotRow{state: "queued", changed: r.OccurredAt.UnixMicro(), Slot: protocol.Slot{
		Lane: r.Lane, Seq: r.Seq, EventID: r.EventID, Subject: r.Ref, Customer: r.Customer, Route: r.Route, Rev: r.Rev, Class: r.Class, Rendering: r,
	}}
	l.slots = append(l.slots, s)
	for i := len(l.slots) - 1; i > 0 && l.slots[i-1].Seq > r.Seq; i-- {
		l.slots[i], l.slots[i-1] = l.slots[i-1], l.slots[i]
	}
	if r.Class == event.Realtime {
		l.realtime++
	}
	if t.w.ingest.floor > 0 { // only then is it listened to
		t.w.ingest.tell(fact{kind: "slot.received", life: t.life, site: t.w.no, event: r.EventID, subject: r.Ref, at: protocol.Place{Lane: r.Lane, Seq: r.Seq}})
	}
}

func (t *tables) again(old *slotRow, r *document.Rendering) {
	switch protocol.Receive(old.EventID, old.Rendering.Render, r) {
	case protocol.Repeat:
		return
	case protocol.Collision:
		if t.w.ingest.incarnation == 0 { // no number was given twice
			t.w.violated("I2", "slot %s/%d holds event %s, and %s claims it", laneID(r.Lane), r.Seq, old.EventID[:8], r.EventID[:8])
			return
		}
		t.w.ingest.tell(fact{kind: "slot.collided", life: t.life, site: t.w.no, event: r.EventID, subject: r.Ref})
		return
	}
	if !slices.ContainsFunc(old.newer, func(n *document.Rendering) bool { return n.Render == r.Render }) {
		old.newer = append(old.newer, r)
	}
}

func (t *tables) advance(from, to int) {
	if t.offset != from || to < from {
		t.w.violated("I7", "offset %d moved from %d to %d", t.offset, from, to)
	}
	t.offset = to
}

func (l *laneRow) at(seq int64) *slotRow {
	at := min(int(seq), len(l.slots)) - 1 // where it stands if none is missing before it
	for ; at >= 0 && l.slots[at].Seq >= seq; at-- {
		if l.slots[at].Seq == seq {
			return l.slots[at]
		}
	}
	return nil
}

func (l *laneRow) head() *slotRow {
	if s := l.at(l.next); s != nil && s.state == "queued" {
		return s
	}
	return nil
}

func (t *tables) stored(lane string, seq int64) bool {
	l := t.lanes[lane]
	return l != nil && l.at(seq) != nil
}

// waits reports whether a lane waits for something.
func (t *tables) waits() bool {
	for _, lane := range t.order {
		if t.lanes[lane].state == protocol.Waiting {
			return true
		}
	}
	return false
}

// queued walks the slots that wait, lane by lane.
func (t *tables) queued(do func(*slotRow)) {
	for _, lane := range t.order {
		for _, s := range t.lanes[lane].slots {
			if s.state == "queued" {
				do(s)
			}
		}
	}
}

// Unsettled implements protocol.Tables, as do all that follow.
func (t *tables) Unsettled() ([]*protocol.Call, error) {
	var out []*protocol.Call
	for _, c := range t.calls {
		if c.State != protocol.CallSettled {
			out = append(out, t.room.calls.copyOf(c))
		}
	}
	slices.SortFunc(out, func(a, b *protocol.Call) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (t *tables) opsWhere(keep func(*protocol.Op) bool) ([]*protocol.Op, error) {
	var out []*protocol.Op
	for _, o := range t.ops {
		if keep(o) {
			out = append(out, t.room.ops.copyOf(o))
		}
	}
	return out, nil
}

func open(o *protocol.Op) bool { return o.State == protocol.Sent || o.State == protocol.Doubt }

func (t *tables) OpenOps() ([]*protocol.Op, error) { return t.opsWhere(open) }

func (t *tables) OpenOpsOf(subject string) ([]*protocol.Op, error) {
	return t.opsWhere(func(o *protocol.Op) bool { return o.Subject == subject && open(o) })
}

func (t *tables) OpsAt(p protocol.Place) ([]*protocol.Op, error) {
	return t.opsWhere(func(o *protocol.Op) bool { return o.Lane == p.Lane && o.Seq == p.Seq })
}

func (t *tables) OpsFor(subject, part string) ([]*protocol.Op, error) {
	return t.opsWhere(func(o *protocol.Op) bool { return o.Subject == subject && o.Part == part })
}

func (t *tables) OpsMaking(otherRef string, now int64) ([]*protocol.Op, error) {
	return t.opsWhere(func(o *protocol.Op) bool {
		return o.TargetRef == otherRef && o.Effect == connector.Create && o.State == protocol.Done && o.EndsAt > now
	})
}

func (t *tables) Head(lane string) (*protocol.Head, error) {
	l := t.lanes[lane]
	if l == nil || l.head() == nil {
		return nil, nil
	}
	return t.headOf(l), nil
}

func (t *tables) headOf(l *laneRow) *protocol.Head {
	s := t.room.slots.copyOf(&l.head().Slot)
	return t.room.heads.copyOf(&protocol.Head{Lane: l.lane, State: l.state, Slot: s, Exception: l.exception})
}

func (t *tables) headsWhere(limit int, keep func(*laneRow) bool) ([]*protocol.Head, error) {
	var rows []*laneRow
	for _, lane := range t.order {
		if l := t.lanes[lane]; l.head() != nil && keep(l) {
			rows = append(rows, l)
		}
	}
	slices.SortStableFunc(rows, func(a, b *laneRow) int { return cmp.Compare(a.head().changed, b.head().changed) })
	var out []*protocol.Head
	for _, l := range rows[:min(len(rows), limit)] {
		out = append(out, t.headOf(l))
	}
	return out, nil
}

func (t *tables) ReadyHeads(rank protocol.Rank, limit int) ([]*protocol.Head, error) {
	return t.headsWhere(limit, func(l *laneRow) bool { return l.state == protocol.Ready && l.rank() == rank })
}

// rank is that of the lane's head.
func (l *laneRow) rank() protocol.Rank {
	switch {
	case l.head().Class == event.Realtime:
		return protocol.Awaited
	case l.realtime > 0:
		return protocol.Lifted
	}
	return protocol.Unhurried
}

func (t *tables) WakingHeads(now int64, limit int) ([]*protocol.Head, error) {
	return t.headsWhere(limit, func(l *laneRow) bool { return l.state == protocol.Waiting && l.wakeAt <= now })
}

func (t *tables) ReleasedHeads(limit int) ([]*protocol.Head, error) {
	return t.headsWhere(limit, func(l *laneRow) bool {
		s := l.head()
		if l.state != protocol.Parked {
			return false
		}
		newer := false
		t.queued(func(q *slotRow) { newer = newer || q.Subject == s.Subject && q.Rev > s.Rev })
		return newer || s.newest() != nil
	})
}

func (s *slotRow) newest() *document.Rendering {
	var out *document.Rendering
	for _, r := range s.newer {
		if r.Render > s.Rendering.Render && (out == nil || r.Render > out.Render) {
			out = r
		}
	}
	return out
}

func (t *tables) Around(s *protocol.Slot) (here, anywhere, overtaken bool, err error) {
	for _, lane := range t.order {
		for _, q := range t.lanes[lane].slots {
			if q.Subject != s.Subject || q.Rev <= s.Rev {
				continue
			}
			queued := q.state == "queued"
			here, anywhere = here || queued && lane == s.Lane, anywhere || queued
			overtaken = overtaken || q.state == "ended" && (q.outcome == protocol.Posted || q.outcome == protocol.Unchanged)
		}
	}
	for _, o := range t.ops {
		overtaken = overtaken || o.Subject == s.Subject && o.Rev > s.Rev
	}
	return here, anywhere, overtaken, nil
}

func (t *tables) Newer(s *protocol.Slot) (*document.Rendering, error) {
	return t.lanes[s.Lane].at(s.Seq).newest(), nil
}

func (t *tables) Next(lane string) (int64, bool, error) {
	l := t.lanes[lane]
	if l == nil {
		return 0, false, nil
	}
	return l.next, true, nil
}

func (t *tables) Stored(p protocol.Place) (bool, error) { return t.stored(p.Lane, p.Seq), nil }

func (t *tables) Places(subject string) ([]protocol.Place, error) {
	var out []protocol.Place
	t.queued(func(s *slotRow) {
		if s.Subject == subject {
			out = append(out, protocol.Place{Lane: s.Lane, Seq: s.Seq})
		}
	})
	return out, nil
}

func (t *tables) WaitsOf(lane string) ([]string, error) {
	var out []string
	if l := t.lanes[lane]; l != nil {
		for _, n := range l.waits {
			out = append(out, n.Ref)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (t *tables) AsideOf(subject string) ([]*protocol.Slot, error) {
	return t.asideWhere(func(s *slotRow) bool { return s.Subject == subject }), nil
}

func (t *tables) AsideAt(p protocol.Place) (*protocol.Slot, error) {
	if out := t.asideWhere(func(s *slotRow) bool { return s.Lane == p.Lane && s.Seq == p.Seq }); len(out) > 0 {
		return out[0], nil
	}
	return nil, nil
}

func (t *tables) asideWhere(keep func(*slotRow) bool) []*protocol.Slot {
	var out []*protocol.Slot
	for _, lane := range t.order {
		for _, s := range t.lanes[lane].slots {
			if s.state == "aside" && keep(s) {
				out = append(out, t.room.slots.copyOf(&s.Slot))
			}
		}
	}
	return out
}
