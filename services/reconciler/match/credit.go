package match

import (
	"slices"

	"tieout.dev/services/internal/money"
)

// Credit is a credit note of ours that stands in the books, and the invoice there
// that it takes back.
type Credit struct {
	Note    Books
	Invoice string
}

// credits sets aside what was taken back: invoice and credit note both stand, and
// together they come to nothing.
func (c *comparison) credits(byRef map[string]*unit) {
	for _, credit := range c.in.Credits {
		u := byRef[credit.Invoice]
		if u == nil {
			continue // of another entity
		}
		at := slices.IndexFunc(u.books, func(b Books) bool { return b.Ref == credit.Invoice })
		if at < 0 {
			c.lone = append(c.lone, taken{u: u, note: credit.Note})
			continue
		}
		c.taken = append(c.taken, taken{u, u.books[at], credit.Note})
		u.books = slices.Delete(u.books, at, at+1)
	}
}

// taken is an invoice with its credit note.
type taken struct {
	u             *unit
	invoice, note Books
}

func (c *comparison) takenBack(x taken) {
	if c.dated(x.invoice.IssueDate) {
		c.sums.of(x.invoice.Net.Currency).books.add(c.sums, x.invoice.Net, x.invoice.Gross, true)
		c.explain(Corrected, minus(x.invoice))
	}
	if !c.dated(x.note.IssueDate) {
		return
	}
	c.countNote(x.note)
	c.explain(Corrected, portion{x.invoice.Net, x.invoice.Gross, true})
	if x.note.Net != x.invoice.Net || x.note.Gross != x.invoice.Gross {
		c.found(Amount, Edited, "", x.u.ref, x.note.Ref, x.note.state(), portion{less(x.note.Net, x.invoice.Net), less(x.note.Gross, x.invoice.Gross), true})
	}
}

// lonely is a credit note whose invoice a person voided or deleted: it takes back
// what is not there.
func (c *comparison) lonely(x taken) {
	if !c.dated(x.note.IssueDate) {
		return
	}
	c.countNote(x.note)
	c.found(Orphan, NoRecord, "", x.u.ref, x.note.Ref, x.note.state(), portion{x.note.Net, x.note.Gross, true})
}

// countNote: a credit note lowers what the books come to.
func (c *comparison) countNote(note Books) {
	c.sums.of(note.Net.Currency).books.add(c.sums, note.Net.Neg(), note.Gross.Neg(), true)
}

func less(a, b money.Amount) money.Amount {
	return money.Amount{Minor: a.Minor - b.Minor, Currency: a.Currency}
}
