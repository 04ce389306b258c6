package lab

import (
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
)

// In the general mix there are two books, and deals go from one to the other: what
// they had in the first is void there, and they stand in the second.
func TestDealsGoFromOneTargetToAnother(t *testing.T) {
	moved := 0
	for seed := range uint64(200) {
		w := playWorld(seed, Options{Mix: "all"}, NewCoverage(), nil, &room{})
		if len(w.sites) != 2 {
			t.Fatalf("seed %d has %d targets", seed, len(w.sites))
		}
		for _, r := range w.crm.records {
			if r.isDeal() && stands(w.sites[0], r, false) && stands(w.sites[1], r, true) {
				moved++
			}
		}
	}
	if moved == 0 {
		t.Error("no deal of 200 schedules stands in the second books and is void in the first")
	}
}

// stands reports whether a deal has an invoice at a site that stands, or one that does not.
func stands(s *site, r *record, want bool) bool {
	for _, d := range s.books.docs {
		if d.kind == document.InvoiceKind && d.subject == r.ref.String() && (d.status != connector.Voided) == want {
			return true
		}
	}
	return false
}
