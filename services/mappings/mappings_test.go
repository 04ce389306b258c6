package mappings

import "testing"

func TestAllLoad(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hubspot-deal-quickbooks-invoice", "hubspot-company-quickbooks-customer", "hubspot-contact-quickbooks-customer", "hubspot-product-quickbooks-item", "quickbooks-invoice-hubspot-marker"} {
		if all[name] == nil {
			t.Errorf("%s is not shipped", name)
		}
	}
	if len(all) != 5 {
		t.Errorf("%d mappings are shipped", len(all))
	}
}
