package verify

import (
	"slices"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/link"
)

// noOrphan: what bears our mark in the books is linked, and what is linked
// stands in the books and bears it; the source's record shows its invoice.
func (s *State) noOrphan() *Result {
	r := result("I5", "no orphan: marks and links, both ways, and what was written back")
	linked, inherited := map[string]map[string]bool{}, map[string][]string{} // their ref -> marks
	for _, l := range s.Writer.Links {
		if linked[l.OtherRef] == nil {
			linked[l.OtherRef] = map[string]bool{}
		}
		mark := document.Mark(l.Target, l.SourceRef, l.Part, l.N)
		linked[l.OtherRef][mark] = true
		if l.State == string(link.Alias) {
			inherited[l.OtherRef] = append(inherited[l.OtherRef], mark)
		}
	}
	for _, l := range s.Writer.Links {
		if l.Kind == string(document.InvoiceKind) && l.State != string(link.Gone) && l.State != string(link.Held) {
			s.linkedInvoice(r, l, inherited[l.OtherRef])
		}
	}
	for account, a := range s.Accounts {
		if !strings.HasPrefix(account, "quickbooks/") {
			continue
		}
		for _, o := range a.Objects {
			ref := account + "/" + o.Type + "/" + o.ID
			mark := markOf(o.Last().Data)
			if mark == "" || o.Deleted {
				continue
			}
			r.Checked["marks"]++
			switch {
			case linked[ref] == nil:
				r.violated("orphan: %s bears mark %s and no link leads to it", ref, mark)
			case !linked[ref][mark] && o.Type == "invoice":
				r.violated("orphan: %s bears mark %s, which none of its links has", ref, mark)
			}
		}
	}
	return r
}

// linkedInvoice looks from the link's side. An invoice that came of a merge may bear
// the mark of the merged record, whose link is an alias now.
func (s *State) linkedInvoice(r *Result, l Link, inherited []string) {
	r.Checked["links"]++
	o := s.object(l.OtherRef)
	mark := document.Mark(l.Target, l.SourceRef, l.Part, l.N)
	marks := append(slices.Clone(inherited), mark)
	switch {
	case o == nil:
		r.violated("orphan: %s is linked to %s, which the books never had", l.SourceRef, l.OtherRef)
	case o.Deleted && s.byPerson(l.Target, o.Last()):
		r.Explained["deleted in the books by a person"]++
	case o.Deleted:
		r.violated("orphan: %s is linked to %s, which was deleted", l.SourceRef, l.OtherRef)
	case !slices.ContainsFunc(marks, func(m string) bool { return o.marks()[m] }):
		r.violated("orphan: %s is linked to %s, which never bore mark %s", l.SourceRef, l.OtherRef, mark)
	case !slices.Contains(marks, markOf(o.Last().Data)):
		if s.byPerson(l.Target, o.Last()) {
			r.Explained["mark taken out by a person"]++
		} else {
			r.violated("orphan: %s no longer bears mark %s", l.OtherRef, mark)
		}
	default:
		s.writtenBack(r, l)
	}
}

// writtenBack: the source's record shows the number of its newest invoice.
func (s *State) writtenBack(r *Result, l Link) {
	for _, other := range s.Writer.Links {
		if other.SourceRef == l.SourceRef && other.Kind == l.Kind && other.Target == l.Target && other.Part == l.Part && other.N > l.N {
			return // an older document of the same part
		}
	}
	o := s.object(l.SourceRef)
	if o == nil || o.Deleted || s.Ingest.Aliases[l.SourceRef] != "" || !s.goesBack(l) {
		return
	}
	r.Checked["written back"]++
	properties, _ := o.Last().Data["properties"].(map[string]any)
	if got := textOf(properties, "tieout_invoice_number"); got != l.Number {
		r.violated("%s shows invoice number %q, its invoice %s has %q", l.SourceRef, got, l.OtherRef, l.Number)
	}
}

// goesBack tells whether something was to be written back, and is not held.
func (s *State) goesBack(l Link) bool {
	source, err := event.ParseRef(l.SourceRef)
	if err != nil {
		return false
	}
	for i := range s.Ingest.Events {
		e := &s.Ingest.Events[i]
		if e.Target == source.AccountRef() && e.Ref == l.OtherRef {
			return e.Ended
		}
	}
	return false
}
