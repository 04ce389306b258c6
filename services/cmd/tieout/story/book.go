package story

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"tieout.dev/services/cmd/tieout/crm"
)

// book is a believable book of business: a few companies, a price list, and
// deals that buy from it in several currencies.
type book struct {
	random    *rand.Rand
	companies []company
	products  []product
}

type company struct{ name, city, country, currency, id, contact string }

type product struct{ name, sku, price, id string }

func newBook(seed uint64) *book {
	return &book{
		random: rand.New(rand.NewPCG(seed, seed)),
		companies: []company{
			{name: "Kilkenny Marine Ltd", city: "Waterford", country: "IE", currency: "EUR"},
			{name: "Bücher & Söhne GmbH", city: "München", country: "DE", currency: "EUR"},
			{name: "Granite State Tools Inc", city: "Concord", country: "US", currency: "USD"},
			{name: "Pennine Textiles plc", city: "Leeds", country: "GB", currency: "GBP"},
			{name: "O'Hara Dairies", city: "Cork", country: "IE", currency: "EUR"},
		},
		products: []product{
			{name: "Sensor node", sku: "SN-100", price: "33.33"},
			{name: "Gateway", sku: "GW-200", price: "249.90"},
			{name: "Data plan, per message", sku: "DP-001", price: "0.061171"},
			{name: "Installation day", sku: "SV-DAY", price: "850"},
		},
	}
}

// seed makes companies, a contact each, and the price list.
func (b *book) seed(ctx context.Context, p crm.Portal) error {
	for i := range b.companies {
		c := &b.companies[i]
		var err error
		if c.id, err = p.Company(ctx, map[string]string{"name": c.name, "city": c.city, "country": c.country}); err != nil {
			return err
		}
		if c.contact, err = p.Contact(ctx, map[string]string{"firstname": "Robin", "lastname": "Byrne", "email": fmt.Sprintf("accounts%d@example.com", i+1)}); err != nil {
			return err
		}
	}
	for i := range b.products {
		x := &b.products[i]
		var err error
		if x.id, err = p.Product(ctx, map[string]string{"name": x.name, "hs_sku": x.sku, "price": x.price}); err != nil {
			return err
		}
	}
	return nil
}

// deal is the i-th: one to three lines, some with a discount.
func (b *book) deal(i int) crm.Deal {
	c := b.companies[i%len(b.companies)]
	d := crm.Deal{Name: fmt.Sprintf("%s, order %d", c.name, i+1), Company: c.id, Contact: c.contact, Currency: c.currency}
	first := b.random.IntN(len(b.products))
	for n := range 1 + b.random.IntN(3) {
		x := b.products[(first+n)%len(b.products)]
		quantity := 1 + b.random.IntN(9)
		if x.sku == "DP-001" {
			quantity *= 1000
		}
		l := crm.Line{Name: x.name, SKU: x.sku, Product: x.id, Price: x.price, Quantity: strconv.Itoa(quantity)}
		if b.random.IntN(4) == 0 {
			l.DiscountPercent = "10"
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}
