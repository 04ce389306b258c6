package mapping

import (
	"strings"
	"testing"
)

// What is missing is said once, in words, and nothing is said about what hangs
// on it.
func TestAMissingSchemaIsSaidOnce(t *testing.T) {
	text := "mapping: m\nversion: \"1\"\nsource: {system: hubspot, type: deal}\ntarget: [CUSTOMER]\nparts: []\n"
	_, err := Load("m.yaml", []byte(text))
	if err == nil || strings.Contains(err.Error(), "nil") || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("got %v", err)
	}
}

func TestARefusalNeedsARuleAndASentence(t *testing.T) {
	part := func(refused string) string {
		return "mapping: m\nversion: \"1\"\nsource: {system: hubspot, type: deal}\ntarget: [CUSTOMER]\nschema: {deal: {dealname: text}}\nparts:\n" +
			"  - {name: customer, kind: CUSTOMER, mode: ensure, subject: event.customer, refused_when: " + refused + ", fields: {display_name: deal.dealname, currency: entity.currency}}\n"
	}
	for refused, want := range map[string]string{
		`[{when: "deal.dealname == ''", say: name the deal}]`:       "",
		`[{when: "deal.dealname == ''"}]`:                           "say is missing",
		`[{say: name the deal}]`:                                    "when is missing",
		`[{when: deal.dealname, say: name the deal}]`:               "bool is wanted",
		`[{when: "true", say: "` + strings.Repeat("x", 301) + `"}]`: "up to 300 characters",
	} {
		_, err := Load("m.yaml", []byte(part(refused)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60s: %v, want %q", refused, err, want)
		}
	}
}
