package mapping

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// bookName is a name as books take it: in one line, and without ':', which
// separates levels of their lists. How long it may be the target knows, which
// keeps the whole name beside one that it must shorten.
func bookName(name, suffix string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' }), " ") + suffix
}

// visible tells a name from blanks and marks that print nothing.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != ':' && r != unicode.ReplacementChar
	})
}

// customer: the books give a customer one currency, so another currency than
// the entity's has a customer of its own, told apart by a suffix. An own part
// without a currency speaks for the customer of each currency of the entity.
func (b *builder) customer(s *scope, p *part, out *document.Part) *refusal {
	party := &document.Party{}
	name, why := s.trim(p.fields, "display_name", true)
	if why != nil {
		return why
	}
	if party.Currency, why = b.customerCurrency(s, p); why != nil {
		return why
	}
	suffix := ""
	if party.Currency != b.entity.Currency {
		out.Name += ":" + party.Currency
		suffix = " (" + party.Currency + ")"
	}
	var assume string
	why = s.texts(p.fields, map[string]*string{
		"legal_name": &party.LegalName, "given_name": &party.GivenName, "family_name": &party.FamilyName, "email": &party.Email, "phone": &party.Phone,
		"assume_country": &assume, "tax_id": &party.TaxID,
	})
	if why != nil {
		return why
	}
	party.DisplayName = bookName(name, suffix)
	if party.LegalName == "" && party.DisplayName != name+suffix {
		party.LegalName = name
	}
	if party.Billing, why = b.address(s, p.fields, ""); why != nil {
		return why
	}
	out.Party = party
	if assume == "" || party.Billing != nil && party.Billing.Country != "" {
		return nil
	}
	if party.Billing == nil {
		party.Billing = &document.Address{}
	}
	party.Billing.Country = assume
	party.Assumed = append(party.Assumed, "country "+assume+": the source names none")
	return s.country(p.fields.rules["assume_country"], party.Billing)
}

// customerCurrency is the rule's; a part without one is about the customer of
// the currency at hand, the entity's first.
func (b *builder) customerCurrency(s *scope, p *part) (string, *refusal) {
	if p.fields.rules["currency"] != nil {
		return b.currency(s, p.fields)
	}
	if b.turn != "" {
		return b.turn, nil
	}
	return b.entity.Currency, nil
}

// address reads the fields of one, nil if none is filled.
func (b *builder) address(s *scope, from *block, prefix string) (*document.Address, *refusal) {
	a := &document.Address{}
	var one, two string
	why := s.texts(from, map[string]*string{
		prefix + "address": &one, prefix + "address2": &two, prefix + "city": &a.City, prefix + "postal_code": &a.PostalCode,
		prefix + "subdivision": &a.Subdivision, prefix + "country": &a.Country,
	})
	if why != nil {
		return nil, why
	}
	for _, line := range []string{one, two} {
		if line != "" {
			a.Lines = append(a.Lines, line)
		}
	}
	if why := s.country(from.rules[prefix+"country"], a); why != nil {
		return nil, why
	}
	if a.Country == "" && a.City == "" && len(a.Lines) == 0 && a.PostalCode == "" {
		return nil, nil
	}
	return a, nil
}

// currency is a code that exists.
func (b *builder) currency(s *scope, from *block) (string, *refusal) {
	code, why := s.text(from.rules["currency"])
	if why != nil {
		return "", why
	}
	if _, err := money.Exponent(code); err != nil {
		return "", refused(from.rules["currency"], &refusal{kind: exception.Currency, detail: "is no currency of ISO 4217"})
	}
	return code, nil
}

// item keeps a name that the books do not take in the description.
func (b *builder) item(s *scope, p *part, out *document.Part) *refusal {
	it := &document.Item{Account: p.fields.symbols["account"]}
	name, why := s.trim(p.fields, "name", true)
	if why != nil {
		return why
	}
	if why := s.texts(p.fields, map[string]*string{"sku": &it.SKU, "description": &it.Description}); why != nil {
		return why
	}
	if p.fields.rules["price"] != nil {
		if it.Price, why = b.price(s, p.fields); why != nil {
			return why
		}
		it.PriceCurrency = b.entity.Currency
	}
	it.Name = bookName(name, "")
	if it.Name != name && it.Description == "" {
		it.Description = name
	}
	out.Item = it
	return nil
}

// price is a list price; a record without one has none.
func (b *builder) price(s *scope, from *block) (money.Decimal, *refusal) {
	d, _, why := s.number(from.rules["price"])
	return d, why
}

func (b *builder) marker(s *scope, p *part, out *document.Part) *refusal {
	m := &document.Marker{}
	into := map[string]*string{"record": &m.Record, "id": &m.ID, "status": &m.Status}
	for _, f := range sortedKeys(into) {
		var why *refusal
		if *into[f], why = s.trim(p.fields, f, true); why != nil {
			return why
		}
	}
	if _, err := event.ParseRef(m.Record); err != nil {
		return refused(p.fields.rules["record"], &refusal{kind: exception.Validation, detail: "names no record to write to"})
	}
	out.Marker = m
	return s.texts(p.fields, map[string]*string{"number": &m.Number})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
