package mapping

import (
	"strings"
	"testing"
)

func TestACountryIsItsCodeHoweverItIsWritten(t *testing.T) {
	for name, want := range map[string]string{
		"Germany": "DE", "germany": "DE", " GERMANY ": "DE", "Deutschland": "DE", "DE": "DE", "de": "DE", "DEU": "DE",
		"United States": "US", "USA": "US", "U.S.": "US", "us": "US", "United States of America": "US", "the United States": "US",
		"UK": "GB", "U.K.": "GB", "Great Britain": "GB", "England": "GB", "gb": "GB",
		"Éire": "IE", "Österreich": "AT", "OSTERREICH": "AT", "Côte d’Ivoire": "CI", "Cote d'Ivoire": "CI", "Bosnia and Herzegovina": "BA", "Bosnia & Herzegovina": "BA",
		"The Netherlands": "NL", "Czech Republic": "CZ", "Türkiye": "TR", "Korea, Republic of": "KR", "Guinea-Bissau": "GW", "Guinea": "GN",
		"Frogland": "", "XX": "", "-": "", "n/a": "", "N.A.": "", "Germany2go": "", "Europe": "",
	} {
		if got, known := countryCode(name); got != want || known != (want != "") {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// Every country is found by its codes and by its first name, the English one.
func TestEveryCountryIsItself(t *testing.T) {
	n := 0
	for line := range strings.Lines(countryNames) {
		names := strings.Split(strings.TrimSpace(line), "; ")
		for _, name := range names[:3] {
			if got, _ := countryCode(name); got != names[0] || len(names[0]) != 2 || len(names[1]) != 3 {
				t.Errorf("%s of %s is taken for %q", name, names[0], got)
			}
		}
		n++
	}
	if n != 250 {
		t.Errorf("%d countries; ISO 3166-1 has 249, and the books use XK", n)
	}
}
