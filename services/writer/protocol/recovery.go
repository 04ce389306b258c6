package protocol

import (
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// Recovery says that the tables may be older than the books: the database was
// set back. It lasts until documents and links were found to agree.
type Recovery struct {
	// Gathered: what ingest and audit know of the life that is lost is here.
	Gathered bool
	// Since is when the tables were last written before they were set back, µs:
	// documents made later may be missing here.
	Since int64
}

// RecallState is how far the documents of one record were found again.
type RecallState string

// The states; "" is before everything. Asked waits for a person, since not all
// was found; unsure as well, since what a document says may be a person's edit.
// Accepted is what one said: the books are right as they are.
const (
	RecallAsked    RecallState = "asked"
	RecallUnsure   RecallState = "unsure"
	RecallAccepted RecallState = "accepted"
	RecallDone     RecallState = "done"
)

// Recalled is a record's new state of recall.
type Recalled struct {
	Subject string
	State   RecallState
}

// Past is what is known of a head's record from the life that is lost.
type Past struct {
	// Ended is how the slot's event ended there, as ingest heard; "" if it did not.
	Ended Outcome
	// Newer: ingest admitted a newer revision of the record.
	Newer bool
	// Absorbed: a merge that was told names the record as merged away, so that its
	// documents are another's by then.
	Absorbed bool
	// Missing: slots of the record, or of a merge, are still on their way here.
	Missing bool
	// Parts are the own parts of all stored slots of the record.
	Parts []document.Part
	// Recall is where the record stands.
	Recall RecallState
}

// Told is an event that ingest admitted beyond what the tables know.
type Told struct {
	Place
	EventID string
	Subject string
	Rev     int64
	Outcome Outcome // "" while it is open
	Merge   bool
}

// Counts reports whether an event that was told makes older revisions of its
// record superfluous.
func (x *Told) Counts() bool {
	switch x.Outcome {
	case "", Posted, Unchanged, Superseded:
		return !x.Merge
	}
	return false
}

// Confirmed is a fact about a document that the books confirmed and that the
// tables may have forgotten.
type Confirmed struct {
	link.Key
	N               int64
	Rev             int64
	OtherRef        string
	Version, Number string
	State           link.State
	MappingHash     string
}

// Relinked are the links that a later fact corrects: that to its document, and where
// this is a credit note, that to the invoice which it takes back.
func Relinked(of func(link.Key, int64) *link.Link, target string, c *Confirmed) []*link.Link {
	out := []*link.Link{Relink(of(c.Key, c.N), target, c)}
	part, credits := strings.CutPrefix(c.Part, document.CreditOf)
	if !credits || c.State != link.Primary {
		return out
	}
	if l := of(link.Key{SourceRef: c.SourceRef, Kind: document.InvoiceKind, Part: part}, c.N); l != nil && l.Live() {
		x := *l
		x.State = link.Credited
		out = append(out, &x)
	}
	return out
}

// Relink corrects a link by a later fact. What the document says is not in the
// fact, so it is unknown until it is read. What is over, or another's by a merge, is
// not the record's again: such a fact is of an earlier life than that end.
func Relink(old *link.Link, target string, c *Confirmed) *link.Link {
	if old != nil && old.OtherRef == c.OtherRef && c.State == link.Primary && (!old.Live() || old.Merged()) {
		return old
	}
	l := &link.Link{Key: c.Key, N: c.N, OtherTarget: target, MappingHash: c.MappingHash}
	if old != nil {
		*l = *old
	}
	if l.OtherRef != c.OtherRef || l.OtherVersion != c.Version {
		l.Base = nil
	}
	l.OtherRef, l.OtherVersion, l.State, l.AliasOf = c.OtherRef, c.Version, c.State, ""
	l.Rev = max(l.Rev, c.Rev)
	if c.Number != "" {
		l.Number = c.Number
	}
	return l
}

// trusted reports whether a search may be believed: what the others know is
// here, and no copy of a request from the life that is lost can still land.
func (t *turn) trusted() bool {
	r := t.v.Recovery
	if r == nil {
		return true
	}
	if t.m.Trusted == 0 {
		t.m.Trusted = t.v.Mono + t.v.Claims.Q()
	}
	if r.Gathered && t.v.Mono >= t.m.Trusted {
		return true
	}
	t.wake(max(t.m.Trusted, t.v.Mono+sweepEvery))
	return false
}

// past ends a head by what the lost life knew of it: its own end there, or a
// newer revision. The links that a merge moves are moved once more, in turn.
func (t *turn) past(h *Head) bool {
	p := h.Past
	switch merges := len(h.Slot.Rendering.MergedFrom) > 0; { // whatever else became of the record
	case p == nil, merges && !h.AfterMet:
		return false
	case p.Ended != "":
		if t.recallMasters(h) != partDone || t.recallBeyond(h) != partDone {
			return true
		}
		t.merge(h)
		t.closePast(h)
		t.end(h, p.Ended)
		return true
	case t.openOp(h):
		return false
	case p.Newer || h.NewerAny: // only the newest revision is planned
		t.merge(h)
		t.end(h, Superseded)
		return true
	case p.Absorbed && h.State != Parked: // what it has is found for its survivor
		if t.recall(h) == partDone {
			t.merge(h)
			t.end(h, Superseded)
		}
		return true
	}
	return false
}

// closePast closes ops that were under way in the restored tables and whose
// slot came to its end later: nothing of them is in doubt.
func (t *turn) closePast(h *Head) {
	for _, id := range t.v.OpIDs {
		op := t.v.Ops[id]
		if op.Lane != h.Lane || op.Seq != h.Slot.Seq || op.State != Sent && op.State != Doubt {
			continue
		}
		op.State, op.EndsAt = Refused, t.v.Now
		if h.Past.Ended == Posted {
			op.State = Done
		}
		t.ch.Ops = append(t.ch.Ops, op)
		t.settleCallOf(op)
	}
}

// recallState is the record's, with what this turn made of it.
func (t *turn) recallState(h *Head) RecallState {
	if s, moved := t.recalled[h.Slot.Subject]; moved {
		return s
	}
	return h.Past.Recall
}

func (t *turn) setRecall(h *Head, s RecallState) {
	keep(&t.recalled, h.Slot.Subject, s)
	t.ch.Recalled = append(t.ch.Recalled, Recalled{h.Slot.Subject, s})
}

// vouch takes a person's action on a record that could not be recalled as their
// word that the books are right as they are.
func (t *turn) vouch(h *Head) {
	if h.Past == nil {
		return
	}
	if s := t.recallState(h); s == RecallAsked || s == RecallUnsure {
		t.setRecall(h, RecallAccepted)
	}
}

// askRecovery puts in front of a person what cannot be decided after a restore.
func (t *turn) askRecovery(h *Head, reason string) verdict {
	return t.askAs(h, RecallAsked, reason)
}

func (t *turn) askAs(h *Head, s RecallState, reason string) verdict {
	t.setRecall(h, s)
	return t.park(h, exception.Recovery, "", reason, nil)
}

// recall finds the documents of a record again, before its first plan after a
// restore: those that a link names by id, and behind them those of the next
// marks, as far as there are any. Links follow what is there.
func (t *turn) recall(h *Head) verdict {
	if h.Past == nil {
		return partDone
	}
	accepted := false
	switch t.recallState(h) {
	case RecallDone, RecallUnsure:
		return partDone
	case RecallAccepted:
		accepted = true
	}
	if h.Past.Missing {
		t.wake(t.v.Mono + sweepEvery)
		return partPending
	}
	for _, part := range t.pastParts(h) {
		if h.Past.Absorbed {
			part.Desired = document.Voided // by this record
		}
		if v := t.recallPart(h, part, accepted); v != partDone {
			return v
		}
	}
	t.setRecall(h, RecallDone)
	return partDone
}

// pastParts are the financial parts that the record ever had, each once.
func (t *turn) pastParts(h *Head) []document.Part {
	var out []document.Part
	seen := map[string]bool{}
	add := func(p document.Part) {
		if key := string(p.Kind) + "|" + p.Name; p.Kind.Financial() && p.Mode == document.Own && p.Subject == h.Slot.Subject && !seen[key] {
			seen[key] = true
			out = append(out, p)
		}
	}
	for _, p := range t.parts(h) { // what it asks for now comes first
		add(*p)
	}
	for i := range h.Past.Parts {
		p := h.Past.Parts[i]
		p.Desired = document.Voided // it is not asked for any more
		add(p)
	}
	for _, l := range t.v.Own[h.Slot.Subject] {
		add(document.Part{Name: l.Part, Kind: l.Kind, Mode: document.Own, Desired: document.Voided, Subject: l.SourceRef})
	}
	for _, p := range out { // what was merged into it had the same parts
		for _, loser := range h.Slot.Rendering.MergedFrom {
			out = append(out, document.Part{Name: p.Name, Kind: p.Kind, Mode: document.Own, Desired: document.Voided, Subject: loser})
		}
	}
	return out
}

// lookFirst has the documents of a record found again before a person's action
// ends its slot: what the books hold would be forgotten for good.
func (t *turn) lookFirst(h *Head, c Command) bool {
	if h.Past == nil {
		return true
	}
	if t.recallState(h) == RecallAsked {
		t.refuseCommand(c, h.Slot, "its documents must be found first: link what is there, then retry")
		return false
	}
	switch t.recall(h) {
	case partPending:
		return false // the command waits for the answer
	case partBlocked:
		t.refuseCommand(c, h.Slot, "its documents must be found again first")
		return false
	}
	return true
}

// Agree compares a document of the books with its link: it says on what they
// differ, or returns the link with what was agreed on filled in, where that is
// unknown and a fact confirms the version that the books have. Otherwise it
// stays unknown until it matters.
func Agree(l *link.Link, p *connector.Posting) (filled *link.Link, why string) {
	switch {
	case !l.Live():
		return nil, ""
	case p.IsVoid():
		return nil, "it is void and its link is not"
	case l.Base != nil:
		if k := diffField(l.Base, p.Fields); k != "" {
			return nil, "its link says another " + k
		}
		return nil, ""
	case l.OtherVersion == "" || l.OtherVersion != p.Version:
		return nil, ""
	}
	x := *l
	x.Base = p.Fields
	return &x, ""
}
