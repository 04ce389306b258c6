package protocol

import (
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
)

// sweepEvery is how often a waiting head is looked at without being woken;
// dependencyAfter is how long it waits for what no lane holds before a person
// is told.
const (
	sweepEvery      = 5 * time.Second
	dependencyAfter = 15 * time.Minute
)

// Place is where a slot stands.
type Place struct {
	Lane string
	Seq  int64
}

// place is that of a head's slot.
func (h *Head) place() Place { return Place{h.Lane, h.Slot.Seq} }

// Wait is what a waiting head waits for.
type Wait struct {
	Place
	Need document.Need
}

// await holds the lane until a link exists. A need that stands later in its
// own lane, or that comes back to it over other waiting lanes, would hold it
// for ever: the head then moves behind it.
func (t *turn) await(h *Head, need document.Need) verdict {
	switch {
	case t.openOp(h):
		return partPending
	case t.ring(h.Lane, need.Ref):
		return t.requeue(h, "what it needs stands later in its own lane, or waits for it")
	}
	t.ch.Waits = append(t.ch.Waits, Wait{Place: Place{h.Lane, h.Slot.Seq}, Need: need})
	return t.wait(h, "it needs "+need.Ref+" in the books", len(t.v.Queued[need.Ref]) > 0)
}

// ring follows what lanes wait for, a link or the end of another lane's slot,
// and reports whether it comes back to the lane: at once where the need stands
// in the lane itself.
func (t *turn) ring(lane, ref string) bool {
	seen := map[string]bool{}
	var next []string
	holders := func(ref string) {
		for _, p := range t.v.Queued[ref] {
			next = append(next, p.Lane)
		}
	}
	for holders(ref); len(next) > 0; {
		at := next[0]
		next = next[1:]
		switch {
		case at == lane:
			return true
		case seen[at]:
			continue
		}
		seen[at] = true
		next = append(next, t.v.Follows[at]...)
		for _, r := range t.v.Waits[at] {
			holders(r)
		}
	}
	return false
}

// requeue ends the slot here; ingest admits the same revision again at the
// lane's tail.
func (t *turn) requeue(h *Head, why string) verdict {
	if h.Exception != "" {
		t.release(h.Slot, h.Exception, "requeue", why)
	}
	t.ch.Ended = append(t.ch.Ended, Ended{Lane: h.Lane, Seq: h.Slot.Seq, Outcome: Moved})
	t.fact(Fact{Type: "slot.requeued", Slot: h.Slot, Outcome: string(Moved), Detail: why})
	t.next(h)
	return partBlocked
}

// wait holds the lane without a person. Where no lane holds what it waits for,
// an exception tells one after a while; it releases itself when the wait ends.
func (t *turn) wait(h *Head, why string, held bool) verdict {
	if h.Slot.WaitSince == 0 {
		h.Slot.WaitSince = t.v.Now
		t.ch.WaitSince = append(t.ch.WaitSince, h.Slot)
	}
	if h.Exception == "" && !held && time.Duration(t.v.Now-h.Slot.WaitSince)*time.Microsecond >= dependencyAfter {
		e := t.exception(h, exception.Dependency, "", why+", and nothing on its way brings it", nil)
		t.ch.Opened = append(t.ch.Opened, e)
		t.fact(Fact{Type: "exception.opened", Slot: h.Slot, Outcome: string(e.Kind), Detail: e.Reason, Except: e.ID})
		h.Exception = e.ID
	}
	t.setLane(h, Waiting, h.Exception, t.v.Now+sweepEvery.Microseconds())
	t.ch.Lanes[len(t.ch.Lanes)-1].Why = why
	t.wake(t.v.Mono + sweepEvery)
	return partBlocked
}

// takeOver puts a newer rendering in the place of a parked one. Parts that are
// done stay as they are.
func (t *turn) takeOver(h *Head) bool {
	if h.Newer == nil || t.openOp(h) {
		return false
	}
	h.Slot.Rendering, h.Slot.Attempts, h.Slot.WaitSince = h.Newer, 0, 0
	t.ch.TakenOver = append(t.ch.TakenOver, h.Slot)
	t.ch.WaitSince = append(t.ch.WaitSince, h.Slot)
	if h.Exception != "" {
		t.release(h.Slot, h.Exception, "rerender", "rendered again by mapping "+h.Newer.MappingHash)
	}
	h.Newer = nil
	t.setLane(h, Ready, "", 0)
	return true
}
