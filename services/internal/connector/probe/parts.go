package probe

import (
	"context"
	"fmt"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
)

// Name begins the name of everything that a probe makes.
const Name = "Tieout probe"

// Parts of what is made: nobody reads them, they only have to be told apart.
const (
	customerPart = "customer"
	itemPart     = "item"
)

// TakesBack reports whether a target can take back what is made of a kind: void
// it, or take it out of use.
func TakesBack(t connector.Target, kind document.Kind) bool {
	_, err := t.Encode(connector.Draft{Part: &document.Part{Kind: kind}, Effect: connector.Void, Current: &connector.Posting{Kind: kind}})
	return err == nil || kind == document.MarkerKind // a marker is emptied on the record that a person names
}

// Writes says what a probe of a kind writes, for a person who is asked first.
func Writes(t connector.Target, kind document.Kind, samples int) string {
	if kind == document.MarkerKind {
		return "writes the marker of the record that is named a few times, and empties it"
	}
	most := samples + 2 + mostLosses
	made := map[document.Kind]string{
		document.CustomerKind: fmt.Sprintf("makes up to %d customers", most), document.ItemKind: fmt.Sprintf("makes up to %d items", most),
		document.InvoiceKind:    fmt.Sprintf("makes a customer, an item and up to %d invoices of the smallest amount", most),
		document.CreditNoteKind: fmt.Sprintf("makes a customer, an item and up to %d invoices of the smallest amount, each with its credit note", most),
	}[kind] + fmt.Sprintf(" named %q", Name+" …")
	if !TakesBack(t, kind) {
		return made + "; nothing here can void these, so that they stay"
	}
	if kind.Financial() {
		return made + ", then voids them and takes what they name out of use"
	}
	return made + ", then takes them out of use"
}

// supply makes what documents of the kind stand on. Nothing is measured by it.
func (r *run) supply(ctx context.Context) error {
	if r.kind == document.MarkerKind {
		return r.findRecord(ctx)
	}
	if !r.kind.Financial() {
		return nil
	}
	for _, kind := range []document.Kind{document.CustomerKind, document.ItemKind} {
		x, err := r.write(ctx, kind, 0)
		if err != nil {
			return err
		}
		if x.posting == nil {
			return errNeverSeen
		}
		r.links[kind] = x.posting.Ref
	}
	return nil
}

// findRecord reads the record that a marker is written to. One that has a marker
// is left alone: a probe would have to write it back.
func (r *run) findRecord(ctx context.Context) error {
	if r.Record == "" {
		return fault.New(fault.Rejected, "a marker is written to a record that is there: name one without a marker whose marker may be written for a moment")
	}
	ref, err := event.ParseRef(r.Record)
	if err != nil {
		return err
	}
	p, err := r.Target.Get(ctx, r.kind, ref)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Record, err)
	}
	if !blank(p.Fields) {
		return fault.New(fault.Rejected, "%s has a marker already: name a record without one", r.Record)
	}
	r.links[r.kind] = ref
	return nil
}

func blank(fields map[string]string) bool {
	for _, v := range fields {
		if v != "" {
			return false
		}
	}
	return true
}

// draft is the next document of a kind, with a name and a mark of its own.
func (r *run) draft(ctx context.Context, kind document.Kind) (connector.Draft, error) {
	r.n++
	name := fmt.Sprintf("%s %s %d", Name, r.Run, r.n)
	d := connector.Draft{
		Part: &document.Part{Name: string(kind), Kind: kind, Subject: name, Mode: document.Own, Desired: document.Issued}, Effect: connector.Create,
		Mark: document.ProbeMark(r.Run, r.n), Symbol: r.Symbol, Linked: func(n document.Need) (event.Ref, bool) { ref, ok := r.links[n.Kind]; return ref, ok },
	}
	least := money.Amount{Minor: 1, Currency: r.Currency}
	switch kind {
	case document.CustomerKind:
		d.Part.Party = &document.Party{DisplayName: name, Currency: r.Currency}
	case document.ItemKind:
		d.Part.Item = &document.Item{Name: name, Account: r.Account, Price: least.Decimal(), PriceCurrency: r.Currency}
	case document.InvoiceKind:
		d.Part.Invoice = &document.Invoice{
			IssueDate: r.IssueDate, DueDate: r.IssueDate, Currency: r.Currency, Customer: Name, CustomerPart: customerPart, Note: name,
			Lines:  []document.Line{{ID: "1", Item: Name, Description: name, Quantity: money.Int(1), Price: least.Decimal(), Net: least, Tax: r.Tax, Account: r.Account}},
			Totals: document.Totals{Lines: least, Net: least},
		}
	case document.CreditNoteKind: // each of an invoice of its own: together they come to nothing
		x, err := r.write(ctx, document.InvoiceKind, 0)
		if err != nil {
			return d, err
		}
		if x.posting == nil {
			return d, errNeverSeen
		}
		d.Part.CreditNote, d.Current = &document.CreditNote{IssueDate: r.IssueDate}, x.posting
	case document.MarkerKind:
		ref := r.links[kind]
		d.Effect, d.Current = connector.Update, &connector.Posting{Ref: ref, Kind: kind}
		d.Part.Marker = &document.Marker{Record: ref.String(), Number: d.Mark, ID: Name, Status: name}
	default:
		return d, fault.New(fault.Rejected, "nothing is known about how a document of kind %s is made", kind)
	}
	return d, nil
}
