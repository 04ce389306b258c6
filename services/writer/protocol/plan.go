package protocol

import (
	"sort"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// freshFor is how old a read of a financial document may be when it is changed.
const freshFor = 60 * time.Second

// part decides what makes one part true, by the state of the books. No plan is
// stored: a subject with an op under way is not planned, and a settled op has
// moved its link, so a plan made anew starts from what is known.
func (t *turn) part(h *Head, p *document.Part) verdict {
	if p.Mode == document.Ensure {
		return t.ensure(h, p)
	}
	live, n := t.live(p)
	switch {
	case p.Desired == document.Draft:
		return partDone // a target without drafts: it stays with us
	case p.Desired == document.Voided && live == nil:
		return partDone
	case p.Desired == document.Voided:
		return t.void(h, p, live)
	case p.Kind == document.MarkerKind:
		return t.mark(h, p, live)
	case live == nil:
		return t.dispatch(h, p, connector.Create, n, nil, nil)
	}
	return t.update(h, p, live)
}

// live returns the part's live link and the number that a new document has.
func (t *turn) live(p *document.Part) (*link.Link, int64) {
	var n int64
	for _, l := range t.v.Links[link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}] {
		if l.Live() {
			return l, l.N
		}
		n = max(n, l.N)
	}
	return nil, n + 1
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

// mark writes number, id and status back to the source's record: marker fields
// belong to us, so nothing is read first.
func (t *turn) mark(h *Head, p *document.Part, live *link.Link) verdict {
	n := int64(1)
	if live != nil {
		n = live.N
	}
	enc, f := t.encode(h, p, connector.Update, n, nil)
	if f != nil {
		return t.unencodable(h, f)
	}
	if live != nil && sameFields(enc.Fields, live.Base) {
		return partDone
	}
	return t.dispatchEncoded(h, p, connector.Update, n, p.Marker.Record, enc)
}

// update changes a document that stands in the books as we left it.
func (t *turn) update(h *Head, p *document.Part, l *link.Link) verdict {
	enc, f := t.encode(h, p, connector.Update, l.N, &connector.Posting{Ref: parseRef(l.OtherRef), Version: l.OtherVersion, Fields: l.Base})
	if f != nil {
		return t.unencodable(h, f)
	}
	if sameFields(enc.Fields, l.Base) {
		return partDone
	}
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	switch cell := cellOf(cur); {
	case cur.Status == connector.Voided:
		return t.parkLinked(h, l, exception.Conflict, "", "the document was voided in the books by a person")
	case cell != "O":
		return t.parkCell(h, l, cell, "it can no longer be changed in place")
	case !sameFields(l.Base, cur.Fields) && !sameFields(enc.Fields, cur.Fields):
		return t.parkLinked(h, l, exception.Conflict, diffField(l.Base, cur.Fields), "the document was changed in the books by a person")
	}
	return t.dispatch(h, p, connector.Update, l.N, cur, l)
}

// void ends an open document and keeps its number.
func (t *turn) void(h *Head, p *document.Part, l *link.Link) verdict {
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	if cur.Status == connector.Voided {
		l.State, l.OtherVersion = link.Void, cur.Version
		t.ch.Links = append(t.ch.Links, l)
		return partDone
	}
	if cell := cellOf(cur); cell != "O" {
		return t.parkCell(h, l, cell, "it can no longer be voided")
	}
	return t.dispatch(h, p, connector.Void, l.N, cur, l)
}

// fresh returns the document as the books have it now, or nil and why not.
func (t *turn) fresh(h *Head, p *document.Part, l *link.Link) (*connector.Posting, verdict) {
	key := freshKey(l.OtherRef)
	a, ok := t.m.Looks[key]
	if !ok || t.v.Mono-a.At > freshFor {
		t.look(Look{Key: key, Kind: p.Kind, Ref: parseRef(l.OtherRef)})
		return nil, partPending
	}
	switch fault.KindOf(a.Err) {
	case fault.OK:
		if len(a.Postings) == 1 {
			return &a.Postings[0], partDone
		}
		fallthrough
	case fault.NotFound:
		delete(t.m.Looks, key)
		return nil, t.park(h, exception.Conflict, "", "the document was deleted in the books by a person", nil)
	case fault.Rejected, fault.Unresolved:
		f := fault.As(a.Err)
		delete(t.m.Looks, key)
		return nil, t.park(h, kindOf(f), f.Field, faultText(f), f)
	}
	delete(t.m.Looks, key)
	t.wake(t.v.Mono + lookAgain)
	return nil, partPending
}

// cellOf names the state of the books as the life cycle does: O open and
// unallocated, P partly paid, F closed, V void.
func cellOf(p *connector.Posting) string {
	switch p.Status {
	case connector.Voided:
		return "V"
	case connector.Partly:
		return "P"
	case connector.Closed:
		return "F"
	}
	return "O"
}

func (t *turn) parkCell(h *Head, l *link.Link, cell, why string) verdict {
	words := map[string]string{"P": "partly paid", "F": "closed", "V": "void"}[cell]
	return t.parkLinked(h, l, exception.Unsupported, "", "the document is "+words+" (cell "+cell+"): "+why)
}

// parkLinked parks by what a fresh read showed, and forgets the read: after a
// person acted, the books are read again.
func (t *turn) parkLinked(h *Head, l *link.Link, k exception.Kind, field, reason string) verdict {
	delete(t.m.Looks, freshKey(l.OtherRef))
	return t.park(h, k, field, reason, nil)
}

// dispatch encodes with the ids that now exist and lets one request leave.
func (t *turn) dispatch(h *Head, p *document.Part, e connector.Effect, n int64, cur *connector.Posting, l *link.Link) verdict {
	for _, need := range p.Needs {
		if _, ok := t.linked(need); !ok {
			return t.wait(h)
		}
	}
	enc, f := t.encode(h, p, e, n, cur)
	if f != nil {
		return t.unencodable(h, f)
	}
	target := ""
	if l != nil {
		target = l.OtherRef
	}
	return t.dispatchEncoded(h, p, e, n, target, enc)
}

func (t *turn) dispatchEncoded(h *Head, p *document.Part, e connector.Effect, n int64, target string, enc connector.Encoded) verdict {
	if len(t.eff.Send) > 0 && t.laneSends(h.Lane) && p.Mode == document.Own || !t.leave() {
		return partPending
	}
	op := t.newOp(h, p, e, n, target, enc)
	c := &Call{ID: vendorKey(op), Items: []connector.Item{{OpID: op.ID, Kind: op.Kind, Effect: e, Mark: op.Mark, Body: enc.Body}}}
	op.Call = c.ID
	t.v.Calls = append(t.v.Calls, c)
	t.ch.Ops = append(t.ch.Ops, op)
	t.busy[op.Subject] = op.Lane
	t.claim(op)
	t.send(c)
	t.setLane(h, Running, "", 0)
	return partPending
}

// newOp is the op's row: the first time, or the next generation of one that
// was refused.
func (t *turn) newOp(h *Head, p *document.Part, e connector.Effect, n int64, target string, enc connector.Encoded) *Op {
	effect := "put"
	if e == connector.Void {
		effect = "void"
	}
	id := document.OpID(t.v.Tenant, t.v.Target, p, h.Slot.Rev, effect, n)
	op := t.v.Ops[id]
	if op == nil {
		op = &Op{ID: id, Gen: -1}
		t.v.Ops[id] = op
		at := sort.SearchStrings(t.v.OpIDs, id)
		t.v.OpIDs = append(t.v.OpIDs[:at], append([]string{id}, t.v.OpIDs[at:]...)...)
	}
	*op = Op{
		ID: id, Lane: h.Lane, Seq: h.Slot.Seq, Part: p.Name, N: n, Kind: p.Kind, Effect: e, Subject: p.Subject, State: Sent, Gen: op.Gen + 1,
		Mark: document.Mark(t.v.Target, p.Subject, p.Name, n), RequestHash: event.Digest(string(enc.Body)), TargetRef: target,
		Fields: enc.Fields, Attempts: op.Attempts + 1, StartedAt: t.v.Now,
	}
	if p.Mode == document.Own {
		op.Rev = h.Slot.Rev
	}
	return op
}

func (t *turn) laneSends(lane string) bool {
	for _, c := range t.eff.Send {
		if op := t.v.Ops[c.Items[0].OpID]; op != nil && op.Lane == lane {
			return true
		}
	}
	return false
}

func (t *turn) encode(h *Head, p *document.Part, e connector.Effect, n int64, cur *connector.Posting) (connector.Encoded, *fault.Error) {
	enc, err := t.v.Encode(connector.Draft{
		Part: p, Effect: e, Mark: document.Mark(t.v.Target, p.Subject, p.Name, n), Linked: t.linked, Current: cur,
		Symbol: func(kind, symbol string) (string, bool) {
			return t.v.Symbol(h.Slot.Rendering.Entity, kind, symbol)
		},
	})
	return enc, fault.As(err)
}

// unencodable: the document cannot be said in these books. A missing link is
// waited for, everything else needs a person.
func (t *turn) unencodable(h *Head, f *fault.Error) verdict {
	if f.Kind == fault.NotFound {
		return t.wait(h)
	}
	return t.park(h, kindOf(f), f.Field, faultText(f), f)
}

func (t *turn) linked(n document.Need) (event.Ref, bool) {
	l, _ := t.live(&document.Part{Subject: n.Ref, Kind: n.Kind, Name: n.Part})
	if l == nil {
		return event.Ref{}, false
	}
	return parseRef(l.OtherRef), true
}
