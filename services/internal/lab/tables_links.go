package lab

import (
	"cmp"
	"slices"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
)

func (t *tables) linksWhere(keep func(*link.Link) bool) ([]*link.Link, error) {
	var out []*link.Link
	for _, l := range t.links {
		if keep(l) {
			out = append(out, t.room.links.copyOf(l))
		}
	}
	return out, nil
}

func (t *tables) Links(k link.Key) ([]*link.Link, error) {
	return t.linksWhere(func(l *link.Link) bool { return l.Key == k })
}

func (t *tables) Invoices(subject string) ([]*link.Link, error) {
	return t.linksWhere(func(l *link.Link) bool { return l.SourceRef == subject && l.Kind == document.InvoiceKind })
}

func (t *tables) PrimariesOf(subject string) ([]*link.Link, error) {
	return t.linksWhere(func(l *link.Link) bool {
		return l.SourceRef == subject && l.State == link.Primary
	})
}

func (t *tables) PrimaryAt(otherRef string) (*link.Link, error) {
	out, _ := t.linksWhere(func(l *link.Link) bool { return l.OtherRef == otherRef && l.State == link.Primary })
	if len(out) == 0 {
		return nil, nil
	}
	return out[len(out)-1], nil
}

func (t *tables) AliasAt(otherRef string) (string, error) {
	next, n := "", int64(-1)
	for _, a := range t.links {
		if a.OtherRef != otherRef || a.State != link.Alias {
			continue
		}
		for _, p := range t.links {
			stands := p.State == link.Primary || p.State == link.Alias
			if p.SourceRef == a.AliasOf && p.Kind == a.Kind && p.Part == a.Part && stands && p.OtherRef != a.OtherRef && p.N > n {
				next, n = p.OtherRef, p.N
			}
		}
	}
	return next, nil
}

// putLink stores a link under its key and number, in the order of the keys.
func (t *tables) putLink(l *link.Link) {
	x := *l
	i, found := slices.BinarySearchFunc(t.links, &x, func(a, b *link.Link) int {
		return cmp.Or(cmp.Compare(a.SourceRef, b.SourceRef), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Part, b.Part), cmp.Compare(a.N, b.N))
	})
	if found {
		t.links[i] = &x
		return
	}
	t.links = slices.Insert(t.links, i, &x)
}
