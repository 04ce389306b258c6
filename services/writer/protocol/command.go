package protocol

import "tieout.dev/services/internal/exception"

// command applies a person's action. It is stored as applied in any case; an
// action that no longer fits says so in its fact and changes nothing.
func (t *turn) command(c Command) {
	t.ch.Commands = append(t.ch.Commands, c.ID)
	if c.Lane == "" {
		t.commandTarget(c)
		return
	}
	h := t.head(c.Lane)
	if h == nil || h.Slot == nil || h.Exception != c.Exception || h.Slot.Seq != c.Seq {
		t.fact(Fact{Type: "exception.acted", Outcome: "too late", Detail: c.Action, Except: c.Exception, Actor: c.Actor})
		return
	}
	switch c.Action {
	case "retry":
		t.retry(h, c)
	case "discard":
		t.discard(h, c)
	}
}

// retry makes the same slot ready again and counts afresh.
func (t *turn) retry(h *Head, c Command) {
	t.act(c.Exception, c.Action, c.Actor, c.Reason, exception.Released)
	h.Slot.Attempts, h.Slot.WaitSince = 0, 0
	t.ch.WaitSince = append(t.ch.WaitSince, h.Slot)
	t.setLane(h, Ready, "", 0)
}

// discard ends the slot by a person's decision, unless an op of it may still
// land in the books.
func (t *turn) discard(h *Head, c Command) {
	if t.openOp(h) {
		t.fact(Fact{Type: "exception.acted", Slot: h.Slot, Outcome: "refused", Detail: "an op is in doubt: retry first", Except: c.Exception, Actor: c.Actor})
		return
	}
	t.act(c.Exception, c.Action, c.Actor, c.Reason, exception.Discarded)
	h.Exception = ""
	t.end(h, Discarded)
}

// commandTarget acts on the exception of a paused connection: retry probes now.
func (t *turn) commandTarget(c Command) {
	if c.Action == "retry" && t.v.Paused && c.Exception == t.v.Alert {
		t.m.ProbeAt = t.v.Mono
	}
}
