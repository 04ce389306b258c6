package match

import (
	"cmp"
	"slices"
)

// Link leads from a source record to its customer in the books.
type Link struct {
	SourceRef, OtherRef string
	// Gone: the record is not at the source any more.
	Gone bool
}

// customers compares who is linked with who is there. What a customer is
// called is not compared: both sides may change it, field by field.
func (c *comparison) customers() {
	there := map[string]bool{}
	for _, ref := range c.in.Customers {
		there[ref] = true
	}
	linked := map[string]bool{}
	for _, l := range c.in.Links {
		linked[l.OtherRef] = linked[l.OtherRef] || !l.Gone
	}
	one := zero("")
	for _, l := range c.links(linked) {
		row := c.sums.of("")
		row.journal.add(c.sums, one.net, one.gross, true)
		switch {
		case l.Gone && there[l.OtherRef]:
			c.explain(GoneAtSource, one)
		case !l.Gone && !there[l.OtherRef]:
			row.source.add(c.sums, one.net, one.gross, true)
			c.found(Missing, Removed, c.in.Open[l.SourceRef], l.SourceRef, l.OtherRef, "", one)
		case !l.Gone:
			row.source.add(c.sums, one.net, one.gross, true)
		}
	}
	for _, ref := range c.in.Customers {
		c.sums.of("").books.add(c.sums, one.net, one.gross, true)
		if _, ours := linked[ref]; !ours {
			c.explain(NotOurs, one)
		}
	}
}

// links puts the links in order. A record that was merged away left its link
// behind: its survivor's counts.
func (c *comparison) links(live map[string]bool) []Link {
	var out []Link
	seen := map[string]bool{}
	for _, l := range c.in.Links {
		if l.Gone && (live[l.OtherRef] || seen[l.OtherRef]) {
			continue
		}
		seen[l.OtherRef] = true
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.SourceRef, b.SourceRef), cmp.Compare(a.OtherRef, b.OtherRef))
	})
	return out
}
