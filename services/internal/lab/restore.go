package lab

import (
	"cmp"
	"maps"
	"slices"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// backup is a copy of a database, and how far its trail was then.
type backup[T any] struct {
	of    T
	at    micros
	facts int
}

// backups are those that a schedule may go back to.
type backups struct {
	writer *backup[[]*tables] // of every site
	ingest *backup[ingest]
}

// backUp copies both databases, each at its own moment.
func (w *world) backUp() {
	if w.chance(0.5) {
		w.log("the writer's database is backed up")
		w.backups.writer = &backup[[]*tables]{w.copies(), w.now, len(w.ingest.facts)}
		return
	}
	w.log("ingest's database is backed up")
	w.backups.ingest = &backup[ingest]{w.ingest.clone(), w.now, 0}
	w.ingest.also(BesideIngest.Keep)
}

// copies are those of the writer's tables, site by site.
func (w *world) copies() (out []*tables) {
	w.each(func(s *site) { out = append(out, s.db.clone()) })
	return out
}

// restore sets a database back.
func (w *world) restore() {
	switch back := &w.backups; {
	case back.writer != nil && (back.ingest == nil || w.chance(0.5)):
		w.restoreWriter(back.writer)
	case back.ingest != nil:
		w.restoreIngest(back.ingest)
	}
}

func (t *tables) clone() *tables {
	c := *t
	c.lanes = map[string]*laneRow{}
	for k, l := range t.lanes { // into a map: the order is not seen
		x := *l
		x.waits, x.slots = slices.Clone(l.waits), nil
		for _, s := range l.slots {
			y := *s
			y.newer = slices.Clone(s.newer)
			x.slots = append(x.slots, &y)
		}
		c.lanes[k] = &x
	}
	c.order, c.calls, c.ops, c.links = slices.Clone(t.order), slices.Clone(t.calls), slices.Clone(t.ops), slices.Clone(t.links) // rows are replaced, never changed
	c.exceptions = nil
	for _, x := range t.exceptions {
		y := *x
		c.exceptions = append(c.exceptions, &y)
	}
	c.commands, c.done, c.told, c.recalled = slices.Clone(t.commands), maps.Clone(t.done), slices.Clone(t.told), maps.Clone(t.recalled)
	if t.recovery != nil {
		r := *t.recovery
		c.recovery = &r
	}
	return &c
}

func (in *ingest) clone() ingest {
	c := *in
	c.objects, c.laneOf, c.alias, c.last = maps.Clone(in.objects), maps.Clone(in.laneOf), maps.Clone(in.alias), maps.Clone(in.last)
	c.known, c.merged = maps.Clone(in.known), maps.Clone(in.merged)
	c.waiting, c.events, c.newest, c.order = maps.Clone(in.waiting), map[string]*admitted{}, map[line]*admitted{}, nil
	for _, e := range in.order {
		x := *e
		c.events[e.id] = &x
		c.order = append(c.order, &x)
	}
	for k, e := range in.newest { // into a map: the order is not seen
		c.newest[k] = c.events[e.id]
	}
	return c
}

// restoreWriter sets the writer's tables back. Processes die, what its outbox
// had not sent is lost, and requests that left land all the same.
func (w *world) restoreWriter(b *backup[[]*tables]) {
	w.cover.Faults["writer restored"]++
	w.log("THE WRITER'S DATABASE IS SET BACK to +%ds", (b.at-1000*hour)/second)
	in := &w.ingest
	from := max(in.published, b.facts)
	for i := from + w.n(len(in.facts)-from+1); i < len(in.facts); i++ {
		in.facts[i].lostAt = w.now
	}
	for _, f := range in.facts[:b.facts] { // what was lost since stands in the copy's outbox, and is sent at last
		if f.lostAt > b.at {
			f.lostAt = 0
			in.tell(f)
		}
	}
	w.each(func(s *site) { s.setBack(b.of[s.no], b) })
}

// setBack ends the processes of a site, whose tables are a copy's again.
func (w *site) setBack(to *tables, b *backup[[]*tables]) {
	for _, p := range w.procs {
		p.alive, p.thaws = false, 0
		p.life++
	}
	w.owner = nil
	gens, life := w.db.gens, w.db.life
	*w.db = *to.clone()
	w.db.life = life + 1
	w.db.goneBack(b.at, b.facts, gens)
	w.db.astray = true
	w.books.lanes = map[string]int64{} // slots whose facts were lost run again, in order
	restored := w.db.recovery
	w.after(w.exp([]micros{second, 30 * second}[w.n(2)]), func() { w.gather(restored, w.db.knew) })
	w.assign(w.procs[w.n(len(w.procs))])
}

// goneBack is what marking a restored database does, before the first turn.
func (t *tables) goneBack(at micros, facts int, gens int64) {
	if t.recovery != nil {
		at = min(at, t.recovery.Since)
	}
	if t.recovery == nil {
		t.knew = facts // else an earlier life may have told more since it was gathered
	}
	t.recovery, t.gens = &protocol.Recovery{Since: at}, gens+1<<20
	t.commands, t.told, t.recalled = nil, nil, map[string]protocol.RecallState{}
	for i, c := range t.calls {
		if c.State != protocol.CallSettled {
			x := *c
			x.FirstSent = 0
			t.calls[i] = &x
		}
	}
	for _, lane := range t.order {
		l := t.lanes[lane]
		if l.exception != "" {
			t.close(l.exception)
		}
		l.state, l.exception, l.waits = protocol.Ready, "", nil
	}
}

func (t *tables) close(id string) {
	for _, x := range t.exceptions {
		if x.ID == id {
			x.open = false
		}
	}
}

// gather takes from the others what the tables do not know any more: which
// events ingest admitted and how they ended, and what documents the facts name.
func (w *site) gather(r *protocol.Recovery, facts int) {
	db, in := w.db, &w.ingest
	if db.recovery != r {
		return // it was set back once more
	}
	if in.lifting || in.catching.up(w.now) {
		w.after(10*second, func() { w.gather(r, facts) })
		return
	}
	heard := slices.Clone(in.facts[facts:max(facts, in.published)])
	slices.SortStableFunc(heard, func(a, b fact) int { return cmp.Compare(a.life, b.life) }) // as the audit tells them
	for i := range heard {
		if f := &heard[i]; f.confirmed != nil && f.lostAt == 0 && f.site == w.no {
			db.relink(f.confirmed)
		}
	}
	db.told = append(db.told, in.reopen(w)...)
	db.astray = true
	w.log("the writer gathered what is known: %d events", len(db.told))
	r.Gathered = true
	w.wakeOwner()
}

// reopen sends a site's events again that the writer may have forgotten, and tells how
// they ended.
func (in *ingest) reopen(s *site) (told []protocol.Told) {
	next := map[string]int64{}
	for _, lane := range s.db.order {
		next[lane] = s.db.lanes[lane].next
	}
	for _, e := range in.order {
		if e.site != s.no || e.seq < next[e.lane] {
			continue
		}
		told = append(told, protocol.Told{
			Place: protocol.Place{Lane: e.lane, Seq: e.seq}, EventID: e.id, Subject: e.ref.String(), Rev: e.rev, Outcome: protocol.Outcome(e.outcome), Merge: e.typ == event.Merge,
		})
		in.publish(e)
	}
	in.alsoTells(s, next, told)
	return told
}

func (t *tables) relink(c *protocol.Confirmed) {
	of := func(k link.Key, n int64) *link.Link {
		for _, l := range t.links {
			if l.Key == k && l.N == n {
				return l
			}
		}
		return nil
	}
	for _, l := range protocol.Relinked(of, t.w.target, c) {
		t.putLink(l)
	}
}

// Past implements protocol.Tables.
func (t *tables) Past(s *protocol.Slot) (*protocol.Past, error) {
	p := &protocol.Past{Recall: t.recalled[s.Subject]}
	for i := range t.told {
		x := &t.told[i]
		if x.EventID == s.EventID {
			p.Ended = x.Outcome
		}
		if x.Subject == s.Subject {
			p.Newer = p.Newer || x.Rev > s.Rev && x.Counts()
			p.Missing = p.Missing || !t.stored(x.Lane, x.Seq)
		}
		if x.Merge && x.Subject != s.Subject {
			p.Missing = p.Missing || !t.stored(x.Lane, x.Seq)
			p.Absorbed = p.Absorbed || t.stored(x.Lane, x.Seq) && slices.Contains(t.lanes[x.Lane].at(x.Seq).Rendering.MergedFrom, s.Subject)
		}
	}
	for _, lane := range t.order {
		for _, q := range t.lanes[lane].slots {
			if q.Subject != s.Subject {
				continue
			}
			for i := range q.Rendering.Parts {
				if part := q.Rendering.Parts[i]; part.Mode == document.Own {
					p.Parts = append(p.Parts, part)
				}
			}
		}
	}
	return p, nil
}

// certify ends the recovery when books and links agree, both ways.
func (w *site) certify() {
	db := w.db
	if db.recovery == nil || !db.recovery.Gathered || !w.agree() || w.owner == nil || w.owner.memory.Trusted == 0 || w.owner.mono() < w.owner.memory.Trusted {
		return
	}
	w.cover.Exits["certified"]++
	w.log("books and links agree: the recovery ends")
	db.recovery, db.told, db.recalled, db.sure, db.astray = nil, nil, nil, w.now, true
	w.wakeOwner()
}

func (w *site) agree() bool {
	for _, c := range w.db.calls {
		if c.State != protocol.CallSettled && c.FirstSent == 0 {
			return false
		}
	}
	for i := range w.db.told {
		x := &w.db.told[i]
		if next, known, _ := w.db.Next(x.Lane); known && next > x.Seq {
			continue
		}
		newer := slices.ContainsFunc(w.db.told, func(n protocol.Told) bool { return n.Subject == x.Subject && n.Rev > x.Rev })
		if x.Outcome != "" || newer || !w.db.stored(x.Lane, x.Seq) {
			return false
		}
	}
	for _, d := range w.books.docs {
		if d.kind == document.ItemKind || d.deleted {
			continue
		}
		l := w.db.linkTo(w.refOf(d.kind, d.id).String())
		if l == nil {
			return false
		}
		filled, why := protocol.Agree(l, w.books.posting(d))
		if why != "" {
			return false
		}
		if filled != nil {
			w.db.putLink(filled)
			w.db.astray = true
		}
	}
	return true
}

func (t *tables) linkTo(ref string) *link.Link {
	for _, l := range t.links {
		if l.OtherRef == ref {
			return l
		}
	}
	return nil
}

// restoreIngest sets ingest's database back. Reads from before are fenced; what
// it published meanwhile is under way under numbers that it would give again.
func (w *world) restoreIngest(b *backup[ingest]) {
	in := &w.ingest
	w.cover.Faults["ingest restored"]++
	w.log("INGEST'S DATABASE IS SET BACK to +%ds", (b.at-1000*hour)/second)
	incarnation, facts, published := in.incarnation, in.facts, in.published
	*in = b.of.clone()
	in.facts, in.published, in.incarnation, in.lifting = facts, published, incarnation+1, true
	in.floor, in.catching = admission.FloorFor(w.now), catchUp{}
	in.also(func(b BesideIngest) error { return b.SetBack(in.floor) })
	w.changeForgotten()
	mine := in.incarnation
	w.after(w.exp(minute), func() {
		if in.incarnation == mine {
			in.lift()
		}
	})
}

// changeForgotten: what the database that was set back never saw may be gone, or
// merged away, before it is read again.
func (w *world) changeForgotten() {
	for _, r := range w.crm.records {
		if !r.isDeal() || r.into != nil || r.deleted || w.ingest.objects[r.ref].Rev != 0 {
			continue
		}
		like, s := w.dealsLike(r), w.sites[r.site]
		waits, _ := s.db.Places(r.ref.String())
		switch {
		case len(like) > 0 && len(waits) > 0 && w.hits(0.8, "merged unseen"): // while what it asked for still waits
			s.books.down = max(s.books.down, w.now+w.exp(5*minute))
			w.mergeDeal(r, like[w.n(len(like))])
		case w.hits(0.3, "deleted unseen"):
			r.deleted = true
			w.edited(r)
		}
	}
}

// lift begins again above everything that the writer holds, and reads every
// record anew.
func (in *ingest) lift() {
	w := in.w
	in.liftOver()
	in.lifting = false
	in.deliver(in.published)
	for ref, o := range in.objects { // into a map: the order is not seen
		in.objects[ref] = admission.Doubted(o)
	}
	for _, e := range in.order {
		if e.outcome == "" {
			in.publish(e)
		}
	}
	in.catching.begin(w.now)
	for _, r := range w.crm.records {
		if in.objects[r.ref].Rev > 0 {
			in.hint(r.ref, event.Repair)
		}
	}
	mine := in.incarnation
	w.after(w.exp(second), func() {
		if in.incarnation == mine {
			in.poll()
			in.catching.listed = true
		}
	})
	w.log("ingest goes on above what the writer holds")
}

// liftOver has numbers go on above what the writer holds.
func (in *ingest) liftOver() {
	tops := map[string]map[string]int64{}
	in.w.each(func(s *site) {
		tops[s.target] = s.db.tops()
		for lane, seq := range tops[s.target] { // into a map: the order is not seen
			in.raise(line{s.no, lane}, seq)
		}
	})
	in.also(func(b BesideIngest) error { return b.Lift(tops) })
}

// raise has a lane's numbers go on above one that somebody holds.
func (in *ingest) raise(at line, seq int64) { in.last[at] = max(in.last[at], seq) }

// collided: the writer holds another event at the place. It is admitted again
// at the lane's tail.
func (in *ingest) collided(e *admitted) {
	in.w.cover.Faults["collision"]++
	if e.typ == event.Empty { // its place is taken: that was all it was for
		e.outcome = "superseded"
		return
	}
	in.move(e)
}

// fill publishes empty slots for numbers that were given in a life that is lost
// and that nobody holds any more.
func (in *ingest) fill() {
	if in.floor == 0 || in.lifting {
		return
	}
	heads, before := map[string]map[string]int64{}, len(in.order)
	in.w.each(func(s *site) { heads[s.target] = in.fillAt(s) })
	in.beside(before, func(b BesideIngest) ([]*event.Event, error) { return b.Fill(heads) })
}

// fillAt fills the numbers of a site's lanes behind their heads.
func (in *ingest) fillAt(s *site) (heads map[string]int64) {
	held := map[protocol.Place]bool{}
	for _, e := range in.order {
		if e.site == s.no {
			held[protocol.Place{Lane: e.lane, Seq: e.seq}] = true
		}
	}
	var lanes []string
	for at := range in.last { // sorted next
		if at.site == s.no {
			lanes = append(lanes, at.of)
		}
	}
	slices.Sort(lanes)
	heads = s.db.heads(lanes)
	for _, lane := range lanes {
		for seq := heads[lane] + 1; seq <= in.last[line{s.no, lane}]; seq++ {
			if !held[protocol.Place{Lane: lane, Seq: seq}] {
				in.hold(s, lane, seq)
			}
		}
	}
	return heads
}

// hold gives a number to an event that says nothing.
func (in *ingest) hold(s *site, lane string, seq int64) {
	ref, _ := event.ParseRef(lane)
	e := &admitted{
		id: event.Digest("empty/v1", s.target, lane, itoa(seq)), site: s.no, route: customers + s.account, ref: ref, slotNo: seq, render: 1, class: event.Bulk, cause: event.Repair, typ: event.Empty,
		lane: lane, seq: seq, data: &state{}, changed: in.w.now,
	}
	in.events[e.id] = e
	in.order = append(in.order, e)
	in.w.cover.Faults["filler"]++
	in.publish(e)
}

// actOnRecovery is a person who looks into the books after a restore: what is
// not linked is, and then what stands is right.
func (w *site) actOnRecovery(x *excRow, c *protocol.Command) bool {
	if x.Kind != exception.Recovery {
		return false
	}
	c.Action = protocol.Retry
	for _, d := range w.books.docs {
		if d.kind.Financial() && w.belongs(d, x) && !d.deleted && !w.linked(w.refOf(d.kind, d.id).String()) {
			c.Action, c.Ref = protocol.LinkTo, w.refOf(d.kind, d.id).String()
			break
		}
	}
	return true
}

// belongs: a document is the record's, or of one that the very slot merges into it. What
// has a question of its own is answered there.
func (w *site) belongs(d *doc, x *excRow) bool {
	s := w.db.lanes[x.Lane].at(x.Seq)
	return d.subject == x.Subject || w.becameOf(d.subject) == x.Subject && s != nil && slices.Contains(s.Rendering.MergedFrom, d.subject)
}

// becameOf is what a record was merged into, or itself.
func (w *world) becameOf(subject string) string {
	for _, r := range w.crm.records {
		if r.ref.String() == subject {
			return r.survivor().ref.String()
		}
	}
	return subject
}

// displaced: a fact says which event a slot holds. Numbers go on above it, and ours at
// the same place may have been lost on its way.
func (in *ingest) displaced(f fact) {
	if in.floor == 0 || f.kind != "slot.received" && f.kind != "slot.ended" {
		return
	}
	in.raise(line{f.site, f.at.Lane}, f.at.Seq)
	if f.kind == "slot.received" && in.w.besideIngest == nil { // the real ingest looks here already; the bench leaves it to the end and to a collision
		return
	}
	for _, e := range in.order {
		if e.outcome == "" && e.site == f.site && e.lane == f.at.Lane && e.seq == f.at.Seq && e.id != f.event {
			in.hear(e, fact{kind: "slot.collided", life: f.life})
			return
		}
	}
}
