package lab

import (
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// pool hands out room that is used again after each turn: what a turn is shown
// are copies, and nothing of them outlives it.
type pool[T any] struct {
	items []*T
	used  int
}

func (p *pool[T]) copyOf(x *T) *T {
	if p.used == len(p.items) {
		p.items = append(p.items, new(T))
	}
	p.used++
	at := p.items[p.used-1]
	*at = *x
	return at
}

// room is what one worker plays its schedules in.
type room struct {
	ops   pool[protocol.Op]
	calls pool[protocol.Call]
	links pool[link.Link]
	slots pool[protocol.Slot]
	heads pool[protocol.Head]
	view  protocol.View
	queue []due
	drawn map[string]uint64
}

// asked is an empty map for a schedule's luck.
func (r *room) asked() map[string]uint64 {
	if r.drawn == nil {
		r.drawn = map[string]uint64{}
	}
	clear(r.drawn)
	return r.drawn
}

// turn makes the room free for another turn.
func (r *room) turn() {
	r.ops.used, r.calls.used, r.links.used, r.slots.used, r.heads.used = 0, 0, 0, 0, 0
}
