// Package money is exact arithmetic: amounts are minor units of an ISO 4217
// currency, prices and quantities are decimals, and nothing is ever a float.
package money

import (
	"fmt"
	"math/big"
)

// Amount is money in minor units.
type Amount struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

// exponents of ISO 4217 that are not 2 (table of 2026-01-01).
var exponents = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
	"UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

// Exponent returns the decimal places of a currency, and an error for what is
// not an ISO 4217 alpha-3 code in use.
func Exponent(currency string) (int, error) {
	if e, ok := exponents[currency]; ok {
		return e, nil
	}
	if twoDecimals[currency] {
		return 2, nil
	}
	return 0, fmt.Errorf("%q is not an ISO 4217 currency", clip(currency))
}

// Round rounds r, in major units, to the currency's minor units, half away
// from zero.
func Round(r *big.Rat, currency string) (Amount, error) {
	e, err := Exponent(currency)
	if err != nil {
		return Amount{}, err
	}
	n := roundHalfUp(new(big.Rat).Mul(r, new(big.Rat).SetInt(pow10(uint32(e)))))
	if !n.IsInt64() {
		return Amount{}, fmt.Errorf("amount in %s is too large", currency)
	}
	return Amount{Minor: n.Int64(), Currency: currency}, nil
}

// Parse reads major units ("118.99") into an Amount and refuses digits that
// the currency does not have.
func Parse(s, currency string) (Amount, error) {
	d, err := ParseDecimal(s)
	if err != nil {
		return Amount{}, err
	}
	a, err := Round(d.Rat(), currency)
	if err != nil {
		return Amount{}, err
	}
	if a.Rat().Cmp(d.Rat()) != 0 {
		return Amount{}, fmt.Errorf("%s has more decimal places than %s", s, currency)
	}
	return a, nil
}

// Rat returns the amount in major units, exactly.
func (a Amount) Rat() *big.Rat {
	return new(big.Rat).SetFrac(big.NewInt(a.Minor), pow10(a.exponent()))
}

// Decimal returns the amount in major units.
func (a Amount) Decimal() Decimal {
	return Decimal{Unscaled: a.Minor, Scale: a.exponent()}.canonical()
}

// Major is the amount in major units with all its digits: "118.90", "1099".
func (a Amount) Major() string {
	return Decimal{Unscaled: a.Minor, Scale: a.exponent()}.String()
}

// String is "118.90 EUR".
func (a Amount) String() string { return a.Major() + " " + a.Currency }

// Add returns a + b; both must be of one currency.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("add %s to %s", b.Currency, a.Currency)
	}
	sum := a.Minor + b.Minor
	if (sum > a.Minor) != (b.Minor > 0) {
		return Amount{}, fmt.Errorf("sum in %s is too large", a.Currency)
	}
	return Amount{Minor: sum, Currency: a.Currency}, nil
}

// Neg returns -a.
func (a Amount) Neg() Amount { return Amount{Minor: -a.Minor, Currency: a.Currency} }

// exponent of a currency that was checked when the amount was made; 2 for one
// that was not.
func (a Amount) exponent() uint32 {
	if e, ok := exponents[a.Currency]; ok {
		return uint32(e)
	}
	return 2
}

// roundHalfUp rounds half away from zero.
func roundHalfUp(r *big.Rat) *big.Int {
	num := new(big.Int).Lsh(new(big.Int).Abs(r.Num()), 1)
	num.Add(num, r.Denom())
	q := num.Quo(num, new(big.Int).Lsh(r.Denom(), 1))
	if r.Sign() < 0 {
		q.Neg(q)
	}
	return q
}
