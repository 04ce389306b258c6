package writer

import (
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// link stores one between a record and a document.
func (d *desk) link(source, kind, target, other string) {
	d.t.Helper()
	d.exec(`INSERT INTO link (source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number)
		VALUES ($1, $2, $2, 1, $3, $4, 'primary', '', '{}', 1, 1, '', '')`, source, kind, target, other)
}

// The source of a record stays its source when its invoice was written back,
// whichever of the two is asked about.
func TestTheSourceStaysTheSourceOnceItWasWrittenBack(t *testing.T) {
	d := newDesk(t)
	paged := func() *connector.Connection {
		return &connector.Connection{Page: func(r event.Ref) string { return "https://" + r.String() }}
	}
	d.server.w.deps.Connections["books/1"], d.server.w.deps.Connections["crm/1"] = paged(), paged()
	d.link("crm/1/deal/7", "INVOICE", "books/1", "books/1/invoice/9")
	d.link("books/1/invoice/9", "MARKER", "crm/1", "crm/1/deal/7")
	for _, ref := range []string{"crm/1/deal/7", "books/1/invoice/9"} {
		res, err := d.server.GetDocument(t.Context(), &controlv1.GetDocumentRequest{Ref: ref})
		if err != nil || res.GetSourceUrl() != "https://crm/1/deal/7" || res.GetUrl() != "https://"+ref || len(res.GetItems()) != 2 {
			t.Errorf("of %s: %v, %v", ref, res, err)
		}
	}
}
