package money

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tieout.dev/services/internal/drill"
)

func dec(t *testing.T, s string) Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecimalText(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0.0": "0", "12.500": "12.5", "0.061171": "0.061171", "-7": "-7", "007": "7", "9223372036854775807": "9223372036854775807",
	} {
		if got := dec(t, in).String(); got != want {
			t.Errorf("%q reads as %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"", "-", ".5", "5.", "1e400", "NaN", "+1", "1,5", "0.1234567890123", "9223372036854775808", " 1", "--1", "١"} {
		if d, err := ParseDecimal(bad); err == nil {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
}

// The worked examples of line arithmetic: precision stays in the price, only
// the extension is rounded.
func TestExtension(t *testing.T) {
	for _, c := range []struct{ qty, price, currency, want string }{
		{"3", "33.33", "EUR", "99.99 EUR"},
		{"3", "33.3333", "EUR", "100.00 EUR"},
		{"1000", "0.061171", "USD", "61.17 USD"},
		{"3", "1.2335", "KWD", "3.701 KWD"},
		{"1", "332.5", "JPY", "333 JPY"},
		{"-1", "0.005", "EUR", "-0.01 EUR"},
	} {
		got, err := Extension(dec(t, c.qty), dec(t, c.price), c.currency)
		if err != nil || got.String() != c.want {
			t.Errorf("%s × %s = %v (%v), want %s", c.qty, c.price, got, err, c.want)
		}
	}
	if _, err := Extension(Int(1), Int(1), "XXX"); err == nil {
		t.Error("a currency that does not exist was taken")
	}
}

func TestPercentOf(t *testing.T) {
	got, err := PercentOf(Amount{5993, "EUR"}, Int(10))
	if err != nil || got.Minor != 599 {
		t.Fatalf("10 %% of 59.93 = %v, %v", got, err)
	}
}

func TestParseRefusesDigitsTheCurrencyLacks(t *testing.T) {
	if _, err := Parse("1.5", "JPY"); err == nil {
		t.Error("1.5 JPY was taken")
	}
	if a, err := Parse("1.5", "KWD"); err != nil || a.Minor != 1500 || a.Major() != "1.500" {
		t.Errorf("1.5 KWD = %v, %v", a, err)
	}
}

func TestSpreadProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		total := r.Int64N(2_000_000) - 1_000_000
		w := make([]int64, 1+r.IntN(8))
		var sum int64
		for i := range w {
			w[i] = r.Int64N(1000) * int64(r.IntN(2))
			sum += w[i]
		}
		if sum == 0 {
			continue
		}
		checkSpread(t, total, w, sum)
	}
	if _, err := Spread(1, []int64{0, 0}); err == nil {
		t.Error("something was spread over nothing")
	}
	if got, _ := Spread(10000, []int64{1, 1, 1}); !slices.Equal(got, []int64{3334, 3333, 3333}) {
		t.Errorf("100.00 over three = %v", got)
	}
	drill.Injected(t, 20000, 97)
}

func checkSpread(t *testing.T, total int64, w []int64, sum int64) {
	t.Helper()
	got, err := Spread(total, w)
	neg, _ := Spread(-total, w)
	if err != nil {
		t.Fatal(err)
	}
	var s int64
	for i, g := range got {
		s += g
		if d := g*sum - total*w[i]; d >= sum || d <= -sum || g != -neg[i] || (w[i] == 0 && g != 0) {
			t.Fatalf("Spread(%d, %v) = %v, negated %v", total, w, got, neg)
		}
	}
	if s != total {
		t.Fatalf("Spread(%d, %v) sums to %d", total, w, s)
	}
}

func TestAddOverflow(t *testing.T) {
	if _, err := (Amount{1<<63 - 1, "EUR"}).Add(Amount{1, "EUR"}); err == nil {
		t.Error("overflow was not seen")
	}
	if _, err := (Amount{1, "EUR"}).Add(Amount{1, "USD"}); err == nil {
		t.Error("two currencies were added")
	}
}
