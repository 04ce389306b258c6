package story

import (
	"context"
	"fmt"
	"strings"

	"tieout.dev/services/cmd/tieout/crm"
)

// nasty is a record as real portals have them.
type nasty struct {
	why  string // what is wrong with it
	deal crm.Deal
}

// nasties are deals that no books should take as they are, and one that looks
// as if it were and is fine.
func (b *book) nasties(ctx context.Context, p crm.Portal) ([]nasty, error) {
	long := "🐟 Fish: & Chips, " + strings.TrimSpace(strings.Repeat("Ballymacarrett ", 14))
	id, err := p.Company(ctx, map[string]string{"name": long, "city": "Belfast", "country": "GB"})
	if err != nil {
		return nil, fmt.Errorf("make the company with the long name: %w", err)
	}
	one, other := b.companies[0], b.companies[4]
	line := func(quantity, price, percent string) []crm.Line {
		return []crm.Line{{Name: "Gateway", SKU: "GW-200", Product: b.products[1].id, Quantity: quantity, Price: price, DiscountPercent: percent}}
	}
	return []nasty{
		{"an emoji, a colon and too many letters in the customer's name: taken, shortened", crm.Deal{Name: "Harbour gateways", Company: id, Currency: "GBP", Lines: line("2", "249.90", "")}},
		{"a discount of 120 %", crm.Deal{Name: "Typed in a hurry", Company: one.id, Currency: "EUR", Lines: line("1", "249.90", "120")}},
		{"two companies, none of them the primary one", crm.Deal{Name: "Joint purchase", Others: []string{one.id, other.id}, Currency: "EUR", Lines: line("3", "249.90", "")}},
		{"a currency that the books have not switched on", crm.Deal{Name: "Sold in Kuwait", Company: other.id, Currency: "KWD", Lines: line("1", "249.90", "")}},
	}, nil
}
