package protocol

import (
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// maxConflicts is how often a moved record is looked at and planned again
// before a person must look.
const maxConflicts = 5

// settle takes the answer to a call. Only success is final for a call that was
// sent more than once, and so is in doubt: an earlier copy may still land.
func (t *turn) settle(a Answer) {
	delete(t.m.Flying, a.Call)
	for _, o := range a.Outcomes {
		t.rest(o.Err)
	}
	c := t.call(a.Call)
	if c == nil || c.State == CallSettled {
		return
	}
	doubtful := false
	for i, item := range c.Items {
		op := t.opOf(c, item)
		if op == nil || (op.State != Sent && op.State != Doubt) {
			continue
		}
		doubtful = t.outcome(c, op, a, i) || doubtful
	}
	t.closeCall(c, doubtful)
}

// outcome takes the answer about one item and reports whether it stays in doubt.
func (t *turn) outcome(c *Call, op *Op, a Answer, i int) bool {
	if a.NotSent {
		if c.Sends > 1 { // an earlier copy may still land
			return true
		}
		t.refuse(op, "not_sent", "")
		return false
	}
	out := connector.Outcome{Err: fault.New(fault.InDoubt, "no answer for the item")}
	if i < len(a.Outcomes) {
		out = a.Outcomes[i]
	}
	t.countConnection(c.ID, out.Err)
	if out.Err == nil && out.Posting != nil {
		t.done(op, out.Posting, "")
		return false
	}
	f := fault.As(out.Err)
	switch {
	case f == nil || f.Kind == fault.InDoubt || f.Kind == fault.Internal:
		t.doubt(op, faultText(f))
		return true
	case c.Sends > 1: // nothing is known of the earlier copy, and no further one leaves
		t.m.Spent[c.ID] = true
		return true
	}
	t.noEffect(op, f)
	return false
}

// noEffect takes a definite answer that nothing happened.
func (t *turn) noEffect(op *Op, f *fault.Error) {
	switch f.Kind {
	case fault.RateLimited, fault.Transient, fault.Unauthorized:
		t.refuse(op, "not_sent", faultText(f))
	case fault.Conflict:
		t.conflict(op, f)
	default:
		t.rejected(op, f)
	}
}

// rejected: the books refuse the item for good. Too large a batch says nothing
// about its items: they leave again in smaller ones.
func (t *turn) rejected(op *Op, f *fault.Error) {
	if c := t.call(op.Call); f.Field == fault.FieldBatch && c != nil && len(c.Items) > 1 {
		t.m.BatchMost = max(1, len(c.Items)/2)
		t.refuse(op, "not_sent", faultText(f))
		return
	}
	t.refuse(op, "rejected", faultText(f))
	if kindOf(f) == exception.Period && t.v.Claims.LockDates && (op.Attempts < 2 || t.closedMeanwhile()) {
		delete(t.m.Looks, lockKey)
		t.forget(op)
		return
	}
	if h := t.headOf(op); h != nil {
		t.refusedOp(h, op, f)
	}
}

// closedMeanwhile: the lock date was read a while before the books refused a day.
// It is read anew, and the plan made by it: the cell may be another one.
func (t *turn) closedMeanwhile() bool {
	a, read := t.m.Looks[lockKey]
	return read && t.v.Mono-a.At >= lockRecent
}

// refusedOp puts the head of a refused op in front of a person, or sets it
// aside where it was an update of a customer or an item. Where the record is gone
// that a marker was for, or was pushed and never there, there is nothing to mark.
func (t *turn) refusedOp(h *Head, op *Op, f *fault.Error) {
	marker := op.Kind == document.MarkerKind
	switch {
	case marker && f.Kind == fault.NotFound:
		t.finish(h)
	case op.Effect == connector.Update && !marker && !op.Kind.Financial():
		t.setAside(h, kindOf(f), f.Field, faultText(f), f)
	default:
		t.park(h, kindOf(f), f.Field, faultText(f), f)
	}
}

// headOf is the head whose slot the op belongs to, or nil.
func (t *turn) headOf(op *Op) *Head {
	if h := t.head(op.Lane); h != nil && h.Slot != nil && h.Slot.Seq == op.Seq {
		return h
	}
	return nil
}

// conflict: the record moved under us. What was seen of it is forgotten, and
// the plan made anew; it may now be another effect.
func (t *turn) conflict(op *Op, f *fault.Error) {
	t.refuse(op, "conflict", faultText(f))
	t.forget(op)
	h := t.headOf(op)
	if h == nil {
		return
	}
	h.Slot.Attempts++
	t.ch.WaitSince = append(t.ch.WaitSince, h.Slot)
	if h.Slot.Attempts >= maxConflicts {
		t.refusedOp(h, op, f)
	}
}

// done: the effect is in the books. The link moves with it.
func (t *turn) done(op *Op, p *connector.Posting, detail string) {
	op.State, op.EndsAt = Done, max(t.v.Now, t.lastCopy(op))
	op.TargetRef, op.TargetVersion = p.Ref.String(), p.Version
	t.ch.Ops = append(t.ch.Ops, op)
	state := link.Primary
	if op.Effect == connector.Void {
		state = link.Void
	}
	created := t.putLink(op, p, state)
	slot := t.slotOf(op)
	t.fact(Fact{Type: "op.settled", Slot: slot, Ops: []string{op.ID}, Outcome: "posted", Detail: detail, Hash: op.RequestHash, Posting: p, Op: op})
	if created {
		t.fact(Fact{Type: "link.created", Slot: slot, Ops: []string{op.ID}, Outcome: string(state), Posting: p, Op: op})
	}
	if op.Kind == document.CreditNoteKind {
		t.credited(slot, op.Subject, op.Part, op.N, p)
	}
	t.forget(op)
	t.free(op)
}

// lastCopy is until when a copy of a create may still land that was sent more
// than once at books which only a unique name protects; 0 where none may.
func (t *turn) lastCopy(op *Op) int64 {
	c := t.call(op.Call)
	if c == nil || c.Sends < 2 || op.Effect != connector.Create || t.v.Claims.Ambiguity[op.Kind] != connector.UniqueReference {
		return 0
	}
	return c.LastSent + (t.v.Claims.Guard + t.v.Claims.LongestRequest).Microseconds()
}

// nameHeld is until when a record must keep its name: given up sooner, a copy
// of its create that still flies would make it once more, also where the create
// was for another record that was merged into this one.
func (t *turn) nameHeld(otherRef string) int64 {
	until := int64(0)
	for _, id := range t.v.OpIDs {
		if op := t.v.Ops[id]; op.Effect == connector.Create && op.State == Done && op.TargetRef == otherRef {
			until = max(until, op.EndsAt)
		}
	}
	return until
}

// forget drops what was seen of an op's record: it moved.
func (t *turn) forget(op *Op) {
	delete(t.m.Looks, freshKey(op.TargetRef))
	t.forgetMatch(op.Kind, op.Subject, op.Part)
}

// putLink stores what the books confirmed and reports whether the link is new.
func (t *turn) putLink(op *Op, p *connector.Posting, state link.State) bool {
	key := link.Key{SourceRef: op.Subject, Kind: op.Kind, Part: op.Part}
	for _, l := range t.v.Links[key] {
		if l.N == op.N && t.namesOther(l, p) {
			return false
		}
		if l.N == op.N {
			t.moveLink(l, op, p, state)
			return false
		}
	}
	l := &link.Link{Key: key, N: op.N, OtherTarget: t.v.Target}
	t.newLink(l)
	t.moveLink(l, op, p, state)
	return true
}

// newLink is seen by every head of the turn, also as one of its subject's own:
// a slot of another lane that comes later may no longer name its part.
func (t *turn) newLink(l *link.Link) {
	t.v.Links[l.Key] = append(t.v.Links[l.Key], l)
	if own, read := t.v.Own[l.SourceRef]; read && l.Kind == document.InvoiceKind {
		t.v.Own[l.SourceRef] = append(own, l)
	}
}

func (t *turn) moveLink(l *link.Link, op *Op, p *connector.Posting, state link.State) {
	l.OtherRef, l.OtherVersion, l.Number, l.State = p.Ref.String(), p.Version, p.Number, state
	if op.Effect == connector.Update && !op.Kind.Financial() && op.Kind != document.MarkerKind {
		l.Base = agreed(l.Base, p.Fields, differing(op.Fields, l.Base)) // only what was asked for is agreed anew
	} else {
		l.Base = p.Fields
	}
	l.BaseRev++
	if op.Rev > l.Rev {
		l.Rev = op.Rev
	}
	if s := t.slotOf(op); s != nil {
		l.MappingHash = s.Rendering.MappingHash
	}
	t.v.Owners[l.OtherRef] = l.Key
	t.ch.Links = append(t.ch.Links, l)
}

// refuse: nothing happened, for certain. What is absent after a doubt leaves
// anew on what the books say now, not on what was read before the doubt.
func (t *turn) refuse(op *Op, why, detail string) {
	if why == "absent" {
		t.forget(op)
	}
	t.unshare(op)
	op.State, op.EndsAt = Refused, t.v.Now
	t.ch.Ops = append(t.ch.Ops, op)
	t.fact(Fact{Type: "op.settled", Slot: t.slotOf(op), Ops: []string{op.ID}, Outcome: "refused:" + why, Detail: detail, Hash: op.RequestHash, Op: op})
	t.free(op)
}

// unshare: of a shared call that had an item refused no copy leaves again, by no
// owner: the item may leave in another call, and must not leave in both.
func (t *turn) unshare(op *Op) {
	if c := t.call(op.Call); c != nil && c.State != CallSettled && len(c.Items) > 1 {
		c.FirstSent = 0
		t.ch.Calls = append(t.ch.Calls, c)
	}
}

func (t *turn) doubt(op *Op, detail string) {
	if op.State == Doubt {
		return
	}
	op.State = Doubt
	t.ch.Ops = append(t.ch.Ops, op)
	t.fact(Fact{Type: "op.settled", Slot: t.slotOf(op), Ops: []string{op.ID}, Outcome: "doubt", Detail: detail, Hash: op.RequestHash, Op: op})
}

// free lets the op's lane move again.
func (t *turn) free(op *Op) {
	if h := t.head(op.Lane); h != nil && h.State == Running {
		t.setLane(h, Ready, "", 0)
	}
}

// closeCall settles the call when none of its ops is open, else makes it
// doubtful and says when to look.
func (t *turn) closeCall(c *Call, doubtful bool) {
	c.State = CallSettled
	delete(t.m.ResolveAt, c.ID)
	delete(t.m.Soon, c.ID)
	if !doubtful {
		delete(t.m.Spent, c.ID)
	} else {
		c.State = CallDoubt
		t.m.ResolveAt[c.ID] = t.resolveAt(c)
	}
	t.ch.Calls = append(t.ch.Calls, c)
}

func (t *turn) call(id string) *Call {
	for _, c := range t.v.Calls {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (t *turn) slotOf(op *Op) *Slot {
	if h := t.headOf(op); h != nil {
		return h.Slot
	}
	return nil
}
