package protocol

import (
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// clockSlack is how far the clocks of the books and of who wrote the tables may
// be apart.
const clockSlack = time.Hour

// beyond is how many marks behind the last document are searched: two, since
// the one in between may have been deleted and issued again.
const beyond = 2

func (t *turn) recallPart(h *Head, p document.Part, accepted bool) verdict {
	key := link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}
	opaque := t.v.Claims.Ambiguity[p.Kind] == connector.Opaque
	if opaque && !accepted {
		return t.askRecovery(h, "these books cannot be searched for documents of "+p.Name+" that were made after the backup: link what is there, then retry")
	}
	known := map[int64]*link.Link{}
	for _, l := range t.v.Links[key] {
		known[l.N] = l
	}
	var twins []connector.Posting
	for n, misses := int64(1), 0; misses < beyond; n++ {
		if l := known[n]; l != nil {
			misses = 0
			same, v := t.recallNumber(h, &p, l, accepted)
			if v != partDone {
				return v
			}
			twins = append(twins, same...)
			continue
		}
		if opaque {
			misses++ // a person said that nothing is missing
			continue
		}
		found, v := t.recallMark(h, &p, n, accepted)
		if v != partDone {
			return v
		}
		misses++
		if found != nil {
			misses = 0
			t.endBefore(key, n)
			if v := t.recallCredit(h, &p, n, accepted); v != partDone {
				return v
			}
		}
	}
	for i := range twins { // behind all numbers that a mark names
		t.relink(h, &p, t.nextOf(key), &twins[i], accepted)
	}
	return partDone
}

// recallNumber looks at what is there of a number that a link has: its document, what
// else bears its mark, and its credit note.
func (t *turn) recallNumber(h *Head, p *document.Part, l *link.Link, accepted bool) (twins []connector.Posting, v verdict) {
	if v = t.recallKnown(h, p, l, accepted); v != partDone {
		return nil, v
	}
	if twins, v = t.twinsOf(p, l); v != partDone || !l.Live() {
		return twins, v
	}
	return twins, t.recallCredit(h, p, l.N, accepted)
}

// twinsOf searches what bears the mark of a link whose own document bears another:
// in one life a merge handed that over as this number, and in a later one, which had
// not heard of it, the record's own document took the number.
func (t *turn) twinsOf(p *document.Part, l *link.Link) (twins []connector.Posting, v verdict) {
	mark := document.Mark(t.v.Target, p.Subject, p.Name, l.N)
	if l.Live() && l.State != link.Held {
		if cur, v := t.readLinked(l); v != partDone || cur != nil && cur.Mark == mark {
			return nil, v
		}
	}
	if t.v.Claims.Ambiguity[p.Kind] == connector.Opaque {
		return nil, partDone // a person said that nothing is missing
	}
	a, v := t.markLooked(p, mark)
	if a == nil {
		return nil, v
	}
	for _, c := range a.Postings {
		if !slices.ContainsFunc(t.v.Links[l.Key], func(x *link.Link) bool { return x.OtherRef == c.Ref.String() }) {
			twins = append(twins, c)
		}
	}
	return twins, partDone
}

// recallKnown reads the document that a live link names. Void is what somebody
// made it, and what it says may be ours or a person's.
func (t *turn) recallKnown(h *Head, p *document.Part, l *link.Link, accepted bool) verdict {
	if !l.Live() || l.State == link.Held {
		return partDone
	}
	cur, v := t.readLinked(l)
	if cur == nil {
		return v
	}
	switch {
	case cur.IsVoid() && (accepted || p.Desired == document.Voided):
		l.State, l.OtherVersion = link.Void, cur.Version
	case cur.IsVoid():
		return t.askRecovery(h, l.OtherRef+" is void in the books, and whether we or a person did that was forgotten: retry to have it issued anew")
	case l.Base != nil && sameFields(l.Base, cur.Fields) || l.Base == nil && !accepted:
		return partDone
	case accepted:
		l.Base, l.OtherVersion = cur.Fields, cur.Version
	default:
		l.Base, l.OtherVersion = nil, "" // ours or a person's: decided when it matters
	}
	t.ch.Links = append(t.ch.Links, l)
	return partDone
}

// endBefore ends the links before a document that was found: another one is
// opened only when the last one is void or gone.
func (t *turn) endBefore(key link.Key, n int64) {
	for _, l := range t.v.Links[key] {
		if l.N < n && l.Live() {
			l.State = link.Gone
			t.ch.Links = append(t.ch.Links, l)
		}
	}
}

// recallMark searches the document of one mark and links it.
func (t *turn) recallMark(h *Head, p *document.Part, n int64, accepted bool) (found *connector.Posting, v verdict) {
	mark := document.Mark(t.v.Target, p.Subject, p.Name, n)
	a, v := t.markLooked(p, mark)
	if a == nil {
		return nil, v
	}
	if len(a.Postings) > 1 && !accepted {
		delete(t.m.Looks, a.Key)
		return nil, t.askRecovery(h, "the books hold more than one document of "+mark+": void all but one, then retry")
	}
	found = standing(a.Postings)
	t.relink(h, p, n, found, accepted)
	return found, partDone
}

// markLooked is what the books hold of a mark among what was made since.
func (t *turn) markLooked(p *document.Part, mark string) (*LookAnswer, verdict) {
	return t.looked(Look{Key: "recall|" + mark, Kind: p.Kind, Probe: &connector.Probe{Kind: p.Kind, Mark: mark, Since: t.lostSince()}})
}

// recallBeyond searches what a record whose end is told may hold behind the documents
// that are known: a person may have had one issued anew in a life that came after that
// end. Nobody is asked, since the end stands; what is not clear is for reconciliation.
func (t *turn) recallBeyond(h *Head) verdict {
	if h.Past.Absorbed || h.Past.Ended != Posted && h.Past.Ended != Unchanged {
		return partDone
	}
	for _, p := range t.pastParts(h) {
		if t.v.Claims.Ambiguity[p.Kind] == connector.Opaque {
			continue
		}
		key := link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}
		for n, misses := t.nextOf(key), 0; misses < beyond; n++ {
			a, v := t.markLooked(&p, document.Mark(t.v.Target, p.Subject, p.Name, n))
			if v != partDone {
				return v
			}
			misses++
			if a != nil && len(a.Postings) == 1 {
				misses = 0
				t.relink(h, &p, n, &a.Postings[0], false)
				t.endBefore(key, n)
			}
		}
	}
	return partDone
}

// recallMasters searches the customer and the items that a slot made in the life that
// is lost: renamed since, nothing but their mark tells whose they are.
func (t *turn) recallMasters(h *Head) verdict {
	for i := range h.Slot.Rendering.Parts {
		p := &h.Slot.Rendering.Parts[i]
		live, n := t.live(p)
		if live != nil || p.Mode != document.Ensure || p.Kind.Financial() {
			continue
		}
		mark := document.Mark(t.v.Target, p.Subject, p.Name, n)
		a, v := t.markLooked(p, mark)
		switch {
		case v != partDone:
			return v
		case a != nil && len(a.Postings) == 1:
			t.adopt(h, p, n, &a.Postings[0], "our mark", nil)
		}
	}
	return partDone
}

// lostSince is from when on documents may have been made that the tables forgot.
func (t *turn) lostSince() time.Time {
	return time.UnixMicro(t.v.Recovery.Since).Add(-clockSlack)
}

// recallCredit searches the credit note of a part's n-th document, in books that
// close periods, and ends the link of what it credits.
func (t *turn) recallCredit(h *Head, p *document.Part, n int64, accepted bool) verdict {
	if p.Kind != document.InvoiceKind || !t.v.Claims.LockDates {
		return partDone
	}
	note := creditFor(p)
	for _, l := range t.v.Links[link.Key{SourceRef: note.Subject, Kind: note.Kind, Part: note.Name}] {
		if l.N == n {
			return t.creditKnown(h, l)
		}
	}
	if t.v.Claims.Ambiguity[note.Kind] == connector.Opaque {
		return partDone // a person said that nothing is missing
	}
	found, v := t.recallMark(h, &note, n, accepted)
	if found != nil {
		t.credited(h.Slot, note.Subject, note.Name, n, found)
	}
	return v
}

// creditKnown ends the link of what a known credit note credits.
func (t *turn) creditKnown(h *Head, l *link.Link) verdict {
	c, v := t.readLinked(l)
	if c != nil {
		t.credited(h.Slot, l.SourceRef, l.Part, l.N, c)
	}
	return v
}

// standing is the document that counts: one that is not void, if there is one.
func standing(found []connector.Posting) *connector.Posting {
	for i := range found {
		if found[i].Status != connector.Voided {
			return &found[i]
		}
	}
	return &found[0]
}

// relink links a document that the tables had forgotten. What it says is taken
// as agreed only if a person vouched for it.
func (t *turn) relink(h *Head, p *document.Part, n int64, c *connector.Posting, accepted bool) {
	l := &link.Link{
		Key: link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}, N: n, OtherTarget: t.v.Target, OtherRef: c.Ref.String(), State: link.Primary,
		MappingHash: h.Slot.Rendering.MappingHash, Number: c.Number,
	}
	if c.IsVoid() {
		l.State, l.OtherVersion = link.Void, c.Version
	}
	if accepted {
		l.Base, l.OtherVersion = c.Fields, c.Version
	}
	t.v.Owners[l.OtherRef] = l.Key
	t.v.Links[l.Key] = append(t.v.Links[l.Key], l)
	switch {
	case p.Kind == document.InvoiceKind && p.Subject != h.Slot.Subject: // of a record that was merged into it
		t.v.Merged[l.SourceRef] = append(t.v.Merged[l.SourceRef], l)
	case p.Kind == document.InvoiceKind:
		t.v.Own[l.SourceRef] = append(t.v.Own[l.SourceRef], l)
	}
	t.ch.Links = append(t.ch.Links, l)
	t.fact(Fact{
		Type: "link.created", Slot: h.Slot, Outcome: "recalled", Detail: "found by our mark after the database was set back", Posting: c,
		Op: &Op{Part: p.Name, N: n, Kind: p.Kind, Subject: p.Subject},
	})
}

// rebase decides what both sides last agreed on where that was forgotten: what
// the books say, if a fact confirms that version, if a revision that we hold
// says the same, or if it is what is wanted anyway. Else a person must.
func (t *turn) rebase(h *Head, p *document.Part, l *link.Link, want map[string]string) verdict {
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	if !sameFields(t.modAlias(want), t.modAlias(cur.Fields)) && !t.ours(h, p, l, cur) {
		if h.Past == nil { // the recovery is over
			return t.parkLinked(h, l, exception.Conflict, "", "the document was changed in the books by a person")
		}
		return t.askAs(h, RecallUnsure, l.OtherRef+" says something that no revision at hand says: a person changed it, or we did and forgot; retry to take it as agreed and go on, or discard to leave it")
	}
	l.Base, l.OtherVersion = cur.Fields, cur.Version
	t.ch.Links = append(t.ch.Links, l)
	return partDone
}

// ours reports whether what a record of the books says came from us.
func (t *turn) ours(h *Head, p *document.Part, l *link.Link, cur *connector.Posting) bool {
	if l.OtherVersion != "" && l.OtherVersion == cur.Version {
		return true
	}
	if h.Past == nil {
		return false
	}
	for i := range h.Past.Parts {
		q := &h.Past.Parts[i]
		if q.Kind != p.Kind || q.Name != p.Name || q.Subject != p.Subject || q.Desired != document.Issued {
			continue
		}
		enc, f := t.encode(h, q, connector.Update, l.N, cur, cur.Fields)
		if f == nil && sameFields(t.modAlias(enc.Fields), t.modAlias(cur.Fields)) {
			return true
		}
	}
	return false
}

// rebaseRecord takes what a customer or an item says as agreed, if it came from
// us: an update that the tables forgot is no edit by a person.
func (t *turn) rebaseRecord(h *Head, p *document.Part, l *link.Link, cur *connector.Posting) {
	if h.Past == nil || l.Base != nil && sameFields(l.Base, cur.Fields) || !t.ours(h, p, l, cur) {
		return
	}
	l.Base, l.OtherVersion = cur.Fields, cur.Version
	t.ch.Links = append(t.ch.Links, l)
}

// namesOther: a link holds another document than the one an op was settled by.
// After a restore the later life is right.
func (t *turn) namesOther(l *link.Link, p *connector.Posting) bool {
	return t.v.Recovery != nil && (l.OtherRef != p.Ref.String() || !l.Live() && p.IsVoid())
}

// linkForgotten links a document that a person found under the number that its
// mark names: another number would be given out twice.
func (t *turn) linkForgotten(h *Head, c Command, p *connector.Posting) bool {
	if h.Past == nil || !p.Kind.Financial() || p.Mark == "" {
		return false
	}
	parts := t.pastParts(h)
	for _, part := range parts {
		parts = append(parts, creditFor(&part))
	}
	for _, part := range parts {
		key := link.Key{SourceRef: part.Subject, Kind: part.Kind, Part: part.Name}
		known := map[int64]bool{}
		for _, l := range t.v.Links[key] {
			known[l.N] = true
		}
		for n := int64(1); n <= marksMost; n++ {
			if known[n] || document.Mark(t.v.Target, part.Subject, part.Name, n) != p.Mark {
				continue
			}
			t.relink(h, &part, n, p, true)
			if part.Kind == document.CreditNoteKind {
				t.credited(h.Slot, part.Subject, part.Name, n, p)
			} else {
				t.endBefore(key, n)
			}
			t.ch.Commands = append(t.ch.Commands, c.ID)
			t.fact(Fact{Type: "exception.acted", Slot: h.Slot, Outcome: "linked", Detail: p.Ref.String(), Except: c.Exception, Actor: c.Actor})
			return true
		}
	}
	return false
}

// marksMost bounds how many documents of one part are looked for by number.
const marksMost = 64
