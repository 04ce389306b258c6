package hubspot

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"tieout.dev/services/internal/fault"
)

// complete reads what belongs to deals and what they refer to. The second is
// returned as snapshots by ref, for each deal.
func (s *source) complete(ctx context.Context, deals []*aggregate) (map[string]map[string]any, error) {
	var ids []string
	for _, d := range deals {
		ids = append(ids, d.object.ID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	companies, err := s.associations(ctx, typeDeal, typeCompany, ids)
	if err != nil {
		return nil, err
	}
	contacts, err := s.associations(ctx, typeDeal, typeContact, ids)
	if err != nil {
		return nil, err
	}
	lines, err := s.lines(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, d := range deals {
		d.companies, d.contacts, d.lines = companies[d.object.ID], contacts[d.object.ID], lines[d.object.ID]
	}
	return s.snapshots(ctx, deals)
}

// associations reads the associations of up to 100 objects, whole.
func (s *source) associations(ctx context.Context, from, to string, ids []string) (map[string][]end, error) {
	out := map[string][]end{}
	inputs := make([]map[string]string, 0, len(ids))
	for _, id := range ids {
		inputs = append(inputs, map[string]string{"id": id})
	}
	for len(inputs) > 0 {
		var page associationReply
		path := "/crm/v4/associations/" + pathOf(from) + "/" + pathOf(to) + "/batch/read"
		if err := s.client.read(ctx, http.MethodPost, path, map[string]any{"inputs": inputs}, &page); err != nil {
			return nil, err
		}
		if err := page.check(inputs); err != nil {
			return nil, err
		}
		next := page.take(out)
		for _, in := range next {
			if slices.ContainsFunc(inputs, func(before map[string]string) bool { return maps.Equal(before, in) }) {
				return nil, fault.New(fault.Transient, "the associations of %s %s do not come to an end", from, in["id"])
			}
		}
		inputs = next
	}
	return out, nil
}

// associationReply is a page of associations of several objects.
type associationReply struct {
	Results []struct {
		From struct {
			ID flexID `json:"id"`
		} `json:"from"`
		To []struct {
			ID    flexID `json:"toObjectId"`
			Types []struct {
				Label *string `json:"label"`
			} `json:"associationTypes"`
		} `json:"to"`
		Paging paging `json:"paging"`
	} `json:"results"`
	Errors []refusal `json:"errors"`
}

// check refuses an answer that is not whole. HubSpot reports an object without
// associations as an error of that object, which it is not.
func (r *associationReply) check(inputs []map[string]string) error {
	accounted := map[string]bool{}
	for _, x := range r.Results {
		accounted[string(x.From.ID)] = true
	}
	for _, e := range r.Errors {
		if e.Category != "OBJECT_NOT_FOUND" {
			return partial(e, reading)
		}
		for _, id := range e.Context["fromObjectId"] {
			accounted[id] = true
		}
	}
	for _, in := range inputs {
		if len(r.Errors) > 0 && !accounted[in["id"]] {
			return fault.New(fault.Transient, "HubSpot did not answer for the associations of %s", in["id"])
		}
	}
	return nil
}

// take adds the page and returns the inputs of the next one.
func (r *associationReply) take(into map[string][]end) []map[string]string {
	var next []map[string]string
	for _, x := range r.Results {
		from := string(x.From.ID)
		for _, to := range x.To {
			e := end{ID: string(to.ID)}
			for _, t := range to.Types {
				if t.Label != nil && *t.Label != "" {
					e.Labels = append(e.Labels, *t.Label)
				}
			}
			into[from] = append(into[from], e)
		}
		if after := x.Paging.Next.After; after != "" {
			next = append(next, map[string]string{"id": from, "after": after})
		}
	}
	return next
}

// lines reads the line items of deals.
func (s *source) lines(ctx context.Context, deals []string) (map[string][]*object, error) {
	links, err := s.associations(ctx, typeDeal, typeLineItem, deals)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, list := range links {
		for _, e := range list {
			ids = append(ids, e.ID)
		}
	}
	byID, err := s.whole(ctx, typeLineItem, ids)
	if err != nil {
		return nil, err
	}
	out := map[string][]*object{}
	for deal, list := range links {
		for _, e := range list {
			if byID[e.ID] == nil {
				// an invoice short of a line would be wrong: read again
				return nil, fault.New(fault.Transient, "line item %s of deal %s went away while the deal was read", e.ID, deal)
			}
			out[deal] = append(out[deal], byID[e.ID])
		}
	}
	return out, nil
}

// whole reads objects by id; those that are gone are not in it.
func (s *source) whole(ctx context.Context, typ string, ids []string) (map[string]*object, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, _, err := s.batch(ctx, typ, ids, false)
	if err != nil {
		return nil, err
	}
	out := map[string]*object{}
	for _, o := range found {
		out[o.ID] = o
		for _, old := range o.merged() {
			out[old] = o
		}
	}
	return out, nil
}

// snapshots reads the companies, contacts and products that deals refer to,
// each once for all deals.
func (s *source) snapshots(ctx context.Context, deals []*aggregate) (map[string]map[string]any, error) {
	wanted := map[string][]string{}
	for _, d := range deals {
		for typ, ids := range d.refers() {
			wanted[typ] = append(wanted[typ], ids...)
		}
	}
	found := map[string]map[string]*object{}
	for _, typ := range []string{typeCompany, typeContact, typeProduct} {
		objects, err := s.whole(ctx, typ, wanted[typ])
		if err != nil {
			return nil, err
		}
		found[typ] = objects
	}
	out := map[string]map[string]any{}
	for _, d := range deals {
		related := map[string]any{}
		for typ, ids := range d.refers() {
			for _, id := range ids {
				if o := found[typ][id]; o != nil {
					related[s.ref(typ, id).String()] = s.schema.plain(typ, o)
				}
			}
		}
		out[d.object.ID] = related
	}
	return out, nil
}

// refers are the objects a deal needs snapshots of: its customer, its contacts
// and the products of its lines.
func (a *aggregate) refers() map[string][]string {
	out := map[string][]string{}
	for _, e := range a.companies {
		if e.primary() || len(a.companies) == 1 {
			out[typeCompany] = append(out[typeCompany], e.ID)
		}
	}
	for _, e := range a.contacts {
		out[typeContact] = append(out[typeContact], e.ID)
	}
	for _, l := range a.lines {
		if id := l.text("hs_product_id"); id != "" {
			out[typeProduct] = append(out[typeProduct], id)
		}
	}
	return out
}

// owners are the deals that line items belong to.
func (s *source) owners(ctx context.Context, lines []string) (deals, orphans []string, err error) {
	ids := unique(lines)
	for len(ids) > 0 {
		n := min(batchMax, len(ids))
		links, err := s.associations(ctx, typeLineItem, typeDeal, ids[:n])
		if err != nil {
			return nil, nil, err
		}
		for _, id := range ids[:n] {
			for _, e := range links[id] {
				deals = append(deals, e.ID)
			}
			if len(links[id]) == 0 {
				orphans = append(orphans, id)
			}
		}
		ids = ids[n:]
	}
	return unique(deals), orphans, nil
}
