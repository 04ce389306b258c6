package match

import (
	"cmp"
	"slices"
	"strings"

	"tieout.dev/services/internal/document"
)

// unitKey names what is compared: the documents of one part of one record.
type unitKey struct{ ref, part string }

// unit is all that is known of it. At most one document of it should live.
type unit struct {
	unitKey
	source  *Source
	journal *Journal // the live one, if there is one
	books   []Books  // live
	voided  []Books
	known   map[string]Journal // by the books' ref
}

// comparison is one run of Compare.
type comparison struct {
	in        Input
	sums      *sums
	units     map[unitKey]*unit
	records   map[string]Want // of records as a whole, where no part is named
	strangers []Books         // live documents of no unit
	taken     []taken         // invoices with the credit notes that take them back
	breaks    []Break
}

// group sorts the lists into units: a document in the books belongs where the
// journal says, else where its mark says.
func (c *comparison) group() {
	c.units, c.records = map[unitKey]*unit{}, map[string]Want{}
	for i := range c.in.Sources {
		s := &c.in.Sources[i]
		if s.Part == "" {
			c.records[s.Ref] = s.Want
			continue
		}
		c.at(s.Ref, s.Part).source = s
	}
	last := map[unitKey]int64{}
	byRef := map[string]*unit{}
	for i := range c.in.Journal {
		j := &c.in.Journal[i]
		u := c.at(j.SourceRef, j.Part)
		u.known[j.OtherRef] = *j
		byRef[j.OtherRef] = u
		last[u.unitKey] = max(last[u.unitKey], j.N)
		if !j.Void && !j.Credited && (u.journal == nil || j.N > u.journal.N) {
			u.journal = j
		}
	}
	byMark := c.marks(last)
	for _, b := range c.in.Books {
		u := byRef[b.Ref]
		if u == nil {
			u = byMark[b.Mark]
		}
		switch {
		case u == nil && !b.Void:
			c.strangers = append(c.strangers, b)
		case u != nil && b.Void:
			u.voided = append(u.voided, b)
		case u != nil:
			u.books = append(u.books, b)
		}
	}
	c.credits(byRef)
	slices.SortFunc(c.strangers, func(a, b Books) int { return strings.Compare(a.Ref, b.Ref) })
	for _, u := range c.units {
		slices.SortFunc(u.books, func(a, b Books) int { return u.order(a, b) })
	}
}

func (c *comparison) at(ref, part string) *unit {
	k := unitKey{ref, part}
	if c.units[k] == nil {
		c.units[k] = &unit{unitKey: k, known: map[string]Journal{}}
	}
	return c.units[k]
}

// marks leads from the marks that our documents may carry to their units: those
// of the journal, and the next one, which may be posted and not told yet.
func (c *comparison) marks(last map[unitKey]int64) map[string]*unit {
	out := make(map[string]*unit, len(c.units))
	for k, u := range c.units {
		for n := int64(1); n <= last[k]+1; n++ {
			out[document.Mark(c.in.Target, k.ref, k.part, n)] = u
		}
	}
	return out
}

// order puts the document first that the journal holds for the live one, then
// those it knows, then by ref: the first is the document, the others are too many.
func (u *unit) order(a, b Books) int {
	return cmp.Or(cmp.Compare(u.rank(a), u.rank(b)), strings.Compare(a.Ref, b.Ref))
}

func (u *unit) rank(b Books) int {
	if u.journal != nil && u.journal.OtherRef == b.Ref {
		return 0
	}
	if _, ok := u.known[b.Ref]; ok {
		return 1
	}
	return 2
}

func (c *comparison) ordered() []*unit {
	out := make([]*unit, 0, len(c.units))
	for _, u := range c.units {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *unit) int {
		return cmp.Or(strings.Compare(a.ref, b.ref), strings.Compare(a.part, b.part))
	})
	return out
}

// dated reports whether a date is in the period.
func (c *comparison) dated(date string) bool {
	return date >= c.in.From && (c.in.To == "" || date < c.in.To)
}
