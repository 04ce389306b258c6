package mappings

import "testing"

func TestAllLoad(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all["hubspot-deal-quickbooks-invoice"] == nil || all["quickbooks-invoice-hubspot-marker"] == nil {
		t.Fatalf("loaded %v", all)
	}
}
