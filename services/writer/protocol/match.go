package protocol

import (
	"fmt"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// match climbs the ladder for a record that has no link: our mark first, then
// the name, which these books hold unique. One candidate is linked unless
// something contradicts it; none means create; several stop for a person.
func (t *turn) match(h *Head, p *document.Part, n int64) verdict {
	key := matchKey(p.Kind, p.Subject, p.Name)
	a, ok := t.m.Looks[key]
	if !ok || t.v.Mono-a.At > freshFor {
		mark := document.Mark(t.v.Target, p.Subject, p.Name, n)
		t.look(Look{Key: key, Kind: p.Kind, Probe: &connector.Probe{Kind: p.Kind, Mark: mark, Name: nameOf(p), SKU: skuOf(p)}})
		return partPending
	}
	if f := fault.As(a.Err); f != nil {
		delete(t.m.Looks, key)
		if f.Kind == fault.Rejected || f.Kind == fault.Unresolved {
			return t.park(h, kindOf(f), f.Field, faultText(f), f)
		}
		t.wake(t.v.Mono + lookAgain)
		return partPending
	}
	return t.choose(h, p, n, key, a.Postings)
}

func (t *turn) choose(h *Head, p *document.Part, n int64, key string, found []connector.Posting) verdict {
	mark := document.Mark(t.v.Target, p.Subject, p.Name, n)
	var candidate *connector.Posting
	for i := range found {
		if found[i].Mark == mark {
			return t.adopt(h, p, n, key, &found[i], "our mark")
		}
		candidate = &found[i]
	}
	switch {
	case len(found) == 0:
		return t.createUnclaimed(h, p, n)
	case len(found) > 1:
		delete(t.m.Looks, key)
		return t.park(h, exception.Match, "name", fmt.Sprintf("%d records in the books are called %q", len(found), nameOf(p)), nil)
	}
	if why := t.contradiction(p, candidate); why != "" {
		delete(t.m.Looks, key)
		return t.park(h, exception.Match, "name", fmt.Sprintf("%q stands in the books already, but %s", nameOf(p), why), nil)
	}
	return t.adopt(h, p, n, key, candidate, "equal name")
}

// contradiction says why a candidate may not be linked by its name.
func (t *turn) contradiction(p *document.Part, c *connector.Posting) string {
	owner, taken := t.v.Owners[c.Ref.String()]
	switch {
	case c.Kind != p.Kind:
		return "as another kind of record"
	case !c.Active:
		return "it is inactive"
	case taken && owner.SourceRef != p.Subject:
		return "it is linked to " + owner.SourceRef
	case taken:
		return "it is linked to part " + owner.Part + " of the same record"
	case p.Party != nil && p.Party.Currency != "" && c.Currency != "" && c.Currency != p.Party.Currency:
		return "its currency is " + c.Currency
	}
	return ""
}

// adopt links what stands in the books already.
func (t *turn) adopt(h *Head, p *document.Part, n int64, key string, c *connector.Posting, rung string) verdict {
	l := &link.Link{
		Key: link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}, N: n, OtherTarget: t.v.Target, OtherRef: c.Ref.String(),
		State: link.Primary, MappingHash: h.Slot.Rendering.MappingHash, Base: c.Fields, OtherVersion: c.Version, Number: c.Number,
	}
	t.v.Links[l.Key] = append(t.v.Links[l.Key], l)
	t.v.Owners[l.OtherRef] = l.Key
	t.ch.Links = append(t.ch.Links, l)
	delete(t.m.Looks, key)
	t.fact(Fact{
		Type: "link.created", Slot: h.Slot, Outcome: "matched", Detail: "by " + rung, Posting: c,
		Op: &Op{Part: p.Name, N: n, Kind: p.Kind, Subject: p.Subject},
	})
	return partDone
}

// createUnclaimed creates unless an unsettled create of another record claims
// the same name: then it waits to see what becomes of that one.
func (t *turn) createUnclaimed(h *Head, p *document.Part, n int64) verdict {
	own := document.OpID(t.v.Tenant, t.v.Target, p, 0, "", n)
	if id, taken := t.claimed[string(p.Kind)+"|"+nameOf(p)]; taken && id != own {
		delete(t.m.Looks, matchKey(p.Kind, p.Subject, p.Name))
		return partPending
	}
	return t.dispatch(h, p, connector.Create, n, nil, nil)
}

func nameOf(p *document.Part) string {
	switch {
	case p.Party != nil:
		return strings.TrimSpace(p.Party.DisplayName)
	case p.Item != nil:
		return strings.TrimSpace(p.Item.Name)
	}
	return ""
}

func skuOf(p *document.Part) string {
	if p.Item != nil {
		return p.Item.SKU
	}
	return ""
}
