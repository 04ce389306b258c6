package bubble

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/books"
)

// A mistake in a script is told with its line, before anything is made of it.
func TestScriptsWithMistakes(t *testing.T) {
	s := &story{bubble: &bubble{ports: map[string]int{}, processes: map[string]*process{}}, companies: map[string]string{}, deals: map[string]string{}}
	for script, want := range map[string]string{
		"\nfly away":                      "line 2: fly away: there is no such command",
		`crm company "acme`:               "a quote is not closed",
		"crm win d1 nobody Widget*1@1.00": "there is no company nobody",
		"crm win d1 acme Widget":          "is not NAME*QUANTITY@PRICE",
		"crm win":                         "DEAL COMPANY",
		"crm lose d9":                     `there is no deal "d9"`,
		"advance soon":                    "invalid duration",
		"advance xd":                      "invalid syntax",
		"books fail often for 2h":         "which status",
		"books fault hang depth=3":        "a fault has no depth",
		"kill writer during send":         "kill PROCESS",
		"kill writer after send":          "does not run",
		"stop writer":                     "writer does not run",
		"expect miracles":                 "expect: ",
	} {
		if err := s.play(script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", script, err, want)
		}
	}
}

func TestWords(t *testing.T) {
	got, err := split(`crm  company acme "Acme Ltd" a="b c" # for the reader`)
	if err != nil || !slices.Equal(got, words{"crm", "company", "acme", "Acme Ltd", "a=b c"}) {
		t.Fatalf("%q, %v", []string(got), err)
	}
	if d, err := duration("2d"); err != nil || d != 48*time.Hour {
		t.Fatalf("%v, %v", d, err)
	}
	if n, err := cents("12.3"); err != nil || n != 1230 {
		t.Fatalf("%d, %v", n, err)
	}
	for _, text := range []string{"", "x", "0.001", "99999999999999999999"} {
		if n, err := cents(text); err == nil {
			t.Errorf("%q are %d cents", text, n)
		}
	}
}

func TestRepeatsAreCounted(t *testing.T) {
	got := counted([]string{"a", "b", "c", "b", "c", "d", "d", "e"})
	if want := []string{"a", "2 × (b; c)", "2 × (d)", "e"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

// The judge of a month must see each way in which it could have gone wrong.
func TestJudgeSeesWhatIsWrong(t *testing.T) {
	one := invoice{Invoice: books.Invoice{TotalAmt: "12.30"}}
	one.TxnTaxDetail.TotalTax, one.CurrencyRef.Value = "2.30", "EUR"
	won := wanted{currency: "EUR", net: 1000, won: true}
	if err := won.met([]invoice{one}); err != nil {
		t.Fatal(err)
	}
	lost, voided, dearer, dollars := won, won, won, won
	lost.won, voided.touched, dearer.net, dollars.currency = false, "void", 1001, "USD"
	for name, x := range map[string]struct {
		w    wanted
		live []invoice
	}{
		"none": {won, nil}, "two": {won, []invoice{one, one}}, "of a lost deal": {lost, []invoice{one}}, "of a void one": {voided, []invoice{one}},
		"a cent off": {dearer, []invoice{one}}, "another currency": {dollars, []invoice{one}},
	} {
		if x.w.met(x.live) == nil {
			t.Errorf("%s is taken for right", name)
		}
	}
}
