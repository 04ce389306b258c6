package mapping

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
)

// countryNames has a country a line: its ISO 3166-1 codes of two and of three
// letters, then what people call it in English, German, French, Spanish, Italian
// and Dutch (Unicode CLDR), and common variants. It is a hundredth of the tables
// that a library of all languages would add.
//
//go:embed countries.txt
var countryNames string

// countries is the code of two letters by every name.
var countries = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(countryNames) {
		names := strings.Split(strings.TrimSpace(line), ";")
		for _, name := range names {
			if key := countryKey(name); out[key] == "" { // the first language counts where two disagree
				out[key] = names[0]
			}
		}
	}
	return out
})

// countryKey drops what people write a country's name differently in: case,
// accents, punctuation, spaces and the article. An abbreviation counts as it is
// written: "n/a" is not Namibia.
func countryKey(name string) string {
	name = strings.TrimSpace(strings.ToLower(norm.NFKD.String(name)))
	key := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsMark(r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(strings.TrimPrefix(name, "the "), "&", "and"))
	if len(key) <= 3 {
		return name
	}
	return key
}

// countryCode is the ISO 3166-1 alpha-2 code of a country however it is named;
// false for what is no country.
func countryCode(name string) (string, bool) {
	code := countries()[countryKey(name)]
	return code, code != ""
}

// countryMax is how much of a country that is none is told.
const countryMax = 40

// country makes an address's country a code. One that is not known is never
// replaced by another: it decides the tax.
func (s *scope) country(r *rule, a *document.Address) *refusal {
	if a.Country == "" {
		return nil
	}
	code, known := countryCode(a.Country)
	if !known {
		said := clipTo(a.Country, countryMax)
		return refused(r, &refusal{kind: exception.Validation, field: s.origin(r, a.Country), detail: "names no country of ISO 3166-1: \"" + said + "\". Write its name or its code of two letters"})
	}
	a.Country = code
	return nil
}

// origin is the field that a rule took a text from, as it has several to choose
// from: "" where none of them holds it.
func (s *scope) origin(r *rule, value string) string {
	for _, path := range r.sources {
		typ, field, _ := strings.Cut(path, ".")
		for _, rec := range s.records(typ) {
			if v, ok := scalar(rec.data[field]); ok && strings.TrimSpace(v) == value {
				return path
			}
		}
	}
	return ""
}

// records are those of a type that stand before the rules.
func (s *scope) records(typ string) (out []*record) {
	if s.outer != nil {
		return s.outer.records(typ)
	}
	if rec, ok := s.vars[typ].(*record); ok {
		return []*record{rec}
	}
	around, _ := s.vars[relatedName].(*snapshots)
	return around.ofType(s.m.schema, typ)
}
