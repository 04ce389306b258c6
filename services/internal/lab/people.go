package lab

import (
	"cmp"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// hand is a person at the books.
func (w *site) hand() {
	if !w.changes("a person at the books") {
		return
	}
	b := w.books
	var ours []*doc
	for _, d := range b.docs {
		if d.kind == document.InvoiceKind && !d.deleted {
			ours = append(ours, d)
		}
	}
	if len(ours) == 0 || w.chance(0.2) {
		w.handMaster()
		return
	}
	d := ours[w.n(len(ours))]
	d.byHand = true
	w.cover.Faults["hand"]++
	net, note := d.net, d.note
	switch w.n(6) {
	case 0:
		d.net, d.version = itoa(int64(1+w.n(9))), d.version+1
	case 1:
		d.status, d.version = connector.Voided, d.version+1
	case 2:
		d.deleted = true
	case 3:
		d.status, d.version, d.settledAt = connector.Closed, d.version+1, cmp.Or(d.settledAt, w.now)
	case 4:
		d.sent, d.version, d.settledAt = true, d.version+1, cmp.Or(d.settledAt, w.now)
	case 5:
		d.note, d.version = "by hand", d.version+1
	}
	switch {
	case d.says(d.agreed):
		d.editedAt = 0
	case d.net != net || d.note != note: // what the writer did not see yet may be its own
		d.editedAt = cmp.Or(d.editedAt, w.now)
	}
	w.log("a person changes invoice %s: net %s, %s, deleted %v", d.id, d.net, d.status, d.deleted)
}

// handMaster: a person enters a customer of a name that a company has, or
// takes one out of use.
func (w *site) handMaster() {
	b := w.books
	for _, d := range b.docs {
		if d.kind == document.CustomerKind && w.chance(0.3) {
			d.inactive, d.byHand = !d.inactive, true
			d.version++
			w.cover.Faults["hand"]++
			return
		}
	}
	r := w.companies()[0]
	for _, d := range b.docs {
		if d.kind == document.CustomerKind && d.name == r.name && !d.inactive {
			return
		}
	}
	d := &doc{kind: document.CustomerKind, name: r.name, version: 1, status: connector.Open, byHand: true}
	b.enter(d)
	w.cover.Faults["hand"]++
}

// operator acts on some exception, not always wisely.
func (w *site) operator() {
	if w.chance(w.f.holds) && w.changes("a person holds or frees the target") {
		w.hold(w.db.held == "")
		return
	}
	list := w.db.openExceptions()
	if len(list) == 0 || !w.changes("a person acts") {
		return
	}
	choice := w.n(8)
	if w.chance(w.f.hasty) {
		choice = 5 + w.n(2)
	}
	w.actOn(list[w.n(len(list))], choice)
}

// hold pauses the target, or lets it go on.
func (w *site) hold(on bool) {
	c := protocol.Command{ID: "h" + itoa(w.now), Action: protocol.Resume, Actor: "clerk", Reason: "because"}
	if on {
		c.Action = protocol.Pause
	}
	w.log("a person asks to %s", c.Action)
	w.db.commands = append(w.db.commands, c)
	w.wakeOwner()
}

// actOn asks for an action; the core refuses what does not fit.
func (w *site) actOn(x *excRow, choice int) {
	c := protocol.Command{ID: "c" + itoa(w.now) + x.ID, Exception: x.ID, Lane: x.Lane, Seq: x.Seq, Field: x.Field, Actor: "clerk", Reason: "because"}
	if protocol.Agreeable(x.Field) && w.chance(0.4) {
		choice = 7
	}
	if x.Kind == exception.Merge && x.Seq != 0 && w.chance(0.5) {
		w.voidOneOf(x.Subject)
	}
	switch {
	case x.Lane == "":
		c.Action = protocol.Retry
		w.books.vain-- // asked once more, by a person
	case x.Seq == 0: // two customers to be merged: done by hand
		c.Lane, c.Action = "", protocol.Retry
	case w.actOnRecovery(x, &c):
	default:
		c.Action = []string{protocol.Retry, protocol.Retry, protocol.Rerender, protocol.Requeue, protocol.Discard, protocol.LinkTo, protocol.ConfirmAbsent, protocol.ReissueIt}[choice]
		w.prepare(x, &c)
	}
	if w.db.asksAlready(c) {
		return
	}
	w.log("a person asks to %s %s (%s: %s)", c.Action, x.ID, x.Kind, x.Reason)
	if c.Action == protocol.Discard {
		w.db.discards[protocol.Place{Lane: x.Lane, Seq: x.Seq}] = true
	}
	w.db.commands = append(w.db.commands, c)
	w.wakeOwner()
}

// voidOneOf: of the documents that a merge left to one record a person voids one.
func (w *site) voidOneOf(subject string) {
	for _, l := range w.db.links {
		d := w.books.byID[refID(l.OtherRef)]
		if l.SourceRef != subject || l.Kind != document.InvoiceKind || l.State != link.Primary || d == nil || d.deleted || d.status == connector.Voided {
			continue
		}
		d.status, d.byHand, d.version = connector.Voided, true, d.version+1
		w.cover.Faults["hand"]++
		w.log("a person voids invoice %s, which a merge left over", d.id)
		return
	}
}

func refID(s string) string {
	ref, _ := event.ParseRef(s)
	return ref.ID
}

// prepare is what a person does before asking: a new mapping before a
// rerender; a look into the books before a link or an absence is claimed.
func (w *site) prepare(x *excRow, c *protocol.Command) {
	switch c.Action {
	case protocol.Rerender:
		w.bus.mapping = w.n(3)
	case protocol.ConfirmAbsent:
		if w.markOf(x) != nil {
			c.Action = protocol.Retry
		}
	case protocol.LinkTo:
		d := w.markOf(x)
		if x.Kind == exception.Match {
			d = w.books.named(x.Subject)
		}
		if d == nil && w.chance(0.3) {
			d = w.doubted(x)
		}
		if d == nil && w.chance(max(0.5, w.f.hasty)) {
			d = w.makeByHand(x)
		}
		if d == nil {
			c.Action = protocol.Retry
			return
		}
		c.Ref = w.refOf(d.kind, d.id).String()
	case protocol.ReissueIt:
		switch {
		case x.Kind == exception.Conflict:
		case protocol.Agreeable(x.Field):
			w.db.agreed[protocol.Place{Lane: x.Lane, Seq: x.Seq}] = true
		default:
			c.Action = protocol.Retry
		}
	}
}

// makeByHand is what an impatient person does about a doubt: the document is not
// to be seen, so they enter it in the books themselves. It bears no mark.
func (w *site) makeByHand(x *excRow) *doc {
	for _, o := range w.db.ops {
		if o.Lane != x.Lane || o.Seq != x.Seq || o.State != protocol.Doubt || o.Effect != connector.Create {
			continue
		}
		b := w.books
		d := &doc{kind: o.Kind, subject: o.Subject, name: o.Fields["name"], version: 1, status: connector.Open, byHand: true, credits: w.db.creditedBy(o)}
		d.customer, d.day, d.note, d.net, d.tax = o.Fields["customer"], o.Fields["issue_date"], o.Fields["note"], o.Fields["line.1.net"], o.Fields["line.1.tax"]
		b.enter(d)
		w.cover.Faults["hand"]++
		w.log("a person makes %s %s of %s by hand", d.kind, d.id, d.subject)
		return d
	}
	return nil
}

// creditedBy is the invoice that a credit note is for.
func (t *tables) creditedBy(o *protocol.Op) string {
	for _, l := range t.links {
		if o.Kind == document.CreditNoteKind && l.SourceRef == o.Subject && l.Kind == document.InvoiceKind && l.N == o.N && strings.HasSuffix(o.Part, ":"+l.Part) {
			return refID(l.OtherRef)
		}
	}
	return ""
}

// doubted is the document that a change in doubt is about, whatever it says: somebody
// did not look closely.
func (w *site) doubted(x *excRow) *doc {
	for _, o := range w.db.ops {
		if o.Lane == x.Lane && o.Seq == x.Seq && o.State == protocol.Doubt && o.Effect != connector.Create {
			if d := w.books.byID[refID(o.TargetRef)]; d != nil && !d.deleted {
				return d
			}
		}
	}
	return nil
}

// markOf is the document that an exception in doubt is about, if it is there and
// shows what was asked for.
func (w *site) markOf(x *excRow) *doc {
	for _, o := range w.db.ops {
		if o.Lane != x.Lane || o.Seq != x.Seq || o.State != protocol.Doubt {
			continue
		}
		if d := w.books.byID[refID(o.TargetRef)]; o.Effect != connector.Create {
			if d != nil && !d.deleted && (o.Effect == connector.Void && d.status == connector.Voided || o.Effect == connector.Update && d.says(o.Fields)) {
				return d
			}
			continue
		}
		for _, d := range w.books.docs {
			if d.mark == o.Mark && !d.deleted {
				return d
			}
		}
	}
	return nil
}

// named is a customer of the books that bears the name of the deal's company.
func (b *books) named(subject string) *doc {
	ref, err := event.ParseRef(subject)
	if err != nil {
		return nil
	}
	s := b.w.look(ref)
	if s == nil {
		return nil
	}
	name := s.name
	if s.company != nil {
		name = s.company.name
	}
	for _, d := range b.docs {
		if d.kind == document.CustomerKind && d.name == name && !d.deleted && !d.inactive {
			return d
		}
	}
	return nil
}

func (t *tables) asksAlready(c protocol.Command) bool {
	for _, x := range t.commands {
		if x.Exception == c.Exception {
			return true
		}
	}
	return false
}
