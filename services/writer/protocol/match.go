package protocol

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// rung is one step of the matching ladder: a key, and how the books are
// searched by it.
type rung struct {
	key   string // of connector.Claims.Match
	words string
	probe connector.Probe
}

// ladder lists the rungs that the part has a key for and that the books can be
// searched by, strongest first.
func (t *turn) ladder(h *Head, p *document.Part) []rung {
	keys := t.v.Claims.Match[p.Kind]
	if len(keys) == 0 {
		keys = []string{connector.ByName}
	}
	var out []rung
	if t.v.Recovery != nil && !p.Kind.Financial() { // made and perhaps renamed in a life that the tables forgot
		out = append(out, rung{connector.ByMark, "our mark", connector.Probe{Kind: p.Kind, Mark: "-", Since: t.lostSince()}})
	}
	for _, key := range keys {
		pr := connector.Probe{Kind: p.Kind, Wide: h.Slot.Attempts > 0}
		words := ""
		switch key {
		case connector.ByTaxID:
			pr.TaxID, words = taxIDOf(p), "tax id"
		case connector.ByEmail:
			pr.Email, words = emailOf(p), "e-mail"
		case connector.BySKU:
			pr.SKU, words = skuOf(p), "sku"
		case connector.ByName:
			pr.Name, words = nameOf(p), "equal name"
		case connector.ByMark:
			pr.Mark, words = "-", "our mark" // set by the caller, who knows n
		}
		if pr.TaxID+pr.Email+pr.SKU+pr.Name+pr.Mark != "" {
			out = append(out, rung{key, words, pr})
		}
	}
	return out
}

// match climbs the ladder for a record that has no link. The first rung with a
// candidate decides: one is linked unless something contradicts it, several
// stop for a person, and none on any rung means create.
func (t *turn) match(h *Head, p *document.Part, n int64) verdict {
	mark := document.Mark(t.v.Target, p.Subject, p.Name, n)
	var climbed []string
	for _, r := range t.ladder(h, p) {
		a, v := t.climb(h, p, r, mark)
		if v != partDone {
			return v
		}
		found := a.Postings
		if i := slices.IndexFunc(found, func(c connector.Posting) bool { return c.Mark == mark }); i >= 0 {
			return t.adopt(h, p, n, &found[i], "our mark", append(climbed, r.words))
		}
		if r.key == connector.ByEmail && t.shared(p, found) {
			climbed = append(climbed, r.words+" (of more than one customer: no key)")
			continue
		}
		climbed = append(climbed, r.words)
		if len(found) > 0 {
			return t.choose(h, p, n, r, found, climbed)
		}
	}
	return t.unmatched(h, p, n)
}

// climb returns what the books answer on a rung.
func (t *turn) climb(h *Head, p *document.Part, r rung, mark string) (LookAnswer, verdict) {
	key := matchKey(p.Kind, p.Subject, p.Name, r.key)
	a, ok := t.m.Looks[key]
	if !ok || t.v.Mono-a.At > freshFor {
		probe := r.probe
		probe.Mark = mark
		if p.Invoice != nil {
			probe.Gross, _ = p.Gross()
			probe.Customer, _ = t.linked(document.Need{Ref: p.Invoice.Customer, Kind: document.CustomerKind, Part: p.Invoice.CustomerPart})
		}
		t.look(Look{Key: key, Kind: p.Kind, Probe: &probe})
		return a, partPending
	}
	f := fault.As(a.Err)
	if f == nil {
		return a, partDone
	}
	delete(t.m.Looks, key)
	if f.Kind == fault.Rejected || f.Kind == fault.Unresolved {
		return a, t.park(h, kindOf(f), f.Field, faultText(f), f)
	}
	t.wake(t.v.Mono + lookAgain)
	return a, partPending
}

// shared: an e-mail address that stands at a customer of another record is of
// more than one party, and so no key.
func (t *turn) shared(p *document.Part, found []connector.Posting) bool {
	for i := range found {
		if owner, taken := t.v.Owners[found[i].Ref.String()]; taken && owner.SourceRef != p.Subject {
			return true
		}
	}
	return false
}

func (t *turn) choose(h *Head, p *document.Part, n int64, r rung, found []connector.Posting, climbed []string) verdict {
	if len(found) > 1 {
		t.forgetMatch(p.Kind, p.Subject, p.Name)
		return t.park(h, exception.Match, r.key, fmt.Sprintf("%d records in the books share its %s: %s", len(found), r.words, refsOf(found)), nil)
	}
	if t.making(&found[0]) != nil { // whose it is comes out when that create is settled
		t.forgetMatch(p.Kind, p.Subject, p.Name)
		t.wake(t.v.Mono + lookAgain)
		return partPending
	}
	why := t.contradiction(p, &found[0])
	if why == "" && r.key == connector.ByName { // a person who links may know better
		why = otherEmail(p, &found[0])
	}
	if why != "" {
		t.forgetMatch(p.Kind, p.Subject, p.Name)
		return t.park(h, exception.Match, r.key, fmt.Sprintf("%s stands in the books already with its %s, but %s", found[0].Ref, r.words, why), nil)
	}
	return t.adopt(h, p, n, &found[0], r.words, climbed)
}

func refsOf(found []connector.Posting) string {
	refs := make([]string, 0, len(found))
	for i := range found {
		refs = append(refs, found[i].Ref.String())
	}
	slices.Sort(refs)
	return strings.Join(refs[:min(len(refs), 5)], ", ")
}

// making is the create under way that made a candidate, as its mark tells. Linked
// to another record now it could be renamed, and a further copy of the create
// would find its name free and make it once more.
func (t *turn) making(c *connector.Posting) *Op {
	for _, id := range t.v.OpIDs {
		if op := t.v.Ops[id]; c.Mark != "" && op.Mark == c.Mark && op.Effect == connector.Create && (op.State == Sent || op.State == Doubt) {
			return op
		}
	}
	return nil
}

// contradiction says why a candidate may not be linked.
func (t *turn) contradiction(p *document.Part, c *connector.Posting) string {
	owner, taken := t.v.Owners[c.Ref.String()]
	making := t.making(c)
	switch {
	case making != nil && making.Subject != p.Subject:
		return "it is being made for " + making.Subject
	case c.Kind != p.Kind:
		return "as another kind of record"
	case !c.Active:
		return "it is inactive"
	case p.Item != nil && p.Item.SKU != "" && c.Fields["sku"] != "" && c.Fields["sku"] != p.Item.SKU:
		return "its sku is " + c.Fields["sku"]
	case taken && p.Kind == document.ItemKind: // an item may stand for several lines and products
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
func (t *turn) adopt(h *Head, p *document.Part, n int64, c *connector.Posting, found string, climbed []string) verdict {
	l := &link.Link{
		Key: link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}, N: n, OtherTarget: t.v.Target, OtherRef: c.Ref.String(),
		State: link.Primary, MappingHash: h.Slot.Rendering.MappingHash, Base: c.Fields, OtherVersion: c.Version, Number: c.Number,
		Explain: explain(found, climbed, c),
	}
	if _, taken := t.v.Owners[l.OtherRef]; taken {
		l.State = link.Alias
	} else {
		t.v.Owners[l.OtherRef] = l.Key
	}
	if c.IsVoid() {
		l.State = link.Void
	}
	t.newLink(l)
	t.ch.Links = append(t.ch.Links, l)
	t.forgetMatch(p.Kind, p.Subject, p.Name)
	t.fact(Fact{
		Type: "link.created", Slot: h.Slot, Outcome: "matched", Detail: "by " + found, Posting: c,
		Op: &Op{Part: p.Name, N: n, Kind: p.Kind, Subject: p.Subject},
	})
	return partDone
}

// explain keeps how a link was found, so that it can be told and replayed.
func explain(found string, climbed []string, c *connector.Posting) string {
	text, err := json.Marshal(struct {
		By        string   `json:"by"`
		Climbed   []string `json:"climbed"`
		Candidate string   `json:"candidate"`
		Version   string   `json:"version"`
	}{found, climbed, c.Ref.String(), c.Version})
	if err != nil {
		return found
	}
	return string(text)
}

// unmatched: nothing in the books stands for the record.
func (t *turn) unmatched(h *Head, p *document.Part, n int64) verdict {
	switch {
	case h.Slot.Rendering.MatchOnly:
		return partDone // it qualified before the cut-off: never made
	case h.Slot.Rendering.Unmatched == document.Park:
		t.forgetMatch(p.Kind, p.Subject, p.Name)
		return t.park(h, exception.Match, "", "nothing in the books stands for "+p.Subject+", and the route's policy for unmatched records is to ask", nil)
	}
	return t.createUnclaimed(h, p, n)
}

// createUnclaimed creates unless an unsettled create of another record claims
// the same name: then it waits to see what becomes of that one.
func (t *turn) createUnclaimed(h *Head, p *document.Part, n int64) verdict {
	own := document.OpID(t.v.Tenant, t.v.Target, p, h.Slot.Rev, "put", n)
	if id, taken := t.claimed[string(p.Kind)+"|"+nameOf(p)]; taken && id != own {
		t.forgetMatch(p.Kind, p.Subject, p.Name)
		return partPending
	}
	return t.dispatch(h, p, connector.Create, n, nil, nil)
}

func matchKey(k document.Kind, subject, part, rung string) string {
	return "match|" + string(k) + "|" + subject + "|" + part + "|" + rung
}

// forgetMatch drops what the rungs answered.
func (t *turn) forgetMatch(k document.Kind, subject, part string) {
	for _, r := range []string{connector.ByMark, connector.ByTaxID, connector.ByEmail, connector.BySKU, connector.ByName} {
		delete(t.m.Looks, matchKey(k, subject, part, r))
	}
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
		return strings.TrimSpace(p.Item.SKU)
	}
	return ""
}

func taxIDOf(p *document.Part) string {
	if p.Party == nil {
		return ""
	}
	return strings.NewReplacer(" ", "", ".", "", "-", "", "/", "").Replace(strings.ToUpper(p.Party.TaxID))
}

// otherEmail says that a party of the same name has another address. The books
// may hold several of one party, between commas.
func otherEmail(p *document.Part, c *connector.Posting) string {
	own, others := emailOf(p), false
	for address := range strings.FieldsFuncSeq(c.Email, func(r rune) bool { return r == ',' || r == ';' }) {
		if emailKey(address) == own {
			return ""
		}
		others = others || emailKey(address) != ""
	}
	if own == "" || !others {
		return ""
	}
	return "its e-mail is " + c.Email
}

func emailOf(p *document.Part) string {
	if p.Party == nil {
		return ""
	}
	return emailKey(p.Party.Email)
}

// emailKey is an address as a key. One of a role belongs to nobody.
func emailKey(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	local, _, ok := strings.Cut(address, "@")
	if !ok {
		return ""
	}
	switch local {
	case "info", "billing", "accounts", "accounting", "office", "sales", "hello", "admin", "contact", "invoices", "invoice", "finance", "mail", "team", "support", "noreply", "no-reply":
		return ""
	}
	return address
}
