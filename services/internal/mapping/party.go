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

// nameMax is how long a name in the books may be, and ':' separates levels of
// their lists: https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/item
const nameMax = 100

// bookName is a name as the books take it. What is cut off is replaced by a
// digest of the whole, so two long names stay two; the caller keeps the whole.
func bookName(name, suffix string) string {
	clean := strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' }), " ")
	runes, room := []rune(clean), nameMax-len([]rune(suffix))
	if len(runes) > room {
		end := " ~" + event.Digest("name/v1", name)[:6]
		clean = strings.TrimSpace(string(runes[:room-len(end)])) + end
	}
	return clean + suffix
}

// visible tells a name from blanks and marks that print nothing.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != ':' && r != unicode.ReplacementChar
	})
}

// customer: the books give a customer one currency, so another currency than
// the entity's has a customer of its own, told apart by a suffix.
func (b *builder) customer(s *scope, p *part, out *document.Part) *refusal {
	party := &document.Party{}
	name, why := s.trim(p.fields, "display_name", true)
	if why != nil {
		return why
	}
	if party.Currency, why = b.currency(s, p.fields); why != nil {
		return why
	}
	suffix := ""
	if party.Currency != b.entity.Currency {
		out.Name += ":" + party.Currency
		suffix = " (" + party.Currency + ")"
	}
	var assume, address, address2 string
	billing := &document.Address{}
	why = s.texts(p.fields, map[string]*string{
		"legal_name": &party.LegalName, "given_name": &party.GivenName, "family_name": &party.FamilyName, "email": &party.Email, "phone": &party.Phone,
		"address": &address, "address2": &address2, "city": &billing.City, "postal_code": &billing.PostalCode, "subdivision": &billing.Subdivision,
		"country": &billing.Country, "assume_country": &assume,
	})
	if why != nil {
		return why
	}
	party.DisplayName = bookName(name, suffix)
	if party.LegalName == "" && party.DisplayName != name+suffix {
		party.LegalName = name
	}
	for _, line := range []string{address, address2} {
		if line != "" {
			billing.Lines = append(billing.Lines, line)
		}
	}
	if billing.Country = countryCode(billing.Country); billing.Country == "" && assume != "" {
		billing.Country = assume
		party.Assumed = append(party.Assumed, "country "+assume+": the source names none")
	}
	if billing.Country != "" || billing.City != "" || len(billing.Lines) > 0 || billing.PostalCode != "" {
		party.Billing = billing
	}
	out.Party = party
	return nil
}

// countryCode is an ISO 3166-1 alpha-2 code, or nothing.
func countryCode(s string) string {
	s = strings.ToUpper(s)
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return s
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
	it.Name = bookName(name, "")
	if it.Name != name && it.Description == "" {
		it.Description = name
	}
	out.Item = it
	return nil
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
