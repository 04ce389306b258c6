package mapping

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
)

// shipped are the mappings that come with the program.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../../mappings/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no mappings: %v", err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		if out[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// small says all that a mapping may say, in few lines: a fuzzer gets further
// from it than from a long one.
const small = `mapping: m
version: "1"
source: {system: hubspot, type: deal}
target: [CUSTOMER, INVOICE]
schema:
  deal: {dealname: text, amount: decimal, closedate: instant, won: bool, lines: list of item, tags: list of text}
  item: {name: text, price: decimal}
values:
  day: string(deal.closedate)
  half: |
    deal.amount * decimal('0.5')
parts:
  customer:
    kind: CUSTOMER
    mode: ensure
    subject: event.customer
    fields: {display_name: deal.dealname}
`

// broken are texts that a person could hand in.
func broken() []string {
	return []string{
		"", " ", "\t", "---", "a: b\n---\na: c", "&a [*a]", "a: &a {b: *a}", "<<: {a: b}", "? [1]\n: 2", "{", "[", "'", "\"\\xff\"", "\xff", "!!binary x", "- - - -", "null", "~: ~",
		"mapping: [m]", "mapping: m\nmapping: n", "mapping: *nothing", "schema: {deal: {x: list of deal}}", strings.Repeat("[", 5000), strings.Repeat("{a: ", 500),
		strings.Replace(small, "string(deal.closedate)", "((((((((", 1), strings.Replace(small, "string(deal.closedate)", "deal.nothing", 1),
		strings.Replace(small, "string(deal.closedate)", `"deal.\
    nothing"`, 1),
		strings.Replace(small, "list of item", "list of event", 1), strings.Replace(small, "hubspot, type: deal", "hubspot, type: entity", 1),
		strings.Replace(small, "values:", "values: &v", 1), strings.Replace(small, "deal.dealname}", "*v}", 1), strings.Replace(small, "'0.5'", "'é'+1", 1),
		"# é\r\nmapping: m\r\n", "\ufeffmapping: m",
	}
}

// No text makes the loader panic. What it refuses it refuses with a place in
// the file and a reason; what it takes has one hash and renders any event.
func FuzzLoad(f *testing.F) {
	for _, b := range shipped(f) {
		f.Add(b)
	}
	f.Add([]byte(small))
	for _, s := range broken() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Load("m.yaml", b)
		if err != nil {
			checkProblems(t, b, m, err)
			return
		}
		again, err := Load("m.yaml", b)
		if err != nil || again.Hash != m.Hash || m.Hash == "" || m.Name == "" || m.Version == "" {
			t.Fatalf("%+v, then %+v, %v", m, again, err)
		}
		for _, data := range []string{`{"id":"7","type":"deal","dealname":"A","amount":"1.5","lines":[{"name":"x","price":"1"}]}`, `{"lines":5,"tags":[[]]}`, `[]`, ``} {
			checkRendering(t, m.Render(input(m, []byte(data))), m)
		}
	})
}

func checkProblems(t *testing.T, b []byte, m *Mapping, err error) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 || m != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	lines := strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(b)), "\n") + 1
	for _, p := range problems {
		if p.File != "m.yaml" || p.Line < 1 || p.Line > lines+1 || p.Column < 1 || p.Message == "" || !strings.HasPrefix(p.String(), "m.yaml:") {
			t.Fatalf("%+v of a text with %d lines", p, lines)
		}
	}
}

func input(m *Mapping, data []byte) Input {
	return Input{
		Event: &event.Event{
			ID: "e1", Tenant: "acme", Entity: "ie", Route: "won", Mapping: m.Name, Target: "quickbooks/46", Lane: "hubspot/1/company/5", Seq: 1, Class: event.Realtime, Rev: 1, SlotNo: 1,
			Render: 1, Cause: event.Change, Type: event.Put, OccurredAt: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), Customer: "hubspot/1/company/5",
			Ref: event.Ref{System: "hubspot", Account: "1", Type: "deal", ID: "7"}, Data: data,
		},
		Entity: registry.Entity{ID: "ie", Tenant: "acme", Currency: "EUR", Zone: "Europe/Dublin", Country: "IE", NetDays: 30, Currencies: []string{"EUR", "USD"}},
	}
}

func checkRendering(t *testing.T, r *document.Rendering, m *Mapping) {
	t.Helper()
	b, err := document.Encode(r)
	if err == nil {
		_, err = document.Decode(b)
	}
	if err != nil || r.MappingHash != m.Hash {
		t.Fatalf("%+v: %v", r, err)
	}
}

// Any record that a source hands over has a rendering by the shipped mappings.
func FuzzRender(f *testing.F) {
	cases, err := filepath.Glob("../../mappings/testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, name := range cases {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		_, in, _ := strings.Cut(string(b), "-- event.json --\n")
		in, _, _ = strings.Cut(in, "-- rendering.yaml --\n")
		f.Add([]byte(in))
	}
	var all []*Mapping
	for name, b := range shipped(f) {
		m, err := Load(name, b)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, m)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range all {
			in := input(m, data)
			in.Event.Related = data
			checkRendering(t, m.Render(in), m)
		}
	})
}
