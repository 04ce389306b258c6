package mappings

import (
	"strings"
	"testing"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/mapping"
)

// deal is a won deal of an amount and without lines.
const amountOnly = `{"data":{"id":"7","dealname":"Order","hs_is_closed":true,"hs_is_closed_won":true,"closedate":"2026-11-24T09:00:00Z","deal_currency_code":"%CUR%","amount":"%AMOUNT%","line_items":[],"contacts":[]},
	"related":{"hubspot/48213/company/5":{"name":"Acme Ltd","country":"IE"}}}`

func splitting(t *testing.T, split string) (*mapping.Mapping, error) {
	t.Helper()
	b, err := files.ReadFile("hubspot-deal-quickbooks-invoice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	at := "      item: item\n      fields:\n"
	if strings.Count(string(b), at) != 1 {
		t.Fatal("the mapping's lines are not where the test puts a split")
	}
	return mapping.Load("split.yaml", []byte(strings.Replace(string(b), at, "      split: "+split+"\n"+at, 1)))
}

func TestATotalIsSplitToTheLastUnit(t *testing.T) {
	for _, c := range []struct{ amount, currency, split, want string }{
		{"100.00", "EUR", "[{weight: 1}, {weight: 1}, {weight: 1}]", "33.34 33.33 33.33"},
		{"0.02", "EUR", "[{weight: 1}, {weight: 1}, {weight: 1}]", "0.01 0.01"},
		{"1000", "JPY", "[{weight: 1}, {weight: 1}, {weight: 1}]", "334 333 333"},
		{"100.001", "KWD", "[{weight: 2}, {weight: 1}]", "66.667 33.334"},
		{"99.99", "EUR", "[{weight: 70}, {weight: 0}, {weight: 30}]", "69.99 30.00"},
	} {
		m, err := splitting(t, c.split)
		if err != nil {
			t.Fatal(err)
		}
		in := strings.NewReplacer("%AMOUNT%", c.amount, "%CUR%", c.currency).Replace(amountOnly)
		r := m.Render(read(t, []byte(in)).input(t))
		if r.Verdict != document.Documents {
			t.Fatalf("%s %s: %v", c.amount, c.currency, r.Reason)
		}
		checkWhole(t, r)
		var got []string
		for _, p := range r.Parts {
			if p.Invoice != nil {
				for _, l := range p.Invoice.Lines {
					got = append(got, l.Net.Major())
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s over %s: %v, want %s", c.amount, c.currency, c.split, got, c.want)
		}
	}
}

func TestASplitThatSplitsNothingIsRefused(t *testing.T) {
	for split, want := range map[string]string{
		"[{weight: 0}]": "nothing to split by", "[{weight: -1}]": "whole number", "[{weight: 1, colour: red}]": "unknown key", "[]": "list", "[{}]": "weight",
		"[{weight: 1, description: deal.nothing}]": "nothing",
	} {
		if _, err := splitting(t, split); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "split.yaml") {
			t.Errorf("%s: %v", split, err)
		}
	}
}
