package money

import "math/big"

// Extension is r(quantity × price): the line's amount before allowances.
func Extension(quantity, price Decimal, currency string) (Amount, error) {
	return Round(new(big.Rat).Mul(quantity.Rat(), price.Rat()), currency)
}

// PercentOf is r(a × percent ÷ 100), percent being 19 for 19 %.
func PercentOf(a Amount, percent Decimal) (Amount, error) {
	r := new(big.Rat).Mul(a.Rat(), percent.Rat())
	return Round(r.Quo(r, big.NewRat(100, 1)), a.Currency)
}
