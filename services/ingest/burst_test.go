package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// sent counts what we sent to the vendor, and how much of it was throttled.
func (c *crm) sent() (requests, throttled int) {
	c.t.Helper()
	resp, err := http.Get(c.url + "/_sandbox/requests")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var r struct {
			App    string
			Status int
		}
		if d.Decode(&r) != nil {
			return requests, throttled
		}
		if r.App == "app" {
			if requests++; r.Status == http.StatusTooManyRequests {
				throttled++
			}
		}
	}
}

// wholeDeals makes deals with a company, a contact, and a line that sells a product.
func (c *crm) wholeDeals(n int) []string {
	c.t.Helper()
	one := func(plural string, p map[string]string) string {
		return c.create(plural, []any{map[string]any{"properties": p}})[0]
	}
	company, contact := one("companies", map[string]string{"name": "Acme"}), one("contacts", map[string]string{"email": "ann@acme.example"})
	product := one("products", map[string]string{"name": "Support", "price": "5"})
	var lines, deals []any
	for range n {
		lines = append(lines, map[string]any{"properties": map[string]string{"hs_product_id": product, "quantity": "1"}})
	}
	lineIDs := c.create("line_items", lines)
	for i := range n {
		var links []any
		for typ, id := range map[int]string{5: company, 3: contact, 19: lineIDs[i]} {
			links = append(links, map[string]any{"to": map[string]string{"id": id}, "types": []any{map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": typ}}})
		}
		deals = append(deals, map[string]any{"properties": map[string]string{"dealname": fmt.Sprint("Deal ", i)}, "associations": links})
	}
	return c.create("deals", deals)
}

// Fifty deals are won at once, each told by a webhook of its own. They are read
// within what the vendor allows, and soon: not when its window is over.
func TestABurstOfWonDealsIsReadSoon(t *testing.T) {
	c := openCRM(t)
	const n = 50
	ids := c.wholeDeals(n)
	c.run()
	c.until("all are known", func() bool {
		return c.count(`SELECT COUNT(*) FROM event`) == n && c.count(`SELECT COUNT(*) FROM hint`) == 0
	})
	before, _ := c.sent()
	c.settings(map[string]any{"limits": map[string]int{"ten_secondly_rolling": 100}, "webhooks": map[string]any{"deliver": true}})
	began := time.Now()
	for _, id := range ids {
		c.ask("PATCH", "/crm/v3/objects/deals/"+id, map[string]any{"properties": map[string]string{"dealstage": "closedwon"}})
	}
	told := time.Since(began)
	c.until("all are read", func() bool { return c.won() == n })
	took := time.Since(began)
	after, throttled := c.sent()
	t.Logf("%d deals, told within %s, all admitted after %s by %d requests: %.2f a deal", n, told.Round(time.Millisecond), took.Round(time.Millisecond), after-before, float64(after-before)/n)
	if throttled > 0 {
		t.Errorf("%d requests were more than the vendor allows", throttled)
	}
	if after-before > 70 {
		t.Errorf("%d requests for %d deals: more than our share of one window", after-before, n)
	}
}

// won is the number of deals whose second state was admitted.
func (c *crm) won() int64 {
	return c.count(`SELECT COUNT(*) FROM object WHERE rev >= 2`)
}
