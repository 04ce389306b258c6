package protocol

import (
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
)

// An invoice in a closed period is not touched. Once a person agreed it is
// credited in full, dated the first open day, and what the record asks for now is
// issued anew, dated the same: as after a void, under the next number.

// correct credits a document. After a restore its credit note was looked for before.
func (t *turn) correct(h *Head, p *document.Part, l *link.Link, cur *connector.Posting, through string) verdict {
	note := creditFor(p)
	note.CreditNote = &document.CreditNote{IssueDate: firstOpen(through)}
	return t.dispatch(h, &note, connector.Create, l.N, cur, nil)
}

// creditFor is the part that takes back the documents of another.
func creditFor(p *document.Part) document.Part {
	return document.Part{Name: document.CreditOf + p.Name, Kind: document.CreditNoteKind, Mode: document.Own, Desired: document.Issued, Subject: p.Subject}
}

// credited ends the link of what a credit note was made for: it stands in the
// books, and nothing of it is owed. The note mirrors it, so its amounts are known.
func (t *turn) credited(s *Slot, subject, note string, n int64, c *connector.Posting) {
	part := strings.TrimPrefix(note, document.CreditOf)
	for _, l := range t.v.Links[link.Key{SourceRef: subject, Kind: document.InvoiceKind, Part: part}] {
		if l.N != n || !l.Live() {
			continue
		}
		l.State = link.Credited
		t.ch.Links = append(t.ch.Links, l)
		p := linkedPosting(l)
		p.Kind, p.Status, p.IssueDate, p.Currency, p.Customer = l.Kind, connector.Credited, l.Base["issue_date"], c.Currency, c.Customer
		p.Net, p.Tax, p.Gross = c.Net, c.Tax, c.Gross
		t.fact(Fact{
			Type: "link.credited", Slot: s, Outcome: string(link.Credited), Detail: "by credit note " + strings.TrimSpace(c.Number+" "+c.Ref.String()), Posting: p,
			Op: &Op{Part: l.Part, N: l.N, Kind: l.Kind, Subject: l.SourceRef},
		})
	}
}

// wasCredited: a document of the part was, so the person who agreed wants what
// follows it dated in an open period.
func (t *turn) wasCredited(p *document.Part) bool {
	for _, l := range t.v.Links[link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}] {
		if l.State == link.Credited {
			return true
		}
	}
	return false
}

// redated is a part whose issue date is at least a day, with the same terms.
func redated(p *document.Part, day string) *document.Part {
	if p.Invoice == nil || p.Invoice.IssueDate >= day {
		return p
	}
	out, invoice := *p, *p.Invoice
	invoice.IssueDate = day
	invoice.DueDate = shifted(p.Invoice.DueDate, p.Invoice.IssueDate, day)
	out.Invoice = &invoice
	return &out
}

// shifted moves a due date as far as the issue date moved.
func shifted(due, from, to string) string {
	at, err := time.Parse(time.DateOnly, due)
	begin, err2 := time.Parse(time.DateOnly, from)
	end, err3 := time.Parse(time.DateOnly, to)
	if err != nil || err2 != nil || err3 != nil {
		return due
	}
	return at.Add(end.Sub(begin)).Format(time.DateOnly)
}

// firstOpen is the day after the one through which the books are closed.
func firstOpen(through string) string {
	at, err := time.Parse(time.DateOnly, through)
	if err != nil {
		return through
	}
	return at.AddDate(0, 0, 1).Format(time.DateOnly)
}
