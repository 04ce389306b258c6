package lab

import (
	"strconv"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// Who writes.
const (
	tenant = "t"
	entity = "e"
)

// render is what the mapping makes of an event: pure, like the real one.
func render(e *admitted, mapping string) *document.Rendering {
	r := &document.Rendering{
		EventID: e.id, Tenant: tenant, Entity: entity, Route: e.route, Target: booksSystem + "/" + itoa(int64(e.site+1)), Lane: e.lane, Seq: e.seq, Class: e.class, Ref: e.ref.String(),
		Rev: e.rev, SlotNo: e.slotNo, Render: e.render, Cause: e.cause, Type: e.typ, Customer: e.lane, After: e.after, MergedFrom: e.losers,
		OccurredAt: time.UnixMicro(e.changed), MappingHash: mapping, Verdict: document.Documents, MatchOnly: e.data.matchOnly,
	}
	switch {
	case e.typ == event.Empty:
		r.Verdict = document.Nothing
	case e.ref.Type == "company":
		r.UpdateOnly = !e.data.strict
		r.Parts = []document.Part{{Name: "customer", Kind: document.CustomerKind, Mode: document.Own, Desired: document.Issued, Subject: r.Ref, Party: party(e.data.name)}}
	case e.data.unclear && e.data.wantedAt(e.site):
		r.Verdict, r.Reason = document.Rejected, document.Reason{Kind: string(exception.Amount), Detail: "the amounts contradict each other"}
	default:
		r.Parts = deal(e)
	}
	return r
}

func party(name string) *document.Party {
	return &document.Party{DisplayName: name, Currency: "EUR"}
}

// itemOf is what a deal is about: one item for all, or its own.
func itemOf(d *state) (ref, name string) {
	if d.product != "" {
		return "crm/1/product/" + d.product, "Widget " + d.product
	}
	return "crm/1/product/1", "Widget"
}

// wantedAt: the deal is to stand in the books of a site.
func (d *state) wantedAt(site int) bool { return d.won && !d.deleted && d.site == site }

// deal is one invoice, or two; while it is not won they shall not stand.
func deal(e *admitted) []document.Part {
	d, subject := e.data, e.ref.String()
	if !d.wantedAt(e.site) {
		cause := document.Reopened
		switch {
		case d.deleted:
			cause = document.Deleted
		case d.lost:
			cause = document.Lost
		}
		return []document.Part{{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Voided, VoidCause: cause, Subject: subject}}
	}
	billed := d.company
	if d.payer != nil {
		billed = d.payer
	}
	customer := billed.ref.String()
	itemRef, item := itemOf(d)
	out := []document.Part{
		{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Subject: customer, Party: party(billed.name)},
		{Name: "item", Kind: document.ItemKind, Mode: document.Ensure, Desired: document.Issued, Subject: itemRef, Item: &document.Item{Name: item, Account: "sales"}},
	}
	if d.strict { // it waits for the company's own record
		out = out[1:]
	}
	needs := []document.Need{{Ref: customer, Kind: document.CustomerKind, Part: "customer"}, {Ref: itemRef, Kind: document.ItemKind, Part: "item"}}
	for _, name := range parts[:1+b2i(d.shipping)] {
		out = append(out, document.Part{Name: name, Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Issued, Subject: subject, Needs: needs, Invoice: &document.Invoice{
			IssueDate: day(d.day), Currency: "EUR", Customer: customer, CustomerPart: "customer", Note: strconv.Itoa(d.note), Lines: taxed[d.tax],
			Totals: document.Totals{Net: money.Amount{Minor: d.amount, Currency: "EUR"}},
		}})
	}
	return out
}

// taxed are the lines of an invoice by their tax code: what they say besides is in
// the totals.
var taxed = [][]document.Line{{{Tax: "standard"}}, {{Tax: "reduced"}}}

// day is a date of the month in which everything happens.
func day(n int) string { return "2026-11-0" + strconv.Itoa(n) }
