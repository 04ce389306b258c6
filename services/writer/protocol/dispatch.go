package protocol

import (
	"sort"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/link"
)

// dispatch encodes with the ids that now exist and lets one op leave.
func (t *turn) dispatch(h *Head, p *document.Part, e connector.Effect, n int64, cur *connector.Posting, l *link.Link) verdict {
	for _, need := range p.Needs {
		if _, ok := t.linkOf(need); !ok {
			return t.await(h, need)
		}
	}
	enc, f := t.encode(h, p, e, n, cur, nil)
	if f != nil {
		return t.unencodable(h, p, f)
	}
	target := ""
	if l != nil {
		target = l.OtherRef
	}
	return t.dispatchEncoded(h, p, e, n, target, enc)
}

// dispatchEncoded lets the op leave: by itself for what is awaited in real
// time, in a shared call for what is bulk.
func (t *turn) dispatchEncoded(h *Head, p *document.Part, e connector.Effect, n int64, target string, enc connector.Encoded) verdict {
	shared := t.shares(h)
	if !shared {
		t.closeBatch()
	}
	if len(t.batch) == 0 && !t.leave() {
		return partPending
	}
	op := t.newOp(h, p, e, n, target, enc)
	item := connector.Item{OpID: op.ID, Kind: op.Kind, Effect: e, Mark: op.Mark, Body: enc.Body}
	t.ch.Ops = append(t.ch.Ops, op)
	keep(&t.busy, op.Subject, op.Lane)
	t.claim(op)
	if h.Exception != "" {
		t.release(h.Slot, h.Exception, "went on", "what it waited for is there")
	}
	t.setLane(h, Running, "", 0)
	t.batch = append(t.batch, item)
	if !shared || len(t.batch) >= t.batchSize() {
		t.closeBatch()
	}
	return partPending
}

// shares reports whether a head's op goes into a shared call. Bulk does where
// the connector takes several items; a call of its own is kept for the rest, so
// that a doubt touches one op.
func (t *turn) shares(h *Head) bool {
	return h.Slot.Class == event.Bulk && t.batchSize() > 1 && t.v.Batches > 0
}

// batchSize is what a call may carry: the connector's claim, or what the
// vendor taught us.
func (t *turn) batchSize() int {
	size := max(1, t.v.Claims.BatchSize)
	if t.m.BatchMost > 0 {
		size = min(size, t.m.BatchMost)
	}
	return size
}

// closeBatch sends the items gathered so far as one call: frozen from here on.
func (t *turn) closeBatch() {
	if len(t.batch) == 0 {
		return
	}
	ops := make([]*Op, 0, len(t.batch))
	for _, item := range t.batch {
		ops = append(ops, t.v.Ops[item.OpID])
	}
	c := &Call{ID: vendorKey(ops...), Items: t.batch}
	t.batch = nil
	for _, op := range ops {
		op.Call = c.ID
	}
	t.v.Calls = append(t.v.Calls, c)
	t.send(c)
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
		ID: id, Lane: h.Lane, Seq: h.Slot.Seq, Part: p.Name, N: n, Kind: p.Kind, Effect: e, Subject: p.Subject, State: Sent, Gen: max(op.Gen, t.v.Gens-1) + 1,
		Mark: document.Mark(t.v.Target, p.Subject, p.Name, n), RequestHash: event.Digest(string(enc.Body)), TargetRef: target,
		Fields: enc.Fields, Attempts: op.Attempts + 1, StartedAt: t.v.Now,
	}
	if p.Mode == document.Own {
		op.Rev = h.Slot.Rev
	}
	return op
}

func (t *turn) linkOf(n document.Need) (*link.Link, bool) {
	l, _ := t.live(&document.Part{Subject: n.Ref, Kind: n.Kind, Name: n.Part})
	return l, l != nil
}

func (t *turn) linked(n document.Need) (event.Ref, bool) {
	l, ok := t.linkOf(n)
	if !ok {
		return event.Ref{}, false
	}
	return parseRef(l.OtherRef), true
}
