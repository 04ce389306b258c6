package protocol

import (
	"sort"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// record makes a customer or an item true whose own record changed. What the
// books refuse is set aside and holds nobody: invoices go on.
func (t *turn) record(h *Head, p *document.Part, l *link.Link, n int64) verdict {
	switch {
	case l == nil:
		return t.match(h, p, n)
	case p.Desired == document.Voided, l.Merged():
		return partDone // customers and items are never taken away; the survivor speaks for an alias
	}
	enc, f := t.encode(h, p, connector.Update, l.N, linkedPosting(l), l.Base)
	if f != nil {
		return t.unencodable(h, p, f)
	}
	if sameFields(enc.Fields, l.Base) && h.Past == nil {
		return partDone
	}
	cur, v := t.fresh(h, p, l)
	if cur == nil {
		return v
	}
	return t.mergeFields(h, p, l, cur, enc.Fields)
}

// mergeFields merges field by field against what both sides last agreed on:
// what one side changed flows, what both changed differently needs a person.
func (t *turn) mergeFields(h *Head, p *document.Part, l *link.Link, cur *connector.Posting, want map[string]string) verdict {
	t.rebaseRecord(h, p, l, cur)
	changed, there := differing(want, l.Base), true
	for _, k := range changed {
		if cur.Fields[k] == want[k] {
			continue
		}
		there = false
		if cur.Fields[k] != l.Base[k] {
			return t.setAside(h, exception.Conflict, k, k+" was changed at the source and by a person in the books", nil)
		}
	}
	if there {
		l.OtherVersion = cur.Version
		l.Base = agreed(l.Base, want, changed)
		t.ch.Links = append(t.ch.Links, l)
		return partDone
	}
	if until := t.nameHeld(l.OtherRef); until > t.v.Now {
		t.wake(t.v.Mono + time.Duration(until-t.v.Now)*time.Microsecond)
		return partPending
	}
	enc, f := t.encode(h, p, connector.Update, l.N, cur, l.Base)
	if f != nil {
		return t.unencodable(h, p, f)
	}
	only := make(map[string]string, len(changed))
	for _, k := range changed {
		only[k] = enc.Fields[k]
	}
	enc.Fields = only
	return t.dispatchEncoded(h, p, connector.Update, l.N, l.OtherRef, enc)
}

// differing lists, in order, the keys of want on which base differs.
func differing(want, base map[string]string) []string {
	var out []string
	for k, v := range want { // sorted below: the order of the map is not seen
		if base[k] != v {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// agreed is base with the values that both sides now have.
func agreed(base, now map[string]string, keys []string) map[string]string {
	out := make(map[string]string, len(base)+len(keys))
	for k, v := range base { // a copy: the order of the map is not seen
		out[k] = v
	}
	for _, k := range keys {
		out[k] = now[k]
	}
	return out
}

func linkedPosting(l *link.Link) *connector.Posting {
	return &connector.Posting{Ref: parseRef(l.OtherRef), Version: l.OtherVersion, Number: l.Number, Fields: l.Base}
}

// isRecord: an own part about a customer or an item that is in the books.
func (t *turn) isRecord(p *document.Part) bool {
	if p.Mode != document.Own || p.Kind.Financial() || p.Kind == document.MarkerKind {
		return false
	}
	l, _ := t.live(p)
	return l != nil
}

// refused parks a head for good, or sets it aside where nobody need wait.
func (t *turn) refused(h *Head, p *document.Part, k exception.Kind, field, reason string, f *fault.Error) verdict {
	if t.isRecord(p) {
		return t.setAside(h, k, field, reason, f)
	}
	return t.park(h, k, field, reason, f)
}

// setAside opens an exception and lets the lane go on. The subject's next
// revision replaces what was set aside.
func (t *turn) setAside(h *Head, k exception.Kind, field, reason string, f *fault.Error) verdict {
	id := t.ask(h, k, field, reason, f)
	t.ch.Ended = append(t.ch.Ended, Ended{Lane: h.Lane, Seq: h.Slot.Seq, Outcome: Aside, Exception: id})
	t.fact(Fact{Type: "slot.aside", Slot: h.Slot, Outcome: string(Aside), Except: id})
	t.next(h)
	return partBlocked
}

// replaceAside ends what was set aside of a subject once a newer revision of
// it came to its end.
func (t *turn) replaceAside(s *Slot) {
	for _, a := range t.v.Aside[s.Subject] {
		if a.Rev >= s.Rev || a.ended {
			continue
		}
		a.ended = true
		t.release(a, a.Exception, string(Superseded), "a newer revision of the record replaced it")
		t.ch.Ended = append(t.ch.Ended, Ended{Lane: a.Lane, Seq: a.Seq, Outcome: Superseded})
		t.fact(Fact{Type: "slot.ended", Slot: a, Outcome: string(Superseded)})
	}
}
