package match

import (
	"slices"

	"tieout.dev/services/internal/money"
)

// Credit is a credit note of ours, and the invoice in the books that it takes back.
type Credit struct {
	Was     Journal // as it was settled
	Mark    string
	Invoice string
	// Note is what stands in the books; one that a person entered again is known by
	// the mark. Nil: there is none.
	Note *Books
}

// taken is an invoice that was taken back. It has no invoice where a person voided or
// deleted it since.
type taken struct {
	Credit
	u       *unit
	invoice *Books
}

// credits sets aside what was taken back: invoice and credit note both stand, and
// together they come to nothing.
func (c *comparison) credits(byRef map[string]*unit) {
	for _, credit := range c.in.Credits {
		u := byRef[credit.Invoice]
		if u == nil {
			continue // of another entity
		}
		x := taken{Credit: credit, u: u}
		if at := slices.IndexFunc(u.books, func(b Books) bool { return b.Ref == credit.Invoice }); at >= 0 {
			invoice := u.books[at]
			x.invoice, u.books = &invoice, slices.Delete(u.books, at, at+1)
		}
		c.taken = append(c.taken, x)
	}
}

func (c *comparison) takenBack(x taken) {
	note := x.Note
	switch {
	case x.invoice == nil && note == nil:
		return
	case x.invoice == nil:
		c.alone(x)
		return
	case note == nil:
		c.owedAgain(x)
		return
	}
	if c.dated(x.invoice.IssueDate) {
		c.countTaken(*x.invoice)
		c.explain(Corrected, minus(*x.invoice))
	}
	difference := zero(note.Net.Currency)
	if c.dated(note.IssueDate) {
		c.countNote(*note)
		c.explain(Corrected, portion{x.invoice.Net, x.invoice.Gross, true})
		difference = portion{less(note.Net, x.invoice.Net), less(note.Gross, x.invoice.Gross), true}
	}
	same := note.Net == x.invoice.Net && note.Gross == x.invoice.Gross
	if here := c.dated(note.IssueDate) || c.dated(x.Was.IssueDate); here && (x.edited() || !same) {
		c.found(Stale, CreditEdited, "", x.u.ref, note.Ref, note.state(), difference)
	}
}

// edited: a person changed the credit note, also if it still comes to the same.
func (x *taken) edited() bool {
	n, was := x.Note, x.Was
	return n.Ref == was.OtherRef && (n.IssueDate != was.IssueDate || was.Content != "" && n.Content != was.Content)
}

// owedAgain: the credit note is gone, and the invoice that it took back stands.
func (c *comparison) owedAgain(x taken) {
	difference := zero(x.invoice.Net.Currency)
	switch {
	case c.dated(x.invoice.IssueDate):
		c.countTaken(*x.invoice)
		difference = minus(*x.invoice)
	case !c.dated(x.Was.IssueDate):
		return
	}
	c.found(Stale, CreditGone, "", x.u.ref, x.Was.OtherRef, x.invoice.state(), difference)
	if b := &c.breaks[len(c.breaks)-1]; b.State == Open {
		b.Repair += " " + x.Mark + "."
	}
}

// alone: a person voided or deleted the invoice that the credit note takes back.
func (c *comparison) alone(x taken) {
	if !c.dated(x.Note.IssueDate) {
		return
	}
	c.countNote(*x.Note)
	c.found(Orphan, CreditAlone, "", x.u.ref, x.Note.Ref, x.Note.state(), portion{x.Note.Net, x.Note.Gross, true})
}

func (c *comparison) countTaken(invoice Books) {
	c.sums.of(invoice.Net.Currency).books.add(c.sums, invoice.Net, invoice.Gross, true)
}

// countNote: a credit note lowers what the books come to.
func (c *comparison) countNote(note Books) {
	c.sums.of(note.Net.Currency).books.add(c.sums, note.Net.Neg(), note.Gross.Neg(), true)
}

func less(a, b money.Amount) money.Amount {
	return money.Amount{Minor: a.Minor - b.Minor, Currency: a.Currency}
}
