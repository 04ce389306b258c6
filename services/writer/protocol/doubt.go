package protocol

import (
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

// resendAfter is when a call that its target recognises is sent again.
const resendAfter = time.Second

// lookAgain is when a doubt is looked into again after its look failed.
const lookAgain = 5 * time.Second

// resolveAt says when a doubtful call is looked into: soon where a copy does
// no harm, else after the quarantine, on the owner's own clock.
func (t *turn) resolveAt(c *Call) time.Duration {
	if t.mayResend(c) {
		t.m.Soon[c.ID] = true
		return t.v.Mono + resendAfter
	}
	delete(t.m.Soon, c.ID)
	return t.v.Mono + t.v.Claims.Q()
}

// mayResend: the target keeps the key long enough (A), or refuses a second one
// by a unique reference (B: creates only, since nothing else carries one). All
// items leave again with the call, so each must be protected, also those that
// are no longer in doubt; what was refused there must not come after all.
func (t *turn) mayResend(c *Call) bool {
	open := false
	if c.FirstSent == 0 { // what became of its items later was forgotten, or one may have left in another call
		return false
	}
	for _, item := range c.Items {
		op := t.opOf(c, item)
		inDoubt := op != nil && (op.State == Sent || op.State == Doubt)
		open = open || inDoubt
		switch t.v.Claims.Ambiguity[item.Kind] {
		case connector.KeyRemembered:
			if age := time.Duration(t.v.Now-c.FirstSent) * time.Microsecond; age >= t.v.Claims.KeyLife/2 {
				return false
			}
		case connector.UniqueReference:
			if item.Effect != connector.Create || c.Sends > 1 || !inDoubt {
				return false
			}
		default:
			return false
		}
	}
	return open && !t.m.Spent[c.ID]
}

// doubts looks into every call that is unsettled and not under way. A call
// inherited from a former owner starts its quarantine now.
func (t *turn) doubts() {
	for _, c := range t.v.Calls {
		if c.State == CallSettled || t.m.Flying[c.ID] {
			continue
		}
		at, known := t.m.ResolveAt[c.ID]
		if !known {
			t.inherit(c)
			continue
		}
		if t.v.Mono < at {
			t.wake(at)
			continue
		}
		t.resolve(c)
	}
}

func (t *turn) inherit(c *Call) {
	for _, item := range c.Items {
		if op := t.opOf(c, item); op != nil && op.State == Sent {
			t.doubt(op, "taken over from a former owner")
		}
	}
	c.State = CallDoubt
	t.ch.Calls = append(t.ch.Calls, c)
	t.m.ResolveAt[c.ID] = t.resolveAt(c)
	t.wake(t.m.ResolveAt[c.ID])
}

// resolve sends a harmless copy, or looks item by item.
func (t *turn) resolve(c *Call) {
	if t.mayResend(c) {
		t.sendAgain(c)
		return
	}
	if t.m.Soon[c.ID] { // it was to be sent again, and no longer may: the last copy must rest before a look decides
		t.m.ResolveAt[c.ID] = t.resolveAt(c)
		t.wake(t.m.ResolveAt[c.ID])
		return
	}
	open := false
	for _, item := range c.Items {
		if op := t.opOf(c, item); op != nil && op.State == Doubt {
			open = !t.resolveOp(op, item) || open
		}
	}
	if !open {
		t.closeCall(c, false)
	}
}

// sendAgain lets a copy leave; of a shared call also within what may leave of those.
func (t *turn) sendAgain(c *Call) {
	switch {
	case len(c.Items) > 1 && t.v.Batches <= 0:
		t.wake(t.v.Mono + resendAfter)
	case t.leave():
		t.send(c)
	}
}

// opOf is the op of a call's item while it is this call's. One that was absent
// may have left again in another call, whose own quarantine it then waits for.
func (t *turn) opOf(c *Call, item connector.Item) *Op {
	if op := t.v.Ops[item.OpID]; op != nil && op.Call == c.ID {
		return op
	}
	return nil
}

// resolveOp reports whether the op is no longer in doubt.
func (t *turn) resolveOp(op *Op, item connector.Item) bool {
	if t.v.Claims.Ambiguity[op.Kind] == connector.Opaque {
		t.parkOp(op)
		return false
	}
	key := "resolve|" + op.ID + ":" + itoa(op.Gen) // what was seen of an earlier generation says nothing
	answer, ok := t.m.Looks[key]
	if !ok {
		t.look(t.probeFor(op, key))
		return false
	}
	delete(t.m.Looks, key)
	if answer.Err != nil && fault.KindOf(answer.Err) != fault.NotFound {
		t.m.ResolveAt[op.Call] = t.v.Mono + lookAgain
		t.wake(t.m.ResolveAt[op.Call])
		return false
	}
	if p := landed(op, item, answer.Postings); p != nil {
		t.done(op, p, "the answer was lost; found in the books")
		return true
	}
	t.refuse(op, "absent", "the answer was lost; not in the books after the quarantine")
	return true
}

// probeFor searches for a create by its mark and reads everything else by id.
func (t *turn) probeFor(op *Op, key string) Look {
	if op.Effect != connector.Create {
		ref, _ := event.ParseRef(op.TargetRef)
		return Look{Key: key, Kind: op.Kind, Ref: ref}
	}
	p := &connector.Probe{Kind: op.Kind, Mark: op.Mark, Name: op.Fields["name"], SKU: op.Fields["sku"], Since: time.UnixMicro(op.StartedAt).Add(-5 * time.Minute)}
	if c := op.Fields["customer"]; c != "" {
		p.Customer, _ = event.ParseRef(c)
	}
	return Look{Key: key, Kind: op.Kind, Probe: p}
}

// landed returns the posting that proves the op's effect.
func landed(op *Op, item connector.Item, found []connector.Posting) *connector.Posting {
	for i := range found {
		p := &found[i]
		switch op.Effect {
		case connector.Create:
			if p.Mark == item.Mark {
				return p
			}
		case connector.Void:
			if p.Status == connector.Voided {
				return p
			}
		case connector.Update:
			if sameFields(op.Fields, p.Fields) {
				return p
			}
		}
	}
	return nil
}

// send lets a copy of an unsettled call leave.
func (t *turn) send(c *Call) {
	if len(c.Items) > 1 {
		t.v.Batches--
	}
	c.Sends++
	c.LastSent = t.v.Now
	if c.FirstSent == 0 {
		c.FirstSent = t.v.Now
	}
	c.State = CallSent
	t.m.Flying[c.ID] = true
	t.departs(c.ID)
	t.ch.Calls = append(t.ch.Calls, c)
	t.eff.Send = append(t.eff.Send, c)
	for _, item := range c.Items {
		if op := t.v.Ops[item.OpID]; op != nil {
			t.fact(Fact{Type: "call.sent", Slot: t.slotOf(op), Ops: []string{op.ID}, Outcome: sendsText(c.Sends), Op: op, Hash: op.RequestHash})
		}
	}
}

func sendsText(n int) string {
	if n == 1 {
		return "sent"
	}
	return "sent again"
}

// look asks for a read, unless it is under way.
func (t *turn) look(l Look) {
	if _, asked := t.m.Looking[l.Key]; asked || !t.leave() {
		return
	}
	t.m.Looking[l.Key] = t.v.Mono
	t.departs(l.Key)
	t.eff.Looks = append(t.eff.Looks, l)
}

func (t *turn) takeLook(l LookAnswer) {
	l.At = t.m.Looking[l.Key]
	delete(t.m.Looking, l.Key)
	t.rest(l.Err)
	t.countConnection(l.Key, l.Err)
	t.m.Looks[l.Key] = l
}

func freshKey(otherRef string) string { return "fresh|" + otherRef }
