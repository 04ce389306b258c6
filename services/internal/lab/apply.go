package lab

import (
	"cmp"
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// apply stores what a turn changed, as the shell's statements do, and counts
// which ways of the state machines were taken.
func (t *tables) apply(ch *protocol.Changes) {
	t.beside(func(b Beside) error { return b.Apply(t.w.target, t.w.now, ch) })
	t.applySlots(ch)
	for _, c := range ch.Lanes {
		l := t.lanes[c.Lane]
		t.w.cover.lane(l.state, c.State)
		l.state, l.exception, l.wakeAt, l.waits = c.State, c.Exception, c.WakeAt, nil
	}
	for _, x := range ch.Waits {
		t.lanes[x.Lane].waits = append(t.lanes[x.Lane].waits, x.Need)
	}
	for _, c := range ch.Calls {
		t.putCall(c)
	}
	for _, o := range ch.Ops {
		if o.State == protocol.Sent {
			t.checkPlan(o)
			t.checkName(o)
		}
		t.putOp(o)
	}
	for _, l := range ch.Links {
		t.putLink(l)
		t.wakeWaiting(document.Need{Ref: l.SourceRef, Kind: l.Kind, Part: l.Part})
	}
	for _, o := range ch.Ops {
		if o.State == protocol.Sent {
			t.checkAgreed(o)
		}
	}
	for i := range ch.Opened {
		delete(t.agreed, protocol.Place{Lane: ch.Opened[i].Lane, Seq: ch.Opened[i].Seq})
	}
	for _, r := range ch.Recalled {
		t.w.cover.Exits["recall "+string(r.State)]++
		t.recalled[r.Subject] = r.State
	}
	t.applyPeople(ch)
	for _, e := range ch.Ended {
		if e.Outcome == protocol.Superseded {
			t.checkHalf(e)
		}
	}
	t.applyTarget(ch)
	for i := range ch.Facts {
		t.checkAbsent(&ch.Facts[i])
		t.fact(&ch.Facts[i])
	}
}

func (t *tables) applySlots(ch *protocol.Changes) {
	for _, s := range ch.WaitSince {
		row := t.lanes[s.Lane].at(s.Seq)
		row.WaitSince, row.Attempts = s.WaitSince, s.Attempts
	}
	for _, e := range ch.Ended {
		l := t.lanes[e.Lane]
		s := l.at(e.Seq)
		t.w.cover.Outcomes[string(e.Outcome)]++
		t.checkEnd(e)
		if s.state == "queued" && s.Class == event.Realtime {
			l.realtime--
		}
		if s.state == "queued" || s.state == "aside" {
			s.state, s.outcome, s.Exception = "ended", e.Outcome, e.Exception
			if e.Outcome == protocol.Aside {
				s.state, s.outcome = "aside", ""
			}
		}
		if l.next == e.Seq {
			l.next = e.Seq + 1
		}
	}
	for _, s := range ch.TakenOver {
		t.w.cover.Exits["taken over"]++
		t.lanes[s.Lane].at(s.Seq).Rendering = s.Rendering
	}
}

func (t *tables) putCall(c *protocol.Call) {
	x := *c
	for i, old := range t.calls {
		if old.ID == c.ID {
			t.calls[i] = &x
			return
		}
	}
	t.calls = append(t.calls, &x)
}

func (t *tables) putOp(o *protocol.Op) {
	x := *o
	i, found := slices.BinarySearchFunc(t.ops, &x, func(a, b *protocol.Op) int { return cmp.Compare(a.ID, b.ID) })
	if found {
		t.checkSettled(t.ops[i], o)
		t.w.cover.op(t.ops[i].State, o.State)
		t.ops[i] = &x
		return
	}
	t.w.cover.op("", o.State)
	t.ops = slices.Insert(t.ops, i, &x)
}

// wakeWaiting lets lanes look at once that wait for what is now there.
func (t *tables) wakeWaiting(n document.Need) {
	for _, lane := range t.order {
		if l := t.lanes[lane]; l.state == protocol.Waiting && slices.Contains(l.waits, n) {
			l.wakeAt = 0
		}
	}
}

func (t *tables) applyPeople(ch *protocol.Changes) {
	for _, e := range ch.Opened {
		if slices.ContainsFunc(t.exceptions, func(x *excRow) bool { return x.ID == e.ID }) {
			continue
		}
		t.w.cover.Kinds[string(e.Kind)]++
		t.checkParked(&e)
		t.exceptions = append(t.exceptions, &excRow{e, true})
	}
	for _, a := range ch.Acted {
		for _, x := range t.exceptions {
			if x.ID == a.ID && x.open {
				x.open = false
				t.w.cover.Exits[a.Action]++
			}
		}
	}
	for _, id := range ch.Commands {
		t.done[id] = true
	}
	t.commands = slices.DeleteFunc(t.commands, func(c protocol.Command) bool { return t.done[c.ID] })
}

func (t *tables) applyTarget(ch *protocol.Changes) {
	if ch.Hold != nil {
		t.held = *ch.Hold
	}
	if ch.Pause != nil {
		t.paused, t.reason, t.alert = *ch.Pause, ch.PauseCause, ch.Alert
		if t.paused {
			t.w.cover.Exits["paused"]++
		}
	}
}

// fact hands ingest what it must know.
func (t *tables) fact(f *protocol.Fact) {
	t.w.logFact(f)
	if f.Type == "op.settled" && f.Outcome == "posted" {
		t.w.books.checkDone(f.Op, strings.HasPrefix(f.Detail, "found by a person"))
	}
	t.w.books.checkLinked(f)
	out := fact{kind: f.Type, outcome: f.Outcome, life: t.life, site: t.w.no}
	if f.Slot != nil {
		out.event, out.subject, out.render = f.Slot.EventID, f.Slot.Subject, f.Slot.Rendering.Render
		out.at = protocol.Place{Lane: f.Slot.Lane, Seq: f.Slot.Seq}
	}
	if f.Op != nil && f.Posting != nil {
		out.source, _ = event.ParseRef(f.Op.Subject)
	}
	if t.w.f.restore > 0 && f.Posting != nil && f.Op != nil {
		t.confirm(f, &out)
	}
	switch f.Type {
	case "link.credited":
		t.w.cover.Exits["credited"]++
		t.w.ingest.tell(out)
	case "slot.ended", "slot.requeued", "slot.rerender", "link.gone", "link.voided":
		t.w.ingest.tell(out)
	case "link.created":
		if f.Outcome != "void" {
			t.w.ingest.tell(out)
		}
	}
}

func (w *world) logFact(f *protocol.Fact) {
	if w.trace == nil {
		return
	}
	slot := ""
	if f.Slot != nil {
		slot = laneID(f.Slot.Lane) + "/" + itoa(f.Slot.Seq) + " " + f.Slot.Subject
	}
	op := ""
	if f.Op != nil {
		op = string(f.Op.Kind) + " " + f.Op.Part + " " + string(f.Op.Effect)
	}
	w.log("  %s %s %s %s %s", f.Type, slot, op, f.Outcome, f.Detail)
}

// openException returns the open exceptions, oldest first.
func (t *tables) openExceptions() []*excRow {
	var out []*excRow
	for _, x := range t.exceptions {
		if x.open {
			out = append(out, x)
		}
	}
	return out
}

// confirm adds what the books confirmed, which links can be rebuilt from.
func (t *tables) confirm(f *protocol.Fact, out *fact) {
	c := &protocol.Confirmed{
		Key: link.Key{SourceRef: f.Op.Subject, Kind: f.Op.Kind, Part: f.Op.Part}, N: f.Op.N, Rev: f.Op.Rev, OtherRef: f.Posting.Ref.String(), Version: f.Posting.Version,
		Number: f.Posting.Number, State: link.Primary,
	}
	switch {
	case f.Type == "link.gone":
		c.State = link.Gone
	case f.Type == "link.credited":
		c.State = link.Credited
	case f.Op.Effect == connector.Void, f.Posting.IsVoid():
		c.State = link.Void
	}
	out.confirmed = c
	if f.Type == "op.settled" && f.Outcome == "posted" {
		t.w.ingest.tell(*out)
	}
}
