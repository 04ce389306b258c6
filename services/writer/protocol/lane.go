package protocol

import (
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// verdict of a part, or of a whole head.
type verdict int

const (
	partDone    verdict = iota // true in the books
	partPending                // something is under way or due
	partBlocked                // the head was parked, ended or made to wait
)

// heads moves every lane that may move, in the order of the schedule.
func (t *turn) heads() {
	for _, h := range t.v.Heads {
		if h.Slot != nil && (h.State == Ready || h.State == Waiting || h.State == Parked) {
			t.class = h.Slot.Class
			t.move(h)
		}
	}
	t.class = ""
	t.closeBatch()
}

func (t *turn) move(h *Head) {
	if t.past(h) {
		return
	}
	switch {
	case t.openOp(h):
		return
	case t.overtaken(h), t.replaced(h):
		if h.AfterMet {
			t.merge(h) // what stands between it and the newer one needs the customer already
		}
		t.end(h, superseded(h))
		return
	case h.State == Parked && !t.takeOver(h):
		return
	case !h.AfterMet:
		t.follow(h)
		return
	}
	if lane, held := t.busy[h.Slot.Subject]; held && lane != h.Lane {
		return // subject hold: another lane has an op of it under way
	}
	t.run(h)
}

// overtaken: a higher revision was carried out, also where a restore took its op away
// and left what a fact tells of its document. Or a merge made its documents another
// record's.
func (t *turn) overtaken(h *Head) bool {
	return h.Overtaken || slices.ContainsFunc(t.v.Own[h.Slot.Subject], func(l *link.Link) bool { return l.Rev > h.Slot.Rev || l.Merged() })
}

// replaced: a newer revision stands behind it, or a parked one's in any lane. That
// of a merge may go as well: each later one names all that was merged.
func (t *turn) replaced(h *Head) bool {
	return h.NewerHere && h.AfterMet && !t.hasDone(h) || h.State == Parked && h.NewerAny
}

// superseded is how a head ends that a newer revision makes superfluous: that a person
// discarded it in a life that is lost is told as they said it.
func superseded(h *Head) Outcome {
	if h.Past != nil && h.Past.Ended == Discarded {
		return Discarded
	}
	return Superseded
}

// run works through the parts in order. Ensure parts of one slot go together;
// an own part waits for all of them.
func (t *turn) run(h *Head) {
	r := h.Slot.Rendering
	if t.recall(h) != partDone {
		return
	}
	if r.Verdict == document.Rejected && !r.UpdateOnly {
		t.parkRejected(h)
		return
	}
	t.merge(h)
	if r.Verdict == document.Rejected {
		t.rejectedUpdate(h)
		return
	}
	if t.mergeDocuments(h) != partDone {
		return
	}
	for _, l := range t.vanished(h) {
		if l.MappingHash != r.MappingHash {
			t.park(h, exception.PartVanish, "", "part "+l.Part+" has a document, and the mapping no longer names it", nil)
			return
		}
	}
	pending := false
	for _, p := range t.parts(h) {
		if pending && p.Mode == document.Own {
			return
		}
		switch t.part(h, p) {
		case partPending:
			pending = true
			if p.Mode == document.Own {
				return
			}
		case partBlocked:
			return
		}
	}
	if !pending {
		t.finish(h)
	}
}

// parts are the rendering's, and before them every live document of the
// subject that the same mapping no longer names: it is to be voided.
func (t *turn) parts(h *Head) []*document.Part {
	r := h.Slot.Rendering
	out := make([]*document.Part, 0, len(r.Parts))
	for i := range r.Parts {
		out = append(out, &r.Parts[i])
	}
	for _, l := range t.vanished(h) {
		out = append(out, &document.Part{
			Name: l.Part, Kind: l.Kind, Mode: document.Own, Desired: document.Voided, VoidCause: document.Cancelled, Subject: l.SourceRef,
		})
	}
	return out
}

// vanished are live links of the subject whose part the rendering lacks.
func (t *turn) vanished(h *Head) []*link.Link {
	var out []*link.Link
	r := h.Slot.Rendering
	for _, l := range t.v.Own[h.Slot.Subject] {
		if l.Live() && !named(r.Parts, l) {
			out = append(out, l)
		}
	}
	return out
}

func named(parts []document.Part, l *link.Link) bool {
	for i := range parts {
		if parts[i].Kind == l.Kind && parts[i].Name == l.Part && parts[i].Subject == l.SourceRef {
			return true
		}
	}
	return false
}

// finish ends a slot whose parts are all true.
func (t *turn) finish(h *Head) {
	if t.hasDone(h) {
		t.end(h, Posted)
		return
	}
	t.end(h, Unchanged)
}

func (t *turn) end(h *Head, o Outcome) {
	if h.Exception != "" {
		t.release(h.Slot, h.Exception, string(o), "ended "+string(o))
	}
	delete(t.m.Agreed, h.place())
	t.ch.Ended = append(t.ch.Ended, Ended{Lane: h.Lane, Seq: h.Slot.Seq, Outcome: o})
	t.fact(Fact{Type: "slot.ended", Slot: h.Slot, Outcome: string(o)})
	if o == Posted || o == Unchanged {
		t.replaceAside(h.Slot)
		t.overtakes(h.Slot)
	}
	t.next(h)
}

// overtakes tells the heads of other lanes that were read in this turn: an older
// revision of the subject comes too late from here on.
func (t *turn) overtakes(s *Slot) {
	for _, h := range t.v.Heads {
		if h.Slot != nil && h.Slot.Subject == s.Subject && h.Slot.Rev < s.Rev {
			h.Overtaken = true
		}
	}
}

// next lets the lane go on behind a slot that came to its end.
func (t *turn) next(h *Head) {
	t.setLane(h, Ready, "", 0)
	h.Slot = nil
	t.wake(t.v.Mono) // the lane's next slot may be there already
}

// release closes an exception without a person.
func (t *turn) release(s *Slot, id, action, note string) {
	t.act(s, id, action, "tieout", note, exception.Released)
}

// openOp reports whether an op of the slot is sent or in doubt.
func (t *turn) openOp(h *Head) bool { return t.anyOp(h, Sent, Doubt) }

// hasDone reports whether an op of the slot is done.
func (t *turn) hasDone(h *Head) bool { return t.anyOp(h, Done, Done) }

func (t *turn) anyOp(h *Head, a, b OpState) bool {
	for _, id := range t.v.OpIDs {
		op := t.v.Ops[id]
		if op.Lane == h.Lane && op.Seq == h.Slot.Seq && (op.State == a || op.State == b) {
			return true
		}
	}
	return false
}

// park puts the head in front of a person and holds the lane.
func (t *turn) park(h *Head, k exception.Kind, field, reason string, f *fault.Error) verdict {
	delete(t.m.Agreed, h.place())
	t.setLane(h, Parked, t.ask(h, k, field, reason, f), 0)
	return partBlocked
}

// ask opens an exception in place of the one that the head has. What was opened in
// this turn already, as for another item of the same call, asks for both.
func (t *turn) ask(h *Head, k exception.Kind, field, reason string, f *fault.Error) (id string) {
	e := t.exception(h, k, field, reason, f)
	if h.Exception == e.ID {
		return e.ID
	}
	if h.Exception != "" { // what it waited for before is no longer the matter
		t.release(h.Slot, h.Exception, "replaced", reason)
	}
	t.ch.Opened = append(t.ch.Opened, e)
	t.fact(Fact{Type: "exception.opened", Slot: h.Slot, Outcome: string(k), Detail: reason, Except: e.ID})
	return e.ID
}

func (t *turn) exception(h *Head, k exception.Kind, field, reason string, f *fault.Error) exception.Exception {
	help := exception.HelpFor(k)
	e := exception.Exception{
		ID: exceptionID(t.v.Target, h.Lane, h.Slot.Seq, string(k), t.v.Now), Kind: k, State: exception.Open, Target: t.v.Target,
		Lane: h.Lane, Seq: h.Slot.Seq, Subject: h.Slot.Subject, Customer: h.Slot.Customer, Reason: reason, Field: field, Fix: help.Fix,
		Owner: help.Owner, TraceID: traceID(h.Slot.Trace), OpenedAt: time.UnixMicro(t.v.Now),
	}
	if f != nil {
		e.VendorCode, e.VendorText = f.Code, f.Text
	}
	if h.Slot.Rendering != nil {
		e.Rule = h.Slot.Rendering.Reason.Rule
	}
	return e
}

// rejectedUpdate: a record that only keeps up to date what others made holds nobody
// up. While nothing stands for it in the books, nothing is owed.
func (t *turn) rejectedUpdate(h *Head) {
	if !h.Linked {
		t.finish(h)
		return
	}
	r := h.Slot.Rendering.Reason
	t.setAside(h, exception.Kind(r.Kind), r.Field, r.Detail, nil)
}

func (t *turn) parkRejected(h *Head) {
	r := h.Slot.Rendering.Reason
	t.park(h, exception.Kind(r.Kind), r.Field, r.Detail, nil)
}

// parkOp parks a doubt that nothing can decide.
func (t *turn) parkOp(op *Op) {
	h := t.head(op.Lane)
	if h == nil || h.Slot == nil || h.State == Parked {
		return
	}
	sought := op.Mark
	if op.Effect != connector.Create {
		sought = "the " + string(op.Effect) + " of " + op.TargetRef
	}
	t.park(h, exception.Doubt, "", "the answer was lost and these books cannot be searched for "+sought, nil)
}
