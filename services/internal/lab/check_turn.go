package lab

import (
	"slices"
	"strings"
	"time"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// told is what a turn was told before it stepped.
type told struct {
	paused, held bool
	asked        bool // a person asked for something
}

// checkTurn is I12: what leaves in a turn stays within what may leave.
func (p *process) checkTurn(before told, v *protocol.View, e *protocol.Effects) {
	w, n := p.w, len(e.Send)+len(e.Looks)
	p.asked = p.asked || before.asked
	if n == 0 {
		return
	}
	switch {
	case n > v.Budget:
		w.violated("I12", "%d requests leave in a turn that may send %d", n, v.Budget)
	case e.Realtime > v.RealtimeMost, e.Bulk > v.BulkMost:
		w.violated("I12", "%d realtime and %d bulk requests leave in a turn that may send %d and %d", e.Realtime, e.Bulk, v.RealtimeMost, v.BulkMost)
	case before.held && v.HeldBy != "":
		w.violated("I12", "%d requests leave while a person holds the target", n)
	case w.now < p.hold:
		w.violated("I12", "%d requests leave %s before the books want the next one", n, time.Duration(p.hold-w.now)*time.Microsecond)
	case before.paused && v.Paused && n > 1:
		w.violated("I12", "%d requests leave while the connection is paused, not one probe", n)
	case before.paused && v.Paused && !p.asked && w.now-p.probed < 5*second:
		w.violated("I12", "a probe leaves %s after the last one", time.Duration(w.now-p.probed)*time.Microsecond)
	}
	if before.paused && v.Paused {
		p.probed, p.asked = w.now, false
	}
	shared := 0
	for _, c := range e.Send {
		if len(c.Items) > max(1, v.Claims.BatchSize) {
			w.violated("I12", "a call carries %d items, and the books take %d", len(c.Items), v.Claims.BatchSize)
		}
		shared += b2i(len(c.Items) > 1)
	}
	if shared > batches {
		w.violated("I12", "%d shared calls leave in a turn that may send %d", shared, batches)
	}
	w.checkLanes()
}

// throttledBy notes until when the books want no request, as an answer said.
func (p *process) throttledBy(err error) {
	if f := fault.As(err); f != nil && f.Kind == fault.RateLimited {
		p.hold = max(p.hold, p.w.now+max(f.RetryAfter, time.Second).Microseconds())
	}
}

// checkLanes: of one lane at most one effect of its own is under way.
func (w *site) checkLanes() {
	for i, o := range w.db.ops {
		if o.Rev == 0 || !open(o) {
			continue
		}
		for _, x := range w.db.ops[:i] {
			if x.Lane == o.Lane && x.Rev != 0 && open(x) {
				w.violated("I3", "two effects of lane %s are under way: %s %s and %s %s", laneID(o.Lane), x.Kind, x.Part, o.Kind, o.Part)
			}
		}
	}
}

// checkFrozen: a call that is sent again is the same call.
func (b *books) checkFrozen(c connector.Call) {
	var text []byte
	for _, item := range c.Items {
		text = append(append(append(text, item.OpID...), 0), item.Body...)
	}
	if first, again := b.bodies[c.Key]; again && first != string(text) {
		b.w.violated("I1", "call %s was sent again with another body", c.Key[:8])
		return
	}
	b.bodies[c.Key] = string(text)
}

// vainMost is how often books that do not answer are asked in one outage, for all lanes
// of an owner: some ten times where it pauses, a thousand where it does not.
const vainMost = 100

// checkVain: books that do not answer are left in peace.
func (b *books) checkVain() {
	if b.down <= b.w.now && b.refuses <= b.w.now {
		b.vain = 0
		return
	}
	if b.vain++; b.vain == vainMost {
		b.w.violated("I12", "books that do not answer were asked %d times", b.vain)
	}
}

// largeMost is how many calls carry more than the books take before each process has
// learned that: some three.
const largeMost = 30

// checkLarge: what the books say of a call that carries too much is remembered.
func (b *books) checkLarge() {
	if b.large++; b.large == largeMost {
		b.w.violated("I12", "%d calls carried more than the books take", b.large)
	}
}

// checkNeeds: an invoice comes after the customer and the item that it names.
func (b *books) checkNeeds(made *doc) {
	for _, d := range b.docs {
		if d.kind == document.ItemKind {
			return
		}
	}
	b.w.violated("I5", "invoice %s was made and its item never was", made.id)
}

// freshFor is how old a read may be when something is written.
const freshFor = 60 * second

// checkHand: what a person changed in the books is not written over, once
// there was time to see it.
func (b *books) checkHand(item connector.Item, r request, d *doc) {
	o := b.w.db.op(item.OpID)
	if o == nil {
		return
	}
	late := func(at micros) bool { return at > b.w.db.sure && o.StartedAt > at+freshFor }
	switch {
	case d.kind != document.InvoiceKind, b.w.db.recovery != nil: // after a restore a link begins again at what the books say
	case late(d.settledAt):
		b.w.violated("I6", "invoice %s was paid or sent, and a %s is written over it", d.id, r.Effect)
	case r.Effect == connector.Update && late(d.editedAt) && (d.note != r.note || d.net != r.net):
		b.w.violated("I6", "invoice %s was changed by a person, and an update is written over it", d.id)
	}
}

// agreedOn: the writer saw the document as it is now.
func (b *books) agreedOn(p *connector.Posting) {
	if d := b.byID[p.Ref.ID]; d != nil && itoa(int64(d.version)) == p.Version {
		d.editedAt, d.agreed = 0, p.Fields
	}
}

func (t *tables) op(id string) *protocol.Op {
	for _, o := range t.ops {
		if o.ID == id {
			return o
		}
	}
	return nil
}

// checkPlan: a mapping that only updates makes nothing, a document whose part a new
// mapping no longer names is not voided without a person, and one that a merge made
// another record's is that one's alone.
func (t *tables) checkPlan(o *protocol.Op) {
	r := t.lanes[o.Lane].at(o.Seq).Rendering
	for _, l := range t.links {
		if l.SourceRef == o.Subject && o.Kind == document.InvoiceKind && l.OtherRef == o.TargetRef && l.Merged() {
			t.w.violated("I3", "a %s of %s leaves for %s, which is %s's since their merge", o.Effect, o.Subject, o.TargetRef, l.AliasOf)
		}
	}
	if o.Effect == connector.Create && o.Rev != 0 && r.UpdateOnly {
		t.w.violated("I11", "a %s of %s is made by a mapping that only updates", o.Kind, o.Subject)
	}
	if o.Effect != connector.Void {
		return
	}
	for i := range r.Parts {
		if r.Parts[i].Name == o.Part {
			return
		}
	}
	for _, l := range t.links {
		if l.Key == (link.Key{SourceRef: o.Subject, Kind: o.Kind, Part: o.Part}) && l.N == o.N && l.MappingHash != r.MappingHash {
			t.w.violated("I11", "%s of %s is voided since another mapping no longer names it, and nobody was asked", o.Part, o.Subject)
		}
	}
}

// checkAgreed: an invoice of which nothing but the tax status shall change is neither
// changed nor voided without a person, and none is credited.
func (t *tables) checkAgreed(o *protocol.Op) {
	place := protocol.Place{Lane: o.Lane, Seq: o.Seq}
	if o.Kind == document.CreditNoteKind && !t.agreed[place] {
		t.w.violated("I11", "an invoice of %s is credited, and nobody was asked", o.Subject)
	}
	if o.Kind != document.InvoiceKind || o.Effect == connector.Create || t.agreed[place] || t.recovery != nil || o.Fields["line.1.net"] == "" {
		return
	}
	for _, l := range t.links {
		if l.SourceRef == o.Subject && l.OtherRef == o.TargetRef && l.Base["line.1.net"] == o.Fields["line.1.net"] && l.Base["line.1.tax"] != o.Fields["line.1.tax"] {
			t.w.violated("I11", "invoice %s of %s gets a %s for its tax status, and nobody was asked", o.TargetRef, o.Subject, o.Effect)
		}
	}
}

// checkName: of one name one create is under way.
func (t *tables) checkName(o *protocol.Op) {
	for _, x := range t.ops {
		if name := o.Fields["name"]; name != "" && x.ID != o.ID && open(x) && x.Kind == o.Kind && x.Fields["name"] == name && x.Effect == connector.Create && o.Effect == connector.Create {
			t.w.violated("I1", "two creates of the name %q are under way, for %s and %s", name, x.Subject, o.Subject)
		}
	}
}

// refusal is a change that was refused since the record had moved.
type refusal struct{ call, version string }

// checkStale: a change that was refused since the record had moved is not tried
// again on what was seen before.
func (b *books) checkStale(c connector.Call, i int, err error) {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Conflict || c.Items[i].Effect == connector.Create {
		return
	}
	now := refusal{c.Key, readRequest(c.Items[i].Body).Version}
	if last := b.stale[c.Items[i].OpID]; last.call != "" && last.call != now.call && last.version == now.version {
		b.w.violated("I12", "op %s leaves twice for version %q, which the books refused", c.Items[i].OpID[:8], now.version)
	}
	b.stale[c.Items[i].OpID] = now
}

// checkRead: what a read brings is not admitted over a read that began later, nor
// where it names a customer that is known to be merged away: here the source moves the
// deals as it merges.
func (in *ingest) checkRead(r admission.Read) {
	ref := r.Record.Ref
	if r.No < in.known[ref] {
		in.w.violated("I3", "read %d of %s is admitted after read %d", r.No, ref, in.known[ref])
	}
	in.known[ref] = max(in.known[ref], r.No)
	if c := r.Record.Customer; c != ref && in.alias[c.String()] != "" {
		in.w.violated("I3", "read %d of %s is admitted, and names %s, which was merged away", r.No, ref, c)
	}
}

// checkNews: a read that says nothing new makes no revision, unless one was asked for.
func (in *ingest) checkNews(r admission.Read, o admission.Object) {
	if o.Rev > 0 && o.Hash == r.Record.Hash && !o.Deleted && !r.Record.Deleted && !r.Merges && r.Cause != event.Linked && r.Cause != event.Reissue && r.Cause != event.Requeue {
		in.w.violated("I12", "%s gets a revision for a read that says nothing new (%s)", r.Record.Ref, r.Cause)
	}
}

// checkHalf: a slot that has an effect is not called superseded before a newer
// revision has one, unless it was in front of a person.
func (t *tables) checkHalf(e protocol.Ended) {
	s := t.lanes[e.Lane].at(e.Seq)
	if slices.ContainsFunc(t.exceptions, func(x *excRow) bool { return x.Lane == e.Lane && x.Seq == e.Seq }) {
		return
	}
	if t.recovery != nil { // the newer revision may be known from another service alone
		return
	}
	_, _, overtaken, _ := t.Around(&s.Slot)
	for _, l := range t.links { // or was handed what is merged into it
		overtaken = overtaken || l.SourceRef == s.Subject && l.Rev > s.Rev
	}
	for _, o := range t.ops {
		if o.Lane == e.Lane && o.Seq == e.Seq && o.Rev != 0 && o.State == protocol.Done && !overtaken {
			t.w.violated("I2", "slot %d of lane %s has an effect and ended superseded, and no newer revision has one", e.Seq, laneID(e.Lane))
		}
	}
}

// checkEnd: a slot ends after those that it follows, and only what a person named
// is discarded.
func (t *tables) checkEnd(e protocol.Ended) {
	if e.Outcome == protocol.Posted || e.Outcome == protocol.Unchanged {
		for _, a := range t.lanes[e.Lane].at(e.Seq).Rendering.After {
			if l := t.lanes[a.Lane]; l == nil || l.next <= a.Seq {
				t.w.violated("I3", "slot %d of lane %s ended before slot %d of lane %s, which it follows", e.Seq, laneID(e.Lane), a.Seq, laneID(a.Lane))
			}
		}
		t.checkMergedFirst(e)
	}
	if e.Outcome == protocol.Superseded && t.recovery == nil { // during one the links move as the slot ends
		t.checkMergeKept(t.lanes[e.Lane].at(e.Seq))
	}
	if e.Outcome == protocol.Discarded && t.recovery == nil && !t.discards[protocol.Place{Lane: e.Lane, Seq: e.Seq}] {
		t.w.violated("I2", "slot %d of lane %s was discarded, and no person asked for it", e.Seq, laneID(e.Lane))
	}
	t.checkDecision(e)
}

// checkMergedFirst: no slot of what a record was merged from waits in another lane
// when the record's own ends: what it makes would stand beside.
func (t *tables) checkMergedFirst(e protocol.Ended) {
	from := t.lanes[e.Lane].at(e.Seq).Rendering.MergedFrom
	t.queued(func(s *slotRow) {
		if s.Lane != e.Lane && slices.Contains(from, s.Subject) {
			t.w.violated("I3", "slot %d of lane %s ended before slot %d of lane %s, which is of %s, merged into it", e.Seq, laneID(e.Lane), s.Seq, laneID(s.Lane), s.Subject)
		}
	})
}

// checkDecision: what a person discarded in the life that is lost, and the others
// know of, is not carried out after the restore.
func (t *tables) checkDecision(e protocol.Ended) {
	id := t.lanes[e.Lane].at(e.Seq).EventID
	for i := range t.told {
		if x := &t.told[i]; x.EventID == id && x.Outcome == protocol.Discarded && e.Outcome != protocol.Discarded {
			t.w.violated("I2", "slot %d of lane %s was discarded before the restore, and ends %s", e.Seq, laneID(e.Lane), e.Outcome)
		}
	}
}

// checkMergeKept: what a superseded merge names is named by a newer revision too, or by
// what its record was merged into.
func (t *tables) checkMergeKept(s *slotRow) {
	for _, loser := range s.Rendering.MergedFrom {
		kept := false
		for _, lane := range t.order {
			for _, x := range t.lanes[lane].slots {
				later := x.Subject == s.Subject && x.Rev > s.Rev || slices.Contains(x.Rendering.MergedFrom, s.Subject)
				kept = kept || later && slices.Contains(x.Rendering.MergedFrom, loser)
			}
		}
		if !kept {
			t.w.violated("I2", "the merge of %s into %s is superseded, and no newer revision brings it", loser, s.Subject)
		}
	}
}

// checkLinked: a link begins at what the writer saw, and never at a record that
// it saw out of use, unless it made the record itself and lost the link.
func (b *books) checkLinked(f *protocol.Fact) {
	if f.Posting == nil || f.Type != "link.created" && f.Type != "op.settled" {
		return
	}
	if f.Outcome == "matched" && !f.Posting.Active && f.Detail != "by our mark" {
		b.w.violated("I5", "%s was linked, and the books no longer use it", f.Posting.Ref)
	}
	if f.Detail == "by equal name" {
		for _, l := range b.w.db.links {
			if l.OtherRef == f.Posting.Ref.String() && l.State == link.Primary && l.SourceRef != f.Op.Subject && f.Op.Kind == document.CustomerKind {
				b.w.violated("I1", "%s is linked to the customer of %s by its name alone", f.Op.Subject, l.SourceRef)
			}
		}
	}
	if f.Outcome != "merged" { // what was agreed on before stays so
		b.agreedOn(f.Posting)
	}
}

// checkParked: what the connection or a batch does is no record's fault, and nobody is asked whose
// a customer is where a merge that ended says so.
func (t *tables) checkParked(e *exception.Exception) {
	if e.Lane == "" {
		return
	}
	if _, owner, found := strings.Cut(e.Reason, "but it is linked to "); found && e.Kind == exception.Match && t.mergedHere(e.Lane, e.Seq, owner) {
		t.w.violated("I8", "%s is in front of a person, since its customer is linked to %s, whose merge has ended before it in lane %s", e.Subject, owner, laneID(e.Lane))
	}
	if e.Kind == exception.Conflict && strings.HasSuffix(e.Reason, "by a person") && t.sure == 0 && t.recovery == nil && !t.touched(e.Subject) {
		t.w.violated("I8", "%s is in front of a person, and nobody was at its documents: %s", e.Subject, e.Reason)
	}
	if strings.Contains(e.Reason, tooMany) {
		t.w.violated("I8", "%s is in front of a person, since it left with others: %s", e.Subject, e.Reason)
	}
	for _, k := range []fault.Kind{fault.Transient, fault.Unauthorized, fault.RateLimited} {
		if strings.HasPrefix(e.Reason, string(k)) {
			t.w.violated("I8", "%s is in front of a person, since the connection answered: %s", e.Subject, e.Reason)
		}
	}
}

// touched: a person was at what stands in the books for a record, or a copy that nobody
// counted carried out what the books then refused.
func (t *tables) touched(subject string) bool {
	for _, l := range t.links {
		d := t.w.books.byID[refID(l.OtherRef)]
		if l.SourceRef == subject && d != nil && (d.byHand || t.carriedOut(d, l.OtherRef)) {
			return true
		}
	}
	return false
}

// carriedOut: a document says what a refused update asked for.
func (t *tables) carriedOut(d *doc, ref string) bool {
	return slices.ContainsFunc(t.ops, func(o *protocol.Op) bool {
		return o.TargetRef == ref && o.State == protocol.Refused && o.Effect == connector.Update && d.says(o.Fields)
	})
}

// mergedHere: a slot that ended earlier in the lane names a record as merged away. Where
// ingest was set back, a slot of its lost life may make the customer after that.
func (t *tables) mergedHere(lane string, before int64, loser string) bool {
	if t.w.ingest.floor > 0 {
		return false
	}
	for _, s := range t.lanes[lane].slots {
		if s.Seq < before && s.Subject == lane && s.state == "ended" && s.outcome != protocol.Discarded && s.outcome != protocol.Moved && slices.Contains(s.Rendering.MergedFrom, loser) {
			return t.sure == 0 && t.recovery == nil
		}
	}
	return false
}

// checkSettled: what ended does not end again; only another generation may leave.
func (t *tables) checkSettled(was, o *protocol.Op) {
	if was.Gen == o.Gen && (was.State == protocol.Done || was.State == protocol.Refused) {
		t.w.violated("I1", "op %s was %s and is %s, by the same generation", o.ID[:8], was.State, o.State)
	}
}

// checkAbsent: where it can be looked for, a void that took effect is not called absent.
func (t *tables) checkAbsent(f *protocol.Fact) {
	if f.Outcome != "refused:absent" || f.Op.Effect != connector.Void || t.w.books.claims.Ambiguity[f.Op.Kind] == connector.Opaque {
		return
	}
	if d := t.w.books.byID[refID(f.Op.TargetRef)]; d != nil && d.status == connector.Voided && !d.byHand {
		t.w.violated("I12", "the void of %s is called absent, and it is void", f.Op.TargetRef)
	}
}
