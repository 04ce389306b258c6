package money

import (
	"fmt"
	"math/big"
	"strings"
)

// maxScale is the most decimal places that a Decimal carries.
const maxScale = 12

// Decimal is Unscaled × 10^-Scale, canonical: no trailing zero, zero is {0,0}.
type Decimal struct {
	Unscaled int64
	Scale    uint32
}

// ParseDecimal reads plain decimal text with a point: "12", "-0.061171". It
// refuses exponents, NaN, more than 12 places and what does not fit.
func ParseDecimal(s string) (Decimal, error) {
	digits := strings.TrimPrefix(s, "-")
	whole, frac, point := strings.Cut(digits, ".")
	if whole == "" || (point && frac == "") || !isDigits(whole) || !isDigits(frac) {
		return Decimal{}, fmt.Errorf("%q is not a plain decimal number", clip(s))
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > maxScale {
		return Decimal{}, fmt.Errorf("%q has more than %d decimal places", clip(s), maxScale)
	}
	n, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok || !n.IsInt64() {
		return Decimal{}, fmt.Errorf("%q is too large", clip(s))
	}
	if strings.HasPrefix(s, "-") {
		n.Neg(n)
	}
	return Decimal{Unscaled: n.Int64(), Scale: uint32(len(frac))}.canonical(), nil
}

// Int returns n as a Decimal.
func Int(n int64) Decimal { return Decimal{Unscaled: n} }

// String is the shortest plain decimal.
func (d Decimal) String() string {
	sign, n := "", new(big.Int).SetInt64(d.Unscaled)
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	s := n.String()
	if d.Scale == 0 {
		return sign + s
	}
	if pad := int(d.Scale) + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	return sign + s[:len(s)-int(d.Scale)] + "." + s[len(s)-int(d.Scale):]
}

// Rat returns the exact value.
func (d Decimal) Rat() *big.Rat {
	return new(big.Rat).SetFrac(big.NewInt(d.Unscaled), pow10(d.Scale))
}

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return big.NewInt(d.Unscaled).Sign() }

// IsZero reports whether d is 0.
func (d Decimal) IsZero() bool { return d.Unscaled == 0 }

// DecimalOf returns r as a Decimal, and false where no Decimal is exactly r
// within places decimal places.
func DecimalOf(r *big.Rat, places uint32) (Decimal, bool) {
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(pow10(places)))
	if !scaled.IsInt() || !scaled.Num().IsInt64() {
		return Decimal{}, false
	}
	return Decimal{Unscaled: scaled.Num().Int64(), Scale: places}.canonical(), true
}

func (d Decimal) canonical() Decimal {
	for d.Scale > 0 && d.Unscaled%10 == 0 {
		d.Unscaled /= 10
		d.Scale--
	}
	return d
}

func pow10(n uint32) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

func isDigits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// clip keeps hostile input out of error texts.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
