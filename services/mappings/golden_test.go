package mappings

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
)

var update = flag.Bool("update", false, "write the renderings of testdata anew")

// given is the event of a case.
type given struct {
	Mapping  string           `json:"mapping"`
	Ref      string           `json:"ref"`
	Type     event.Type       `json:"type"`
	Customer string           `json:"customer"`
	Entity   *registry.Entity `json:"entity"`
	Data     json.RawMessage  `json:"data"`
	Related  json.RawMessage  `json:"related"`
}

func (g given) input(t *testing.T) mapping.Input {
	t.Helper()
	e := &event.Event{
		ID: "e1", Tenant: "acme", Entity: "acme-ie", Route: "won", Mapping: g.Mapping, Target: "quickbooks/46", Lane: g.Customer, Seq: 1, Class: event.Realtime,
		Rev: 1, SlotNo: 1, Render: 1, Cause: event.Change, Type: g.Type, OccurredAt: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
		Customer: g.Customer, Data: g.Data, Related: g.Related,
	}
	var err error
	if e.Ref, err = event.ParseRef(g.Ref); err != nil {
		t.Fatal(err)
	}
	entity := registry.Entity{ID: "acme-ie", Tenant: "acme", Currency: "EUR", Zone: "Europe/Dublin", Country: "IE", NetDays: 30, Currencies: []string{"EUR", "USD"}}
	if g.Entity != nil {
		entity = *g.Entity
	}
	return mapping.Input{Event: e, Entity: entity}
}

func read(t *testing.T, b []byte) given {
	t.Helper()
	g := given{Mapping: "hubspot-deal-quickbooks-invoice", Ref: "hubspot/48213/deal/7", Type: event.Put, Customer: "hubspot/48213/company/5"}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGolden renders each case of testdata: a text archive with the event as
// JSON and the rendering, as people read it.
func TestGolden(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) < 15 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			head, rest, ok := strings.Cut(string(b), "-- event.json --\n")
			in, want, ok2 := strings.Cut(rest, "-- rendering.yaml --\n")
			if !ok || !ok2 || strings.TrimSpace(head) == "" {
				t.Fatal("a case says what it shows, then has event.json and rendering.yaml")
			}
			g := read(t, []byte(in))
			r := all[g.Mapping].Render(g.input(t))
			checkWhole(t, r)
			got := show(t, r)
			if *update {
				if err := os.WriteFile(name, []byte(head+"-- event.json --\n"+in+"-- rendering.yaml --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	played := func(names ...string) (n int64) {
		for _, name := range names {
			if slices.Contains(cases, filepath.Join("testdata", name+".txtar")) {
				n++
			}
		}
		return n
	}
	drill.Injected(t, played("wrong_types", "not_a_number", "not_an_object"), 94)
	drill.Injected(t, played("midnight"), 96)
	drill.Injected(t, played("jpy", "kwd", "price_digits"), 97)
}

// checkWhole holds what is true of every rendering: it travels, its sums agree,
// and what its parts need it has.
func checkWhole(t *testing.T, r *document.Rendering) {
	t.Helper()
	b, err := document.Encode(r)
	if err == nil {
		_, err = document.Decode(b)
	}
	if err != nil {
		t.Errorf("the rendering does not travel: %v", err)
	}
	for _, p := range r.Parts {
		if p.Invoice == nil {
			continue
		}
		var sum int64
		for _, l := range p.Invoice.Lines {
			sum += l.Net.Minor
			if a, err := money.Extension(l.Quantity, l.Price, p.Invoice.Currency); err != nil || a != l.Net {
				t.Errorf("line %s: %s × %s is %v, not %v (%v)", l.ID, l.Quantity, l.Price, a, l.Net, err)
			}
		}
		if sum != p.Invoice.Totals.Net.Minor || p.Invoice.Totals.Net.Minor < 0 || p.Invoice.Totals.Net.Currency != p.Invoice.Currency {
			t.Errorf("lines sum to %d, the net is %v", sum, p.Invoice.Totals.Net)
		}
		made := map[string]bool{}
		for _, q := range r.Parts {
			made[string(q.Kind)+q.Subject+q.Name] = true
		}
		for _, n := range p.Needs {
			if !made[string(n.Kind)+n.Ref+n.Part] {
				t.Errorf("%s needs %v, which the rendering does not make", p.Name, n)
			}
		}
	}
}

// show writes a rendering without what it copied from the event.
func show(t *testing.T, r *document.Rendering) string {
	t.Helper()
	type row = map[string]any
	out := struct {
		Verdict document.Verdict
		Reason  any   `yaml:",omitempty"`
		Parts   []any `yaml:",omitempty"`
	}{Verdict: r.Verdict}
	if r.Reason != (document.Reason{}) {
		out.Reason = short(row{"kind": r.Reason.Kind, "field": r.Reason.Field, "rule": r.Reason.Rule, "detail": r.Reason.Detail})
	}
	for _, p := range r.Parts {
		var needs []string
		for _, n := range p.Needs {
			needs = append(needs, n.Ref+" "+string(n.Kind)+" "+n.Part)
		}
		v := row{"part": p.Name + " " + string(p.Kind) + " " + string(p.Mode) + " " + strings.TrimSpace(string(p.Desired)+" "+string(p.VoidCause)), "subject": p.Subject, "needs": needs}
		switch {
		case p.Party != nil:
			v["party"] = short(row{"display_name": p.Party.DisplayName, "legal_name": p.Party.LegalName, "person": strings.TrimSpace(p.Party.GivenName + " " + p.Party.FamilyName),
				"email": p.Party.Email, "phone": p.Party.Phone, "currency": p.Party.Currency, "assumed": p.Party.Assumed, "billing": p.Party.Billing, "tax_id": p.Party.TaxID})
		case p.Item != nil:
			v["item"] = short(row{"name": p.Item.Name, "sku": p.Item.SKU, "description": p.Item.Description, "account": p.Item.Account})
			if !p.Item.Price.IsZero() {
				v["item"].(row)["price"] = p.Item.Price.String() + " " + p.Item.PriceCurrency
			}
		case p.Marker != nil:
			v["marker"] = short(row{"record": p.Marker.Record, "number": p.Marker.Number, "id": p.Marker.ID, "status": p.Marker.Status})
		case p.Invoice != nil:
			v["invoice"] = invoiceOf(p.Invoice)
		}
		out.Parts = append(out.Parts, short(v))
	}
	b, err := yaml.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func invoiceOf(v *document.Invoice) any {
	var lines []any
	for _, l := range v.Lines {
		row := map[string]any{"id": l.ID, "item": l.Item, "description": l.Description, "price": l.Quantity.String() + " " + l.Unit + " × " + l.Price.String(),
			"net": l.Net.String(), "symbols": l.Account + " " + l.Tax}
		if l.Allowance != (money.Amount{}) {
			row["allowance"] = l.Allowance.String()
		}
		lines = append(lines, short(row))
	}
	out := map[string]any{"issue_date": v.IssueDate, "due_date": v.DueDate, "currency": v.Currency, "customer": v.Customer + " " + v.CustomerPart, "note": v.Note,
		"purchase_order": v.PurchaseOrder, "ship_to": v.ShipTo, "lines": lines, "net": v.Totals.Net.String()}
	if v.Totals.Gross != (money.Amount{}) || v.Totals.Tax != (money.Amount{}) {
		out["tax and gross"] = v.Totals.Tax.String() + " " + v.Totals.Gross.String()
	}
	return short(out)
}

// short leaves out what is empty.
func short(m map[string]any) map[string]any {
	for k, v := range m {
		switch v := v.(type) {
		case string:
			if v == "" {
				delete(m, k)
			}
		case []string:
			if len(v) == 0 {
				delete(m, k)
			}
		case *document.Address:
			if v == nil {
				delete(m, k)
			} else {
				m[k] = strings.Join(append(append([]string{}, v.Lines...), v.City, v.PostalCode, v.Subdivision, v.Country), " | ")
			}
		}
	}
	return m
}
