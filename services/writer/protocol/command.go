package protocol

import (
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// The actions of a person.
const (
	Retry         = "retry"
	Rerender      = "rerender"
	Requeue       = "requeue"
	LinkTo        = "link"
	ConfirmAbsent = "confirm-absent"
	ReissueIt     = "reissue"
	Discard       = "discard"
	Pause         = "pause"
	Resume        = "resume"
)

// command applies a person's action. It is stored as applied, unless a read of
// the books must come first; an action that no longer fits says so in its fact
// and changes nothing.
func (t *turn) command(c Command) {
	if c.Lane == "" {
		t.commandTarget(c)
		return
	}
	if c.Aside != nil {
		t.commandAside(c)
		return
	}
	h := t.head(c.Lane)
	if h == nil || h.Slot == nil || h.Exception != c.Exception || h.Slot.Seq != c.Seq {
		t.refuseCommand(c, nil, "too late: the record moved on")
		return
	}
	switch c.Action {
	case Retry:
		t.retry(h, c)
	case Rerender:
		t.rerender(h, c)
	case Requeue:
		t.requeueBy(h, c)
	case LinkTo:
		t.linkBy(h, c)
	case ConfirmAbsent:
		t.confirmAbsent(h, c)
	case ReissueIt:
		t.reissue(h, c)
	case Discard:
		t.discard(h, c)
	default:
		t.refuseCommand(c, h.Slot, "there is no such action")
	}
}

// refuseCommand says why an action changed nothing.
func (t *turn) refuseCommand(c Command, s *Slot, why string) {
	t.ch.Commands = append(t.ch.Commands, c.ID)
	t.ch.Refused = append(t.ch.Refused, Refusal{c.ID, why})
	t.fact(Fact{Type: "exception.acted", Slot: s, Outcome: "refused", Detail: c.Action + ": " + why, Except: c.Exception, Actor: c.Actor})
}

// accept closes the exception by the person's action.
func (t *turn) accept(c Command, s *Slot, state exception.State) {
	t.ch.Commands = append(t.ch.Commands, c.ID)
	t.act(s, c.Exception, c.Action, c.Actor, c.Reason, state)
}

// again makes the same slot ready and counts afresh.
func (t *turn) again(h *Head) {
	h.Slot.Attempts, h.Slot.WaitSince = 0, 0
	t.ch.WaitSince = append(t.ch.WaitSince, h.Slot)
	t.setLane(h, Ready, "", 0)
}

func (t *turn) retry(h *Head, c Command) {
	t.vouch(h)
	t.accept(c, h.Slot, exception.Released)
	t.again(h)
}

// rerender asks ingest to publish the slot's event again; the lane stays held
// until the newer rendering is here.
func (t *turn) rerender(h *Head, c Command) {
	if t.openOp(h) {
		t.refuseCommand(c, h.Slot, "an op of it is in doubt: retry first")
		return
	}
	t.ch.Commands = append(t.ch.Commands, c.ID)
	t.fact(Fact{Type: "slot.rerender", Slot: h.Slot, Outcome: "asked", Detail: c.Reason, Except: c.Exception, Actor: c.Actor})
}

// requeueBy moves the slot behind what fixes it.
func (t *turn) requeueBy(h *Head, c Command) {
	if !t.lookFirst(h, c) {
		return
	}
	if t.openOp(h) {
		t.refuseCommand(c, h.Slot, "an op of it is in doubt: retry first")
		return
	}
	t.accept(c, h.Slot, exception.Released)
	h.Exception = ""
	t.requeue(h, "by a person: "+c.Reason)
}

// discard ends the slot by a person's decision, unless an op of it may still
// land in the books.
func (t *turn) discard(h *Head, c Command) {
	if !t.lookFirst(h, c) {
		return
	}
	if t.openOp(h) {
		t.refuseCommand(c, h.Slot, "an op of it is in doubt: retry first")
		return
	}
	t.accept(c, h.Slot, exception.Discarded)
	h.Exception = ""
	t.end(h, Discarded)
}

// linkBy links the record in the books that a person names, after reading it.
// What one saw while a copy could still land says nothing, also if the reading
// takes until none can.
func (t *turn) linkBy(h *Head, c Command) {
	op := t.doubtful(h, kindOfRef(c.Ref))
	if op != nil && !t.forPerson(op) {
		t.refuseCommand(c, h.Slot, "whether it is there already is still in doubt; wait until "+t.v.Claims.Q().String()+" after it was sent")
		return
	}
	key := "link|" + c.Ref
	a, ok := t.m.Looks[key]
	if !ok || t.v.Mono-a.At > freshFor {
		t.look(Look{Key: key, Kind: kindOfRef(c.Ref), Ref: parseRef(c.Ref)})
		return // the command waits for the answer
	}
	delete(t.m.Looks, key)
	if a.Err != nil || len(a.Postings) != 1 {
		t.refuseCommand(c, h.Slot, "the books have no record "+c.Ref+": "+faultText(fault.As(a.Err)))
		return
	}
	p := &a.Postings[0]
	if t.linkForgotten(h, c, p) {
		return
	}
	if op != nil {
		t.linkDoubt(h, c, op, p)
		return
	}
	for _, part := range t.parts(h) {
		live, n := t.live(part)
		if live != nil || part.Kind != p.Kind {
			continue
		}
		if why := t.contradiction(part, p); why != "" {
			t.refuseCommand(c, h.Slot, c.Ref+": "+why)
			return
		}
		t.accept(c, h.Slot, exception.Released)
		t.again(h)
		t.adopt(h, part, n, p, "a person: "+c.Actor, nil)
		return
	}
	t.refuseCommand(c, h.Slot, "no part of the record waits for a "+string(p.Kind))
}

// linkDoubt settles a doubtful create by the document that a person found.
func (t *turn) linkDoubt(h *Head, c Command, op *Op, p *connector.Posting) {
	why := unproven(op, p)
	if part := t.partOf(h, op); why == "" && part != nil && op.Effect == connector.Create && p.Mark != op.Mark {
		why = t.contradiction(part, p) // somebody else made it: as if it were matched
	}
	if why != "" {
		t.refuseCommand(c, h.Slot, c.Ref+": "+why)
		return
	}
	t.accept(c, h.Slot, exception.Released)
	t.setLane(h, Running, "", 0)
	t.done(op, p, "found by a person: "+c.Actor)
	t.settleCallOf(op)
}

// partOf is the part of the head that an op makes.
func (t *turn) partOf(h *Head, op *Op) *document.Part {
	for _, p := range t.parts(h) {
		if p.Kind == op.Kind && p.Name == op.Part && p.Subject == op.Subject {
			return p
		}
	}
	return nil
}

// unproven says why a document that a person names does not show the effect
// that is in doubt.
func unproven(op *Op, p *connector.Posting) string {
	switch {
	case op.Effect == connector.Create && p.Mark != "" && p.Mark != op.Mark:
		return "it carries the mark of another document"
	case op.Effect != connector.Create && p.Ref.String() != op.TargetRef:
		return "what is in doubt is " + op.TargetRef
	case op.Effect == connector.Void && p.Status != connector.Voided:
		return "it is not void: void it in the books, or say that the void is absent"
	case op.Effect == connector.Update && !sameFields(op.Fields, p.Fields):
		return "it does not say what was to be written: say that the change is absent"
	}
	return ""
}

// confirmAbsent: a person looked and the document is not there.
func (t *turn) confirmAbsent(h *Head, c Command) {
	op := t.doubtful(h, "")
	if op == nil || !t.forPerson(op) {
		t.refuseCommand(c, h.Slot, "nothing of it is in doubt, or the last copy may still land, or the books are searched for it")
		return
	}
	t.accept(c, h.Slot, exception.Released)
	t.again(h)
	t.refuse(op, "absent", "a person looked: "+c.Actor)
	t.settleCallOf(op)
}

// doubtful is the slot's op in doubt, of a kind if one is named.
func (t *turn) doubtful(h *Head, kind document.Kind) *Op {
	for _, id := range t.v.OpIDs {
		if op := t.v.Ops[id]; op.Lane == h.Lane && op.Seq == h.Slot.Seq && op.State == Doubt && (kind == "" || op.Kind == kind) {
			return op
		}
	}
	return nil
}

// forPerson reports whether a person may say what became of an op in doubt: the
// quarantine since its last copy has passed, and the books cannot be searched for
// it. Where they can, what landed meanwhile would stand beside what one names.
func (t *turn) forPerson(op *Op) bool {
	at, known := t.m.ResolveAt[op.Call]
	return known && t.v.Mono >= at && t.v.Claims.Ambiguity[op.Kind] == connector.Opaque
}

// settleCallOf closes the op's call if nothing else of it is open.
func (t *turn) settleCallOf(op *Op) {
	c := t.call(op.Call)
	if c == nil {
		return
	}
	for _, item := range c.Items {
		if o := t.opOf(c, item); o != nil && (o.State == Sent || o.State == Doubt) {
			return
		}
	}
	t.closeCall(c, false)
}

// reissue: a document that a person deleted or voided is wanted again. Its link
// ends as gone, and the plan opens another one. One that stands is voided or credited
// by the plan first, where that is what a person was asked about.
func (t *turn) reissue(h *Head, c Command) {
	var links []*link.Link
	for _, part := range t.parts(h) {
		if l, _ := t.live(part); l != nil && part.Kind.Financial() {
			links = append(links, l)
		}
	}
	gone, read := t.goneOf(links)
	switch {
	case !read:
		return // the command waits for the answers
	case len(gone) > 0:
		t.endLinks(h.Slot, c, gone, string(link.Gone))
	case Agreeable(c.Field):
		t.m.Agreed[h.place()] = true
	default:
		t.refuseCommand(c, h.Slot, itStands)
		return
	}
	t.accept(c, h.Slot, exception.Released)
	t.again(h)
}

// itStands is why a document is not made once more: it would be billed twice.
const itStands = "its document stands in the books: void or delete it there first"

// goneOf are the documents that the books no longer have, by a read made for a
// command; false while one is under way.
func (t *turn) goneOf(links []*link.Link) (gone []*link.Link, read bool) {
	for _, l := range links {
		a, known := t.m.Looks[reissueKey(l.OtherRef)]
		if !known || t.v.Mono-a.At > freshFor {
			t.look(Look{Key: reissueKey(l.OtherRef), Kind: l.Kind, Ref: parseRef(l.OtherRef)})
			return nil, false
		}
		switch {
		case fault.KindOf(a.Err) == fault.NotFound, a.Err == nil && len(a.Postings) == 0, a.Err == nil && a.Postings[0].Status == connector.Voided:
			gone = append(gone, l)
		case a.Err != nil:
			delete(t.m.Looks, reissueKey(l.OtherRef))
			t.wake(t.v.Mono + lookAgain)
			return nil, false
		}
	}
	for _, l := range links {
		delete(t.m.Looks, reissueKey(l.OtherRef))
	}
	return gone, true
}

// endLinks marks as gone what the books no longer have.
func (t *turn) endLinks(s *Slot, c Command, gone []*link.Link, outcome string) {
	for _, l := range gone {
		l.State = link.Gone
		t.ch.Links = append(t.ch.Links, l)
		t.fact(Fact{Type: "link.gone", Slot: s, Outcome: outcome, Detail: c.Reason, Actor: c.Actor, Posting: linkedPosting(l), Op: &Op{Part: l.Part, N: l.N, Kind: l.Kind, Subject: l.SourceRef}})
	}
}

func reissueKey(otherRef string) string { return "reissue|" + otherRef }

// commandAside acts on a slot that was set aside: trying again is a new place
// at the lane's tail.
func (t *turn) commandAside(c Command) {
	s := c.Aside
	switch c.Action {
	case Retry, Requeue, Rerender:
		t.accept(c, s, exception.Released)
		t.ch.Ended = append(t.ch.Ended, Ended{Lane: s.Lane, Seq: s.Seq, Outcome: Moved})
		t.fact(Fact{Type: "slot.requeued", Slot: s, Outcome: string(Moved), Detail: c.Reason, Actor: c.Actor})
	case Discard:
		t.accept(c, s, exception.Discarded)
		t.ch.Ended = append(t.ch.Ended, Ended{Lane: s.Lane, Seq: s.Seq, Outcome: Discarded})
		t.fact(Fact{Type: "slot.ended", Slot: s, Outcome: string(Discarded)})
	default:
		t.refuseCommand(c, s, "it is set aside: retry or discard it")
	}
}

// commandTarget acts on what concerns no slot: a paused connection is probed
// now; two customers to be merged are done when a person says so; a document
// that a reconciliation found deleted is reissued.
func (t *turn) commandTarget(c Command) {
	switch {
	case c.Action == Pause, c.Action == Resume:
		t.hold(c)
	case c.Action == ReissueIt:
		t.reissueRef(c)
	case t.v.Paused && c.Exception == t.v.Alert:
		t.ch.Commands = append(t.ch.Commands, c.ID)
		if c.Action == Retry && t.m.Probe == "" { // else the one under way answers
			t.m.ProbeAt = t.v.Mono
		}
	case c.Action == Discard:
		t.accept(c, nil, exception.Discarded)
	default:
		t.accept(c, nil, exception.Released)
	}
}

// hold pauses the target for a person, or lets it go on.
func (t *turn) hold(c Command) {
	t.ch.Commands = append(t.ch.Commands, c.ID)
	by := ""
	if c.Action == Pause {
		by = c.Actor
	}
	t.v.HeldBy, t.ch.Hold = by, &by
	t.fact(Fact{Type: "target." + c.Action + "d", Outcome: c.Action, Detail: c.Reason, Actor: c.Actor})
}

// reissueRef marks the documents of a record as gone; ingest hears of it and
// admits the record once more.
func (t *turn) reissueRef(c Command) {
	var links []*link.Link
	for _, l := range t.v.Own[c.Ref] {
		if l.Live() && (c.Part == "" || l.Part == c.Part) {
			links = append(links, l)
		}
	}
	gone, read := t.goneOf(links)
	switch {
	case !read:
	case len(gone) == 0:
		t.refuseCommand(c, nil, itStands)
	default:
		t.endLinks(nil, c, gone, "reissue")
		t.ch.Commands = append(t.ch.Commands, c.ID)
	}
}
