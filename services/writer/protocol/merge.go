package protocol

import (
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// merge moves the customers and items of records that were merged away to their
// survivor. A survivor that has a customer of its own in the books keeps it: the
// other becomes an alias, and an exception that holds nothing asks a person to
// merge the two there. A document that the survivor has already, as after a
// restore, is an alias as well.
func (t *turn) merge(h *Head) {
	for _, l := range t.mergedAway(h) {
		own := t.survivors(h, l)
		has := own != nil && own.OtherRef == l.OtherRef
		if l.Kind.Financial() && !has {
			continue // see mergeDocuments
		}
		if own == nil {
			t.handOver(h, l, linkedPosting(l))
			continue
		}
		t.alias(h, l)
		if !has {
			t.twoCustomers(h, own, l)
		}
	}
}

// mergedAway are the links of the records that the slot names as merged away, as far
// as they can be another's: a credit note stays with what it credits, whose part and
// number its own link bears.
func (t *turn) mergedAway(h *Head) (out []*link.Link) {
	for _, loser := range h.Slot.Rendering.MergedFrom {
		for _, l := range t.v.Merged[loser] {
			if l.State == link.Primary && !strings.HasPrefix(l.Part, document.CreditOf) {
				out = append(out, l)
			}
		}
	}
	return out
}

// survivors returns the survivor's own link of the part, if one is live, or that
// to the same record of the books, also where that is credited or void by now.
func (t *turn) survivors(h *Head, l *link.Link) (own *link.Link) {
	for _, x := range t.v.Links[link.Key{SourceRef: h.Slot.Subject, Kind: l.Kind, Part: l.Part}] {
		if same := x.OtherRef == l.OtherRef; same || own == nil && x.Live() {
			own = x
		}
	}
	return own
}

func (t *turn) alias(h *Head, l *link.Link) {
	l.State, l.AliasOf = link.Alias, h.Slot.Subject
	t.ch.Links = append(t.ch.Links, l)
}

// handOver makes what a link leads to the survivor's.
func (t *turn) handOver(h *Head, l *link.Link, p *connector.Posting) {
	moved := *l
	moved.Key = link.Key{SourceRef: h.Slot.Subject, Kind: l.Kind, Part: l.Part}
	moved.N, moved.State, moved.Rev = t.nextOf(moved.Key), link.Primary, h.Slot.Rev // revisions are of one record
	t.alias(h, l)
	t.newLink(&moved)
	t.v.Owners[moved.OtherRef] = moved.Key
	t.ch.Links = append(t.ch.Links, &moved)
	t.fact(Fact{
		Type: "link.created", Slot: h.Slot, Outcome: "merged", Detail: "the record of " + l.SourceRef + " was merged into this one",
		Posting: p, Op: &Op{Part: l.Part, N: moved.N, Kind: l.Kind, Subject: h.Slot.Subject},
	})
}

// mergeDocuments moves the documents of records that were merged away to their
// survivor: they are its documents now, and none is made anew. Where several
// stand for one part, only a person knows which of them is owed.
func (t *turn) mergeDocuments(h *Head) verdict {
	for _, l := range t.mergedAway(h) {
		if !l.Kind.Financial() {
			continue
		}
		cur, v := t.readLinked(l)
		if v != partDone {
			return v
		}
		if t.ended(h, l, cur) {
			continue
		}
		t.handOver(h, l, cur)
	}
	return t.oneStands(h)
}

// ended notes that a document was deleted or voided in the books.
func (t *turn) ended(h *Head, l *link.Link, cur *connector.Posting) bool {
	switch {
	case cur == nil:
		l.State = link.Gone
		t.ch.Links = append(t.ch.Links, l)
	case cur.IsVoid():
		t.voided(h, l, cur)
	default:
		return false
	}
	return true
}

// oneStands looks, where a merge left several documents of one part to the
// survivor, which of them stand, and asks a person while it is more than one:
// also for a later revision, since the merge may be superseded by then.
func (t *turn) oneStands(h *Head) verdict {
	parts, live := []string{}, map[string][]*link.Link{}
	for _, l := range t.v.Own[h.Slot.Subject] {
		if l.Live() {
			parts, live[l.Part] = append(parts, l.Part), append(live[l.Part], l)
		}
	}
	for _, part := range parts {
		if len(live[part]) < 2 {
			continue
		}
		var standing []*link.Link
		for _, l := range live[part] {
			cur, v := t.readLinked(l)
			if v != partDone {
				return v
			}
			if !t.ended(h, l, cur) {
				standing = append(standing, l)
			}
		}
		if len(standing) > 1 {
			return t.severalStand(h, part, standing)
		}
		live[part] = standing
	}
	return partDone
}

func (t *turn) severalStand(h *Head, part string, standing []*link.Link) verdict {
	names := make([]string, 0, len(standing))
	for _, l := range standing {
		delete(t.m.Looks, freshKey(l.OtherRef)) // after a person acted, the books are read again
		names = append(names, strings.TrimSpace(l.OtherRef+" "+l.Number))
	}
	v := t.park(h, exception.Merge, "", "merged at the source; for part "+part+" of what is one record now stand "+strings.Join(names, " and "), nil)
	t.ch.Opened[len(t.ch.Opened)-1].Fix = "void in the books what is not owed and retry, or discard: then all of them stand until the record changes"
	return v
}

// twoCustomers asks a person to merge in the books what was merged at the source.
func (t *turn) twoCustomers(h *Head, own, other *link.Link) {
	e := t.exception(h, exception.Merge, "", "merged at the source; in the books "+own.OtherRef+" and "+other.OtherRef+" both stand for it", nil)
	e.ID = "w-" + event.Digest("merge/v1", t.v.Target, own.OtherRef, other.OtherRef)[:16]
	e.Seq = 0 // it is about the two customers and holds no slot
	t.ch.Opened = append(t.ch.Opened, e)
	t.fact(Fact{Type: "exception.opened", Slot: h.Slot, Outcome: string(e.Kind), Detail: e.Reason, Except: e.ID})
}
