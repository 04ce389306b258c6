package match

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/money"
)

// errTooLarge: a sum must be right or not be told at all.
var errTooLarge = errors.New("a sum does not fit 64 bits of minor units")

// sums are the rows while they grow.
type sums struct {
	rows map[rowKey]*row
	err  error
}

// rowKey is what a row is about. Customers have no currency here: they are
// counted. Nor have invoices whose amount is not known.
type rowKey struct{ kind, currency string }

const customerRow = "customer"

var invoiceRow = strings.ToLower(string(document.InvoiceKind))

type row struct {
	source, journal, books, unexplained acc
	explained                           map[string]*acc
}

// acc is a side while it grows.
type acc struct{ count, net, gross, unknown int64 }

func newSums() *sums { return &sums{rows: map[rowKey]*row{}} }

// of returns the row of invoices in a currency, or that of customers where
// there is none.
func (s *sums) of(currency string) *row {
	if currency == "" {
		return s.row(rowKey{kind: customerRow})
	}
	return s.row(rowKey{invoiceRow, currency})
}

func (s *sums) row(k rowKey) *row {
	if s.rows[k] == nil {
		s.rows[k] = &row{explained: map[string]*acc{}}
	}
	return s.rows[k]
}

func (r *row) cause(name string) *acc {
	if r.explained[name] == nil {
		r.explained[name] = &acc{}
	}
	return r.explained[name]
}

func (a *acc) add(s *sums, net, gross money.Amount, known bool) {
	a.count++
	a.net = s.plus(a.net, net.Minor)
	if known {
		a.gross = s.plus(a.gross, gross.Minor)
	} else {
		a.unknown++
	}
}

func (s *sums) plus(a, b int64) int64 {
	sum := a + b
	if (sum > a) != (b > 0) && b != 0 {
		s.err = errTooLarge
	}
	return sum
}

func (a *acc) side(currency string) Side {
	return Side{
		Count: a.count, Net: money.Amount{Minor: a.net, Currency: currency}, Gross: money.Amount{Minor: a.gross, Currency: currency}, GrossKnown: a.unknown == 0,
	}
}

// report orders what was found.
func (c *comparison) report() (*Report, error) {
	out := &Report{Breaks: c.breaks}
	for k, r := range c.sums.rows {
		currency := k.currency
		x := Row{
			Kind: k.kind, Currency: currency, Source: r.source.side(currency), Journal: r.journal.side(currency),
			Books: r.books.side(currency), Unexplained: r.unexplained.side(currency),
		}
		for cause, a := range r.explained {
			x.Explained = append(x.Explained, Explained{cause, a.side(currency)})
		}
		out.Rows = append(out.Rows, x)
	}
	out.sort()
	return out, c.sums.err
}

func (r *Report) sort() {
	slices.SortFunc(r.Rows, func(a, b Row) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(flag(a.Currency == ""), flag(b.Currency == "")), cmp.Compare(a.Currency, b.Currency))
	})
	for i := range r.Rows {
		slices.SortFunc(r.Rows[i].Explained, func(a, b Explained) int { return cmp.Compare(a.Cause, b.Cause) })
	}
	slices.SortFunc(r.Breaks, func(a, b Break) int {
		return cmp.Or(cmp.Compare(b.State, a.State), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.SourceRef, b.SourceRef), cmp.Compare(a.BooksRef, b.BooksRef))
	})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Join adds the reports of several targets: rows of one kind and currency are
// one row. They were compared apart, so nothing hides.
func Join(reports ...*Report) (*Report, error) {
	all := &comparison{sums: newSums()}
	for _, r := range reports {
		all.breaks = append(all.breaks, r.Breaks...)
		for _, x := range r.Rows {
			to := all.sums.row(rowKey{x.Kind, x.Currency})
			for _, pair := range []struct {
				to   *acc
				side Side
			}{{&to.source, x.Source}, {&to.journal, x.Journal}, {&to.books, x.Books}, {&to.unexplained, x.Unexplained}} {
				pair.to.join(all.sums, pair.side)
			}
			for _, e := range x.Explained {
				to.cause(e.Cause).join(all.sums, e.Side)
			}
		}
	}
	return all.report()
}

func (a *acc) join(s *sums, side Side) {
	a.count += side.Count
	a.net, a.gross = s.plus(a.net, side.Net.Minor), s.plus(a.gross, side.Gross.Minor)
	if !side.GrossKnown {
		a.unknown++
	}
}
