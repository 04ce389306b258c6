package lab

import (
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// checkOne is I1 at every instant: of one mark there is one document.
func (b *books) checkOne(made *doc) {
	for _, d := range b.docs {
		if d != made && d.mark == made.mark && !d.deleted && (d.kind.Financial() || !d.byHand) {
			b.w.violated("I1", "two documents of one mark %s: %s and %s", made.mark, d.id, made.id)
		}
		if d != made && d.credits != "" && d.credits == made.credits && !d.deleted && !d.byHand && !made.byHand {
			b.w.violated("I1", "invoice %s is credited twice: by %s and %s", d.credits, d.id, made.id)
		}
	}
}

// checkOrder is I3: what reaches the books of one record never goes back to an
// older revision, and own documents of a lane come in the order of its slots. A copy
// lands late where a person freed the name that kept it out.
func (b *books) checkOrder(item connector.Item, d *doc) {
	b.effects[item.OpID]++
	if !d.kind.Financial() && b.freed(d) {
		return
	}
	for _, o := range b.w.db.ops {
		if o.ID != item.OpID || o.Rev == 0 {
			continue
		}
		if last := b.applied[o.Subject]; o.Rev < last {
			b.w.violated("I3", "revision %d of %s reached the books after revision %d (%s %s)", o.Rev, o.Subject, last, d.kind, d.id)
		}
		b.applied[o.Subject] = max(b.applied[o.Subject], o.Rev)
		if last := b.lanes[o.Lane]; o.Seq < last {
			b.w.violated("I3", "slot %d of lane %s reached the books after slot %d", o.Seq, laneID(o.Lane), last)
		}
		b.lanes[o.Lane] = max(b.lanes[o.Lane], o.Seq)
	}
}

// checkDone is I5 when an op is said to be done: the books show its effect, and
// a created document bears its mark, unless a person named it.
func (b *books) checkDone(o *protocol.Op, byPerson bool) {
	ref, _ := event.ParseRef(o.TargetRef)
	d := b.byID[ref.ID]
	switch {
	case d == nil:
		b.w.violated("I5", "op %s is done by %s, which was never made", o.ID[:8], o.TargetRef)
	case o.Effect == connector.Create && d.mark != o.Mark && (!byPerson || d.mark != ""):
		b.w.violated("I5", "a create of mark %s is done by %s, which bears %s", o.Mark, o.TargetRef, d.mark)
	case b.effects[o.ID] == 0 && o.Effect == connector.Void && d.status != connector.Voided && !d.deleted:
		b.w.violated("I5", "a void is done and %s stands", o.TargetRef)
	case b.effects[o.ID] == 0 && o.Effect == connector.Update && !d.says(o.Fields):
		b.w.violated("I5", "an update of %s is done, and never reached the books", o.TargetRef)
	}
}

// says reports whether a document has these fields.
func (d *doc) says(fields map[string]string) bool {
	own := map[string]string{"customer": d.customer, "issue_date": d.day, "note": d.note, "line.1.net": d.net, "line.1.tax": d.tax, "name": d.name}
	for k, v := range fields {
		if own[k] != v {
			return false
		}
	}
	return true
}

// checkEnd is what must hold when everything came to rest.
func (w *site) checkEnd() {
	w.checkRest()
	w.checkOffsets()
	w.checkLinks()
	for _, r := range w.crm.records {
		if r.isDeal() {
			w.checkDeal(r)
		}
	}
}

// checkRest is I2 and I8: every event ended or is in front of a person, and
// nothing moves any more.
func (w *site) checkRest() {
	for _, lane := range w.db.order {
		l := w.db.lanes[lane]
		s := l.head()
		if s == nil {
			if n := w.ingest.last[line{w.no, lane}]; l.next <= n {
				w.violated("I2", "lane %s stands at %d and %d numbers were given", laneID(lane), l.next, n)
			}
			continue
		}
		if l.exception == "" && !w.holdsDoubt(l) {
			w.violated("I8", "lane %s is %s at slot %d (%s rev %d) and no person is told", laneID(lane), l.state, s.Seq, s.Subject, s.Rev)
		}
	}
	for _, e := range w.ingest.open() {
		if e.site != w.no {
			continue
		}
		if l := w.db.lanes[e.lane]; l == nil || l.at(e.seq) == nil || l.at(e.seq).state == "ended" {
			w.violated("I2", "event %s rev %d of %s is open at ingest, and its slot is not", e.id[:8], e.rev, e.ref)
		}
	}
	for _, c := range w.db.calls {
		if c.State != protocol.CallSettled && !w.parkedCall(c) {
			w.violated("I8", "call %s is %s after everything came to rest", c.ID[:8], c.State)
		}
	}
}

// holdsDoubt: the lane's head waits for a doubt that another lane's person holds.
func (w *site) holdsDoubt(l *laneRow) bool {
	for _, x := range w.db.openExceptions() {
		for _, o := range w.db.ops {
			if x.Lane == o.Lane && x.Seq == o.Seq && open(o) {
				return true
			}
		}
	}
	return w.blockedBy(l)
}

// blockedBy: it needs, or follows, what a parked lane holds.
func (w *site) blockedBy(l *laneRow) bool {
	for _, x := range w.db.openExceptions() {
		if x.Lane != "" && x.Lane != l.lane {
			return true
		}
	}
	return false
}

func (w *site) parkedCall(c *protocol.Call) bool {
	for _, item := range c.Items {
		for _, o := range w.db.ops {
			if o.ID == item.OpID && open(o) && w.db.lanes[o.Lane].exception == "" {
				return false
			}
		}
	}
	return true
}

// checkOffsets is I7: all that the offset passed is stored.
func (w *site) checkOffsets() {
	for _, r := range w.bus.log[:w.db.offset] {
		if !w.db.stored(r.Lane, r.Seq) {
			w.violated("I7", "the offset passed slot %s/%d, which is not stored", laneID(r.Lane), r.Seq)
		}
	}
}

// checkLinks is I5: documents with our mark and links are the same, both ways,
// but for what is still in doubt or what a person took away.
func (w *site) checkLinks() {
	for _, d := range w.books.docs {
		if d.mark == "" || d.deleted || w.doubtful(d.mark) || !d.kind.Financial() && w.strayMaster(d) {
			continue
		}
		if w.db.recovery != nil && w.held(d.subject) {
			continue // a person holds the record, and its documents are found again after that
		}
		if !w.linked(w.refOf(d.kind, d.id).String()) && !d.byHand {
			w.violated("I5", "%s %s (%s) stands in the books and no link names it", d.kind, d.id, d.mark)
		}
	}
	for _, l := range w.db.links {
		if l.Kind == document.CreditNoteKind {
			w.checkCredit(l)
		}
		if l.Kind != document.InvoiceKind || l.State != link.Primary {
			continue
		}
		ref, _ := event.ParseRef(l.OtherRef)
		if d := w.books.byID[ref.ID]; d == nil {
			w.violated("I5", "a link names %s, which was never made", l.OtherRef)
		}
	}
}

// checkCredit: a credit note is linked beside the invoice that it credits.
func (w *site) checkCredit(note *link.Link) {
	d := w.books.byID[refID(note.OtherRef)]
	for _, l := range w.db.links {
		beside := l.SourceRef == note.SourceRef && l.Kind == document.InvoiceKind && document.CreditOf+l.Part == note.Part && l.N == note.N
		if beside && d != nil && d.credits != "" && d.credits != refID(l.OtherRef) {
			w.violated("I5", "credit note %s credits invoice %s, and is linked as that of %s", d.id, d.credits, l.OtherRef)
		}
	}
}

// strayMaster: a customer or item may stand without a link where a restore took
// the need of it away, or where a person put its twin out of use while its create
// was in doubt, and so freed the name.
func (w *site) strayMaster(d *doc) bool {
	return w.db.life > 1 || w.books.freed(d)
}

// freed: a person put the twin of a customer or an item out of use.
func (b *books) freed(d *doc) bool {
	return slices.ContainsFunc(b.docs, func(x *doc) bool { return x != d && x.mark == d.mark && x.byHand })
}

func (w *site) linked(ref string) bool {
	for _, l := range w.db.links {
		if l.OtherRef == ref {
			return true
		}
	}
	return false
}

func (w *site) doubtful(mark string) bool {
	for _, o := range w.db.ops {
		if o.Mark == mark && open(o) {
			return true
		}
	}
	return false
}

// checkDeal compares the source with the books for a deal that no person
// holds and nobody touched by hand: the right documents, once, with what the
// deal says now.
func (w *site) checkDeal(r *record) {
	if r.into != nil { // its documents are the survivor's
		return
	}
	subject := r.ref.String()
	subjects := map[string]bool{subject: true}
	for _, x := range w.crm.records {
		if x.isDeal() && x.survivor() == r {
			subjects[x.ref.String()] = true
		}
	}
	var live []*doc
	for _, d := range w.books.docs {
		if d.kind != document.InvoiceKind || !subjects[d.subject] {
			continue
		}
		if d.byHand || w.creditedByHand(d) {
			return
		}
		if d.status != connector.Voided && !w.books.credited(d) {
			live = append(live, d)
		}
	}
	if w.held(subject) {
		return
	}
	want := r.won && r.site == w.no && !r.deleted && !r.unclear && !r.matchOnly
	found := w.byPart(live, subjects)
	w.checkPart(r, parts[0], want, found[0])
	w.checkPart(r, parts[1], want && r.shipping, found[1])
}

// said is a memo without our mark.
func said(note string) string {
	_, text, _ := strings.Cut(note, " · ")
	return text
}

// credited: a credit note takes it back.
func (b *books) credited(d *doc) bool {
	return slices.ContainsFunc(b.docs, func(x *doc) bool { return x.credits == d.id && !x.deleted })
}

// creditedByHand: a person's own credit note takes it back, and they never said so.
func (w *site) creditedByHand(d *doc) bool {
	return slices.ContainsFunc(w.books.docs, func(x *doc) bool {
		return x.credits == d.id && x.byHand && !x.deleted && !w.linked(w.refOf(x.kind, x.id).String())
	})
}

// parts are those of a deal that are documents.
var parts = [2]string{"invoice", "shipping"}

// byPart are the documents of each part, whichever n they are.
func (w *site) byPart(live []*doc, subjects map[string]bool) (found [2][]*doc) {
	for _, d := range live {
		if i := w.partOf(d.mark, subjects); i >= 0 {
			found[i] = append(found[i], d)
		}
	}
	return found
}

// partOf is the part that a mark tells, of any of the records; negative: none.
func (w *site) partOf(mark string, subjects map[string]bool) int {
	for subject := range subjects { // a mark is of one: the order is not seen
		for n := int64(1); n <= 40; n++ {
			for i, part := range parts {
				if document.Mark(w.target, subject, part, n) == mark {
					return i
				}
			}
		}
	}
	return -1
}

func (w *site) checkPart(r *record, part string, want bool, found []*doc) {
	switch {
	case len(found) > 1:
		w.violated("I1", "%s of deal %s stands %d times", part, r.ref.ID, len(found))
	case want && len(found) == 0:
		w.violated("I2", "%s of deal %s is not in the books, and nobody is told", part, r.ref.ID)
	case !want && len(found) == 1:
		w.violated("I2", "%s of deal %s stands in the books, is not wanted, and nobody is told", part, r.ref.ID)
	case want && (found[0].net != itoa(r.amount) || said(found[0].note) != itoa(int64(r.note)) || found[0].tax != taxed[r.tax][0].Tax || found[0].day != day(r.day) && !w.f.lock):
		w.violated("I2", "%s of deal %s says net %s note %s tax %s day %s, the deal %d, %d, %s, %s", part, r.ref.ID, found[0].net, found[0].note, found[0].tax, found[0].day, r.amount, r.note, taxed[r.tax][0].Tax, day(r.day))
	}
}

// held: a slot of the record is in front of a person, was discarded by one, or
// rests behind what is.
func (w *site) held(subject string) bool {
	held := false
	for _, lane := range w.db.order {
		l := w.db.lanes[lane]
		for _, s := range l.slots {
			if s.Subject == subject && (s.state != "ended" || s.outcome == protocol.Discarded) {
				held = true
			}
		}
	}
	return held
}
