package protocol

import (
	"slices"
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
	case ring(h.Lane, t.holders(need.Ref), t.waitsFor):
		return t.requeue(h, "what it needs stands later in its own lane, or waits for it")
	}
	t.ch.Waits = append(t.ch.Waits, Wait{Place: Place{h.Lane, h.Slot.Seq}, Need: need})
	return t.wait(h, "it needs "+need.Ref+" in the books", len(t.v.Queued[need.Ref]) > 0)
}

// follow holds the lane until the slots of others have ended that come first. Where
// numbers were given in a life that is lost, one of them may come after this lane: the
// head then moves behind it. A ring in which a head needs a link is that head's to
// break, or both would move for ever.
func (t *turn) follow(h *Head) verdict {
	if ring(h.Lane, t.v.Follows[h.Lane], t.followed) {
		return t.requeue(h, "what it follows comes after its own lane")
	}
	return t.wait(h, "it follows slots of other lanes that have not ended", h.AfterHeld)
}

// ring reports whether what leads on from lanes comes back to one: at once where that
// is among them.
func ring(lane string, from []string, onward func(lane string) []string) bool {
	next, seen := slices.Clone(from), map[string]bool{}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		switch {
		case at == lane:
			return true
		case seen[at]:
			continue
		}
		seen[at] = true
		next = append(next, onward(at)...)
	}
	return false
}

// followed are the lanes whose slots a lane's head comes after.
func (t *turn) followed(lane string) []string { return t.v.Follows[lane] }

// waitsFor are those as well, and the lanes that hold what the head needs.
func (t *turn) waitsFor(lane string) []string {
	lanes := slices.Clone(t.followed(lane))
	for _, ref := range t.v.Waits[lane] {
		lanes = append(lanes, t.holders(ref)...)
	}
	return lanes
}

// holders are the lanes in which a record stands.
func (t *turn) holders(ref string) (lanes []string) {
	for _, p := range t.v.Queued[ref] {
		lanes = append(lanes, p.Lane)
	}
	return lanes
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
