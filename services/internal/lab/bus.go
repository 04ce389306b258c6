package lab

import (
	"tieout.dev/services/internal/document"
)

// bus is the topic of renderings: one partition, a log that consumers read by
// their own offset row. It may lose a record after it was acknowledged (the
// completer finds that), keep it twice, out of order and late, and be read from
// the beginning again.
type bus struct {
	w       *site
	log     []*document.Rendering
	mapping int
}

// publish renders the event by the mapping in force and appends it some time later.
func (b *bus) publish(e *admitted) {
	w := b.w
	e.published = w.now
	lag := w.exp(20 * milli)
	if w.hits(w.f.busLag, "record late") {
		lag = w.exp(2 * minute)
	}
	w.after(lag, func() {
		r := render(e, b.mappingHash())
		if w.hits(w.f.busTail, "record lost") {
			return
		}
		for range 1 + b2i(w.hits(w.f.busTwice, "record doubled")) {
			b.log = append(b.log, r)
		}
		w.after(w.exp(10*milli), b.consume)
	})
}

func (b *bus) mappingHash() string { return "m" + string(rune('0'+b.mapping)) }

// consume takes what the offset row points at: slots and offset move together,
// or not at all.
func (b *bus) consume() {
	db := b.w.db
	from := db.offset
	for to := len(b.log); db.offset < to; {
		end := min(db.offset+1+b.w.n(4), to)
		b.take(db.offset, end)
	}
	if db.offset > from {
		b.w.wakeOwner()
	}
}

// take is one batch of a consumer that believes that the offset is from.
func (b *bus) take(from, end int) {
	db := b.w.db
	if db.offset != from { // compare and swap: another consumer was here
		b.w.cover.Faults["stale consumer"]++
		return
	}
	for _, r := range b.log[from:end] {
		db.receive(r)
	}
	db.advance(from, end)
}

// zombie is a consumer that was left behind at an older offset.
func (b *bus) zombie() {
	if n := b.w.db.offset; n > 0 && b.w.changes("zombie consumer") {
		b.take(b.w.n(n), n)
	}
}

// replay reads the topic again from some older record.
func (b *bus) replay() {
	if len(b.log) == 0 || !b.w.disturbs("replay") {
		return
	}
	from := b.w.n(len(b.log))
	b.w.log("kafka: read again from %d", from)
	for _, r := range b.log[from:] {
		b.w.db.receive(r)
	}
	b.w.wakeOwner()
}
