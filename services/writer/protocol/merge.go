package protocol

import (
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// merge moves the links of records that were merged away to their survivor. A
// survivor that has a customer of its own in the books keeps it: the other
// becomes an alias, and an exception that holds nothing asks a person to merge
// the two there.
func (t *turn) merge(h *Head) {
	r := h.Slot.Rendering
	if r.Type != event.Merge {
		return
	}
	for _, loser := range r.MergedFrom {
		for _, l := range t.v.Merged[loser] {
			if l.State == link.Primary {
				t.mergeLink(h, l)
			}
		}
	}
}

func (t *turn) mergeLink(h *Head, l *link.Link) {
	key := link.Key{SourceRef: h.Slot.Subject, Kind: l.Kind, Part: l.Part}
	var own *link.Link
	n := int64(0)
	for _, x := range t.v.Links[key] {
		n = max(n, x.N)
		if x.Live() {
			own = x
		}
	}
	l.State, l.AliasOf = link.Alias, h.Slot.Subject
	t.ch.Links = append(t.ch.Links, l)
	if own != nil {
		if own.OtherRef != l.OtherRef {
			t.twoCustomers(h, own, l)
		}
		return
	}
	moved := *l
	moved.Key, moved.N, moved.State, moved.AliasOf = key, n+1, link.Primary, ""
	t.v.Links[key] = append(t.v.Links[key], &moved)
	t.v.Owners[moved.OtherRef] = key
	t.ch.Links = append(t.ch.Links, &moved)
	t.fact(Fact{
		Type: "link.created", Slot: h.Slot, Outcome: "merged", Detail: "the record of " + l.SourceRef + " was merged into this one",
		Posting: linkedPosting(&moved), Op: &Op{Part: l.Part, N: moved.N, Kind: l.Kind, Subject: key.SourceRef},
	})
}

// twoCustomers asks a person to merge in the books what was merged at the source.
func (t *turn) twoCustomers(h *Head, own, other *link.Link) {
	e := t.exception(h, exception.Merge, "", "merged at the source; in the books "+own.OtherRef+" and "+other.OtherRef+" both stand for it", nil)
	e.ID = "w-" + event.Digest("merge/v1", t.v.Target, own.OtherRef, other.OtherRef)[:16]
	e.Seq = 0 // it is about the two customers and holds no slot
	t.ch.Opened = append(t.ch.Opened, e)
	t.fact(Fact{Type: "exception.opened", Slot: h.Slot, Outcome: string(e.Kind), Detail: e.Reason, Except: e.ID})
}
