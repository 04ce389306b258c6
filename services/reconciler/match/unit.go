package match

import (
	"fmt"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// unit compares the documents of one part of one record.
func (c *comparison) unit(u *unit) {
	c.count(u)
	for _, extra := range u.books[min(1, len(u.books)):] {
		if c.dated(extra.IssueDate) {
			c.found(Duplicate, SameRecord, "", u.ref, extra.Ref, extra.state(), minus(extra))
		}
	}
	var b *Books
	if len(u.books) > 0 {
		b = &u.books[0]
	}
	want := c.want(u)
	switch {
	case want != Issued && b != nil:
		c.unwanted(u, want, b)
	case want != Issued:
		c.forgotten(u)
	case b == nil:
		c.missing(u)
	default:
		c.pair(u, b)
	}
}

// want is what the source asks for of the unit: "" where there is no record.
func (c *comparison) want(u *unit) Want {
	if u.source != nil {
		return u.source.Want
	}
	return c.records[u.ref]
}

// count adds the unit to the three sides.
func (c *comparison) count(u *unit) {
	if s := u.source; s != nil && s.Want == Issued && c.dated(s.IssueDate) {
		gross, known := u.gross()
		c.sums.of(s.Net.Currency).source.add(c.sums, s.Net, gross, known)
	}
	if j := u.journal; j != nil && c.dated(j.IssueDate) {
		c.sums.of(j.Net.Currency).journal.add(c.sums, j.Net, j.Gross, true)
	}
	for _, b := range u.books {
		if c.dated(b.IssueDate) {
			c.sums.of(b.Net.Currency).books.add(c.sums, b.Net, b.Gross, true)
		}
	}
}

// gross is what the source's document comes to, where somebody knows.
func (u *unit) gross() (money.Amount, bool) {
	switch {
	case u.journal != nil && u.journal.Net == u.source.Net:
		return u.journal.Gross, true
	case len(u.books) > 0 && u.books[0].Net == u.source.Net:
		return u.books[0].Gross, true
	}
	return money.Amount{Currency: u.source.Net.Currency}, false
}

// missing: the source asks for a document that is not in the books.
func (c *comparison) missing(u *unit) {
	if !c.dated(u.source.IssueDate) {
		return
	}
	cause, ref := NeverPosted, ""
	if u.journal != nil {
		cause, ref = Deleted, u.journal.OtherRef
		for _, b := range u.voided {
			if b.Ref == ref {
				cause = Voided
			}
		}
	}
	gross, known := u.gross()
	c.found(Missing, cause, c.in.Open[u.ref], u.ref, ref, u.source.IssueDate, portion{u.source.Net, gross, known})
}

// unwanted: a document of ours lives that the source does not ask for.
func (c *comparison) unwanted(u *unit, want Want, b *Books) {
	if !c.dated(b.IssueDate) {
		return
	}
	cause := map[Want]string{"": NoRecord, Nothing: NotWanted, Rejected: RejectedNow}[want]
	c.found(Orphan, cause, c.in.Open[u.ref], u.ref, b.Ref, b.state(), minus(*b))
}

// forgotten: neither the source nor the books have what the journal holds. They
// agree, so it is told and not held against anybody.
func (c *comparison) forgotten(u *unit) {
	if j := u.journal; j != nil && c.dated(j.IssueDate) {
		c.found(Stale, GoneUnwanted, GoneUnwanted, u.ref, j.OtherRef, "", zero(j.Net.Currency))
	}
}

// pair compares what the source asks for with the document that stands for it.
// A date in another period shifts the document there; it is compared where the
// source has it, and the two periods' shifts cancel.
func (c *comparison) pair(u *unit, b *Books) {
	s := u.source
	in, out := c.dated(s.IssueDate), c.dated(b.IssueDate)
	switch {
	case in && !out:
		c.explain(Timing, portion{b.Net, b.Gross, true})
	case !in && out:
		c.explain(Timing, minus(*b))
	}
	if !in {
		return
	}
	j, known := u.known[b.Ref]
	edited := known && (j.Void || j.Net != b.Net || j.Gross != b.Gross || j.IssueDate != b.IssueDate || j.Content != "" && j.Content != b.Content)
	state := s.IssueDate + " " + b.state()
	switch {
	case edited:
		c.found(Stale, Edited, c.moving(u.ref), u.ref, b.Ref, state, u.difference(b)...)
	case s.Net != b.Net:
		c.found(Amount, SourceChanged, c.in.Open[u.ref], u.ref, b.Ref, state, u.difference(b)...)
	case !known:
		c.explain(NotInJournal, zero(b.Net.Currency))
	}
}

// moving is why a record has not come to rest. That a person discarded its change
// explains what is missing or not as the source says, not what was edited by hand.
func (c *comparison) moving(ref string) string {
	if cause := c.in.Open[ref]; cause != Discarded {
		return cause
	}
	return ""
}

// difference is source minus books: one portion, or one for each of two currencies.
func (u *unit) difference(b *Books) []portion {
	s := u.source
	gross, known := u.gross()
	if s.Net.Currency != b.Net.Currency {
		return []portion{minus(*b), {s.Net, gross, known}}
	}
	return []portion{{
		net:   money.Amount{Minor: s.Net.Minor - b.Net.Minor, Currency: b.Net.Currency},
		gross: money.Amount{Minor: gross.Minor - b.Gross.Minor, Currency: b.Net.Currency}, known: known,
	}}
}

// stranger is a live document that belongs to no record.
func (c *comparison) stranger(b Books) {
	if !c.dated(b.IssueDate) {
		return
	}
	c.sums.of(b.Net.Currency).books.add(c.sums, b.Net, b.Gross, true)
	switch {
	case document.IsProbe(b.Mark):
		c.found(Orphan, ProbeLeft, ProbeLeft, "", b.Ref, b.state(), minus(b))
		return
	case strings.HasPrefix(b.Mark, "TO-"):
		c.found(Orphan, UnknownMark, "", "", b.Ref, b.state(), minus(b))
		return
	}
	c.found(Orphan, NotOurs, NotOurs, "", b.Ref, b.state(), minus(b))
}

// portion is a part of the difference in one currency, source minus books.
type portion struct {
	net, gross money.Amount
	known      bool // gross is
}

func minus(b Books) portion { return portion{b.Net.Neg(), b.Gross.Neg(), true} }

func zero(currency string) portion {
	return portion{money.Amount{Currency: currency}, money.Amount{Currency: currency}, true}
}

// state is all that is compared of a document in the books.
func (b Books) state() string {
	return fmt.Sprintf("%d %d %s %s %s", b.Net.Minor, b.Gross.Minor, b.Net.Currency, b.IssueDate, b.Content)
}

// found records a difference. It is explained by a person who accepted it or by
// what is on its way, or open. The state tells one difference of two records
// from a later one where the portions do not.
func (c *comparison) found(kind Kind, cause, explanation, sourceRef, booksRef, state string, portions ...portion) {
	b := Break{
		ID: BreakID(kind, c.in.Entity, sourceRef, booksRef, c.in.Period), Entity: c.in.Entity, Target: c.in.Target, Kind: kind, Cause: cause,
		SourceRef: sourceRef, BooksRef: booksRef, Amount: portions[0].net, State: Open, Repair: repair(kind, cause),
	}
	b.Difference = event.Digest("difference/v1", string(kind), b.Entity, b.Target, sourceRef, booksRef, cause, state, fmt.Sprint(portions))
	if by, ok := c.in.Accepted[b.Difference]; ok {
		b.accept(by)
		c.explain(ByPerson, portions...)
		c.breaks = append(c.breaks, b)
		return
	}
	if explanation == "" && c.in.Seen != nil && !c.in.Seen[b.ID] {
		explanation = InFlight
	}
	if explanation != "" {
		b.State, b.Cause = Settled, explanation
		b.Repair = repair(kind, explanation)
		c.explain(explanation, portions...)
	} else {
		for _, p := range portions {
			c.sums.of(p.net.Currency).unexplained.add(c.sums, p.net, p.gross, p.known)
		}
	}
	c.breaks = append(c.breaks, b)
}

// accept keeps the cause: the state says that it does not stand open.
func (b *Break) accept(by Acceptance) {
	b.State, b.Acceptance = Accepted, by
	b.Repair = "None: " + by.Actor + " accepted it: " + by.Reason
}

func (c *comparison) explain(cause string, portions ...portion) {
	for _, p := range portions {
		c.sums.of(p.net.Currency).cause(cause).add(c.sums, p.net, p.gross, p.known)
	}
}
