package story

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"tieout.dev/services/cmd/tieout/crm"
)

// book is a believable book of business: companies of several countries, a
// price list, and deals that buy from it in several currencies.
type book struct {
	random    *rand.Rand
	companies []company
	products  []product
}

type company struct{ name, city, country, currency, person, id, contact string }

type product struct{ name, sku, price, id string }

func newBook(seed uint64) *book {
	return &book{
		random: rand.New(rand.NewPCG(seed, seed)),
		companies: []company{
			{name: "Kilkenny Marine Ltd", city: "Waterford", country: "IE", currency: "EUR", person: "Aoife Byrne"},
			{name: "Bücher & Söhne GmbH", city: "München", country: "DE", currency: "EUR", person: "Jörg Weiß"},
			{name: "Granite State Tools Inc", city: "Concord", country: "US", currency: "USD", person: "Dana Whitfield"},
			{name: "Pennine Textiles plc", city: "Leeds", country: "GB", currency: "GBP", person: "Imran Akhtar"},
			{name: "O'Hara Dairies", city: "Cork", country: "IE", currency: "EUR", person: "Siobhán O'Hara"},
			{name: "Ateliers Lefèvre SARL", city: "Lyon", country: "FR", currency: "EUR", person: "Chloé Lefèvre"},
			{name: "Harbor Point Logistics LLC", city: "Portland", country: "US", currency: "USD", person: "Luis Ortega"},
		},
		products: []product{
			{name: "Sensor node", sku: "SN-100", price: "33.33"},
			{name: "Gateway", sku: "GW-200", price: "249.90"},
			{name: "Data plan, per message", sku: "DP-001", price: "0.061171"},
			{name: "Installation day", sku: "SV-DAY", price: "850"},
			{name: "Support, per month", sku: "SP-MTH", price: "119.95"},
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
		var first, last string
		if _, err := fmt.Sscan(c.person, &first, &last); err != nil {
			return err
		}
		if c.contact, err = p.Contact(ctx, map[string]string{"firstname": first, "lastname": last, "email": fmt.Sprintf("accounts%d@example.com", i+1)}); err != nil {
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

// deal is the i-th: one to three lines, some with a discount in percent or off
// each unit.
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
		switch b.random.IntN(6) {
		case 0:
			l.DiscountPercent = "7.5"
		case 1:
			if x.sku == "GW-200" {
				l.UnitDiscount = "12.45"
			}
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}
