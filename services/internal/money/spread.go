package money

import (
	"fmt"
	"math/big"
	"slices"
)

// Spread splits total over weights by largest remainder: shares sum to total,
// each is less than one unit from its exact share, a zero weight gets nothing,
// ties go to the lowest index, and Spread(-t) = -Spread(t).
func Spread(total int64, weights []int64) ([]int64, error) {
	sum := new(big.Int)
	for _, w := range weights {
		if w < 0 {
			return nil, fmt.Errorf("spread over a negative weight %d", w)
		}
		sum.Add(sum, big.NewInt(w))
	}
	if sum.Sign() == 0 {
		if total != 0 {
			return nil, fmt.Errorf("spread %d over no weight", total)
		}
		return make([]int64, len(weights)), nil
	}
	return spread(total, weights, sum), nil
}

func spread(total int64, weights []int64, sum *big.Int) []int64 {
	abs := new(big.Int).Abs(big.NewInt(total))
	shares, rest := make([]int64, len(weights)), make([]*big.Int, len(weights))
	left := new(big.Int).Set(abs)
	order := make([]int, len(weights))
	for i, w := range weights {
		q, r := new(big.Int).QuoRem(new(big.Int).Mul(abs, big.NewInt(w)), sum, new(big.Int))
		shares[i], rest[i], order[i] = q.Int64(), r, i
		left.Sub(left, q)
	}
	slices.SortStableFunc(order, func(a, b int) int { return rest[b].Cmp(rest[a]) })
	for _, i := range order[:left.Int64()] {
		shares[i]++
	}
	if total < 0 {
		for i := range shares {
			shares[i] = -shares[i]
		}
	}
	return shares
}
