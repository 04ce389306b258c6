package protocol

import (
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// freshFor is how old a read of a financial document, or of the lock date, may
// be when something is written.
const freshFor = 60 * time.Second

// lockRecent is how old a read of the lock date may be for a person to be asked
// about a closed period: it may have been opened since.
const lockRecent = 2 * time.Second

// part decides what makes one part true, by the state of the books. No plan is
// stored: a subject with an op under way is not planned, and a settled op has
// moved its link, so a plan made anew starts from what is known.
func (t *turn) part(h *Head, p *document.Part) verdict {
	if p.Mode == document.Ensure {
		return t.ensure(h, p)
	}
	live, n := t.live(p)
	if live != nil && t.wasCredited(p) {
		p = redated(p, live.Base["issue_date"])
	}
	switch {
	case p.Desired == document.Draft:
		return partDone // a target without drafts: it stays with us
	case p.Kind == document.MarkerKind && p.Desired != document.Voided:
		return t.mark(h, p, live)
	case live == nil && (p.Desired == document.Voided || h.Slot.Rendering.UpdateOnly):
		return partDone
	case !p.Kind.Financial():
		return t.record(h, p, live, n)
	case live == nil:
		return t.create(h, p, n)
	case p.Desired == document.Voided:
		return t.void(h, p, live)
	}
	return t.update(h, p, live)
}

// live returns the part's live link and the number that a new document has.
func (t *turn) live(p *document.Part) (*link.Link, int64) {
	key := link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}
	for _, l := range t.v.Links[key] {
		if l.Live() {
			return l, l.N
		}
	}
	return nil, t.nextOf(key)
}

// nextOf is the number that a part's next document takes.
func (t *turn) nextOf(key link.Key) (n int64) {
	for _, l := range t.v.Links[key] {
		n = max(n, l.N)
	}
	return n + 1
}

// ensure: a live link means done; else one create by whichever lane comes
// first, after a search that found nothing.
func (t *turn) ensure(h *Head, p *document.Part) verdict {
	live, n := t.live(p)
	if live != nil {
		return partDone
	}
	if op := t.v.Ops[document.OpID(t.v.Tenant, t.v.Target, p, 0, "", n)]; op != nil && (op.State == Sent || op.State == Doubt) {
		t.wake(t.v.Mono + sweepEvery)
		return partPending
	}
	return t.match(h, p, n)
}

// create makes a financial document, unless the record qualified before the
// cut-off: then it is looked for and linked, and never made.
func (t *turn) create(h *Head, p *document.Part, n int64) verdict {
	if h.Slot.Rendering.MatchOnly {
		return t.match(h, p, n)
	}
	through, v := t.lockDate()
	if v != partDone {
		return v
	}
	if through != "" && t.wasCredited(p) {
		p = redated(p, firstOpen(through))
	}
	if p.Invoice != nil && locked(p.Invoice.IssueDate, through) {
		if !t.lockRead() {
			return partPending
		}
		return t.park(h, exception.Period, "issue_date", "the issue date "+p.Invoice.IssueDate+" lies in a period that is closed through "+through, nil)
	}
	return t.dispatch(h, p, connector.Create, n, nil, nil)
}

// mark writes number, id and status back to the source's record: marker fields
// belong to us, so nothing is read first.
func (t *turn) mark(h *Head, p *document.Part, live *link.Link) verdict {
	n := int64(1)
	if live != nil {
		n = live.N
	}
	enc, f := t.encode(h, p, connector.Update, n, nil, nil)
	if f != nil {
		return t.unencodable(h, p, f)
	}
	first := h.Past != nil && h.Past.Recall == "" // what was written last is forgotten
	if live != nil && sameFields(enc.Fields, live.Base) && !first {
		return partDone
	}
	return t.dispatchEncoded(h, p, connector.Update, n, p.Marker.Record, enc)
}

// update changes a document that stands in the books as we left it, as far as
// the life cycle allows.
func (t *turn) update(h *Head, p *document.Part, l *link.Link) verdict {
	enc, f := t.encode(h, p, connector.Update, l.N, &connector.Posting{Ref: parseRef(l.OtherRef), Version: l.OtherVersion, Fields: l.Base}, nil)
	if f != nil {
		return t.unencodable(h, p, f)
	}
	if l.Base == nil {
		if v := t.rebase(h, p, l, enc.Fields); v != partDone {
			return v
		}
	}
	base := t.modAlias(l.Base)
	changes := changesOf(base, t.modAlias(enc.Fields))
	if len(changes) == 0 {
		return partDone
	}
	through, v := t.lockDate()
	if v != partDone {
		return v
	}
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	if cur.IsVoid() && t.wasVoiding(h, p, l) {
		t.voided(h, l, cur)
		return t.create(h, p, l.N+1)
	}
	now := t.modAlias(cur.Fields)
	at := cellOf(cur, through)
	if at == cellLocked && !t.lockRead() {
		return partPending
	}
	r, why := judge(changes, at, cur)
	agreed := r.do == person && r.field != "" && t.m.Agreed[h.place()]
	switch {
	case r.do == leave, at != cellOpen && len(changes) == 1 && changes[0] == changeNote && t.onlyMark(p, l, base["note"], enc.Fields["note"]):
		return partDone
	case r.do == person && !agreed:
		return t.parkCell(h, l, state(at, cur), why, r)
	case !sameFields(base, now) && !sameFields(t.modAlias(enc.Fields), now):
		return t.parkLinked(h, l, exception.Conflict, diffField(base, now), "the document was changed in the books by a person")
	case agreed && r.field == FieldClosed && sameFields(base, now):
		return t.correct(h, p, l, cur, through)
	case locked(enc.Fields["issue_date"], through):
		if !t.lockRead() {
			return partPending
		}
		return t.parkLinked(h, l, exception.Period, "issue_date", "the new issue date "+enc.Fields["issue_date"]+" lies in a period that is closed through "+through)
	case r.do == void || agreed: // the books do not change it: it is voided, and then another one is made
		return t.dispatch(h, p, connector.Void, l.N, cur, l)
	}
	return t.dispatch(h, p, connector.Update, l.N, cur, l)
}

// wasVoiding: this slot was about to void the document and make another one, and was
// refused. Void by now, it is as it was to be, whoever did it: a person at the same
// moment, or a copy of the request that nobody counted.
func (t *turn) wasVoiding(h *Head, p *document.Part, l *link.Link) bool {
	op := t.v.Ops[document.OpID(t.v.Tenant, t.v.Target, p, h.Slot.Rev, "void", l.N)]
	return op != nil && op.State == Refused
}

// onlyMark: the memo differs in nothing but our mark, which is still that of a record
// that was merged into this one.
func (t *turn) onlyMark(p *document.Part, l *link.Link, base, want string) bool {
	own := document.Mark(t.v.Target, p.Subject, p.Name, l.N)
	i := strings.Index(want, own)
	return i >= 0 && len(base) == len(want) && base[:i] == want[:i] && strings.HasPrefix(base[i:], own[:3]) && base[i+len(own):] == want[i+len(own):]
}

// modAlias compares customers modulo the merges at the source: two customers
// of the books that stand for one company are the same.
func (t *turn) modAlias(fields map[string]string) map[string]string {
	same, merged := t.v.Same[fields["customer"]]
	if !merged {
		return fields
	}
	out := make(map[string]string, len(fields))
	for k, v := range fields { // a copy: the order of the map is not seen
		out[k] = v
	}
	out["customer"] = same
	return out
}

// void ends an open document and keeps its number.
func (t *turn) void(h *Head, p *document.Part, l *link.Link) verdict {
	through, v := t.lockDate()
	if v != partDone {
		return v
	}
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	at, why := cellOf(cur, through), voidChange(p.VoidCause)
	if at == cellLocked && !t.lockRead() {
		return partPending
	}
	switch r := ruleRead(why, at, cur); {
	case r.do == leave:
		t.voided(h, l, cur)
		return partDone
	case r.do == person && r.field == FieldClosed && t.m.Agreed[h.place()]:
		return t.correct(h, p, l, cur, through)
	case r.do == person:
		return t.parkCell(h, l, state(at, cur), why, r)
	}
	return t.dispatch(h, p, connector.Void, l.N, cur, l)
}

// voided notes that a person voided a document in the books.
func (t *turn) voided(h *Head, l *link.Link, cur *connector.Posting) {
	l.State, l.OtherVersion = link.Void, cur.Version
	t.ch.Links = append(t.ch.Links, l)
	t.fact(Fact{
		Type: "link.voided", Slot: h.Slot, Outcome: "by_hand", Detail: "it is void in the books", Posting: cur,
		Op: &Op{Part: l.Part, N: l.N, Kind: l.Kind, Subject: l.SourceRef},
	})
}

// fresh returns the document as the books have it now, or nil and why not.
func (t *turn) fresh(h *Head, p *document.Part, l *link.Link) (*connector.Posting, verdict) {
	key := freshKey(l.OtherRef)
	a, ok := t.m.Looks[key]
	if !ok || t.v.Mono-a.At > freshFor {
		t.look(Look{Key: key, Kind: p.Kind, Ref: parseRef(l.OtherRef)})
		return nil, partPending
	}
	f := fault.As(a.Err)
	switch fault.KindOf(a.Err) {
	case fault.OK:
		if len(a.Postings) == 1 {
			return &a.Postings[0], partDone
		}
		fallthrough
	case fault.NotFound:
		delete(t.m.Looks, key)
		return nil, t.refused(h, p, exception.Conflict, "", "the document was deleted in the books by a person", nil)
	case fault.Rejected, fault.Unresolved:
		delete(t.m.Looks, key)
		return nil, t.refused(h, p, kindOf(f), f.Field, faultText(f), f)
	}
	delete(t.m.Looks, key)
	t.wake(t.v.Mono + lookAgain)
	return nil, partPending
}

// readLinked reads the document of a link, and parks nothing: nil and done if it
// is gone.
func (t *turn) readLinked(l *link.Link) (*connector.Posting, verdict) {
	a, v := t.looked(Look{Key: freshKey(l.OtherRef), Kind: l.Kind, Ref: parseRef(l.OtherRef)})
	if a == nil {
		return nil, v
	}
	return &a.Postings[0], partDone
}

// looked is a look's answer, if there is one that is fresh enough: nil and pending
// until then, nil and done where nothing was found.
func (t *turn) looked(l Look) (*LookAnswer, verdict) {
	a, ok := t.m.Looks[l.Key]
	if !ok || t.v.Mono-a.At > freshFor {
		t.look(l)
		return nil, partPending
	}
	switch gone, failed := lookFailed(&a); {
	case failed:
		delete(t.m.Looks, l.Key)
		t.wake(t.v.Mono + lookAgain)
		return nil, partPending
	case gone:
		return nil, partDone
	}
	return &a, partDone
}

// lookFailed says what the answer to a read means: it is gone, or nothing.
func lookFailed(a *LookAnswer) (gone, failed bool) {
	switch {
	case fault.KindOf(a.Err) == fault.NotFound, a.Err == nil && len(a.Postings) == 0:
		return true, false
	}
	return false, a.Err != nil
}

// lockKey is the look that reads the books' lock date.
const lockKey = "lock"

// lockDate returns the day through which the books are closed, or "".
func (t *turn) lockDate() (string, verdict) {
	if !t.v.Claims.LockDates {
		return "", partDone
	}
	a, ok := t.m.Looks[lockKey]
	switch {
	case !ok || t.v.Mono-a.At > freshFor:
		t.look(Look{Key: lockKey, Lock: true})
		return "", partPending
	case a.Err != nil:
		delete(t.m.Looks, lockKey)
		t.wake(t.v.Mono + lookAgain)
		return "", partPending
	}
	return a.LockedThrough, partDone
}

func (t *turn) parkCell(h *Head, l *link.Link, state string, why change, r ruling) verdict {
	v := t.parkLinked(h, l, r.kind, r.field, "the document is "+state+" and the record asks for a change of "+string(why))
	t.ch.Opened[len(t.ch.Opened)-1].Fix = r.fix
	return v
}

// parkLinked parks by what a fresh read showed, and forgets the read: after a
// person acted, the books are read again.
func (t *turn) parkLinked(h *Head, l *link.Link, k exception.Kind, field, reason string) verdict {
	delete(t.m.Looks, freshKey(l.OtherRef))
	delete(t.m.Looks, lockKey)
	return t.park(h, k, field, reason, nil)
}

// lockRead reports whether the lock date was read just now; else it is read anew.
func (t *turn) lockRead() bool {
	if a, read := t.m.Looks[lockKey]; read && t.v.Mono-a.At <= lockRecent {
		return true
	}
	delete(t.m.Looks, lockKey)
	t.look(Look{Key: lockKey, Lock: true})
	return false
}

func (t *turn) encode(h *Head, p *document.Part, e connector.Effect, n int64, cur *connector.Posting, base map[string]string) (connector.Encoded, *fault.Error) {
	enc, err := t.v.Encode(connector.Draft{
		Part: p, Effect: e, Mark: document.Mark(t.v.Target, p.Subject, p.Name, n), Linked: t.linked, Current: cur, Base: base,
		Symbol: func(kind, symbol string) (string, bool) {
			return t.v.Symbol(h.Slot.Rendering.Entity, kind, symbol)
		},
	})
	return enc, fault.As(err)
}

// unencodable: the document cannot be said in these books. A missing link is
// waited for, everything else needs a person.
func (t *turn) unencodable(h *Head, p *document.Part, f *fault.Error) verdict {
	if f.Kind != fault.NotFound {
		return t.refused(h, p, kindOf(f), f.Field, faultText(f), f)
	}
	for _, need := range p.Needs {
		if _, ok := t.linkOf(need); !ok {
			return t.await(h, need)
		}
	}
	return t.await(h, document.Need{})
}
