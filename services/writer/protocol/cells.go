package protocol

import (
	"sort"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
)

// change is what a rendering asks of a document that stands in the books: a
// row of the life cycle.
type change string

const (
	changeAmount  change = "amount or lines"
	changeNote    change = "note"
	changeTerms   change = "due date"
	changeDate    change = "issue date"
	changeParty   change = "customer or currency"
	changeTax     change = "tax status"
	changeLost    change = "lost, reopened or cancelled"
	changeDeleted change = "deleted at the source"
)

// cell is the state of the books, by a fresh read: a column of the life cycle.
type cell string

const (
	cellOpen   cell = "O"  // open, nothing allocated
	cellSent   cell = "O+" // the same, and sent to the customer
	cellPartly cell = "P"
	cellClosed cell = "F"
	cellLocked cell = "L" // dated in a closed period, whatever its status
	cellVoid   cell = "V"
)

// words say a cell to a person.
func (c cell) words() string {
	switch c {
	case cellSent:
		return "sent to the customer"
	case cellPartly:
		return "partly paid"
	case cellClosed:
		return "paid"
	case cellLocked:
		return "in a closed period"
	case cellVoid:
		return "void"
	}
	return "open"
}

// state says to a person what stands in the books, by what was read.
func state(at cell, cur *connector.Posting) string {
	words := at.words()
	if at == cellLocked && settled(cur) {
		words += " and " + cellOf(cur, "").words()
	}
	return words + " (cell " + string(at) + ")"
}

// settled: the customer has the document, or has paid of it.
func settled(cur *connector.Posting) bool {
	switch cellOf(cur, "") {
	case cellSent, cellPartly, cellClosed:
		return true
	}
	return false
}

// cellOf names the state of the books. A lock date comes before everything
// else but a void: nothing in a closed period moves.
func cellOf(p *connector.Posting, lockedThrough string) cell {
	switch {
	case p.IsVoid():
		return cellVoid
	case locked(p.IssueDate, lockedThrough):
		return cellLocked
	case p.Status == connector.Partly:
		return cellPartly
	case p.Status == connector.Closed:
		return cellClosed
	case p.Sent:
		return cellSent
	}
	return cellOpen
}

// locked reports whether a date lies in a closed period; dates are YYYY-MM-DD,
// so that their order is that of their text.
func locked(date, through string) bool { return date != "" && through != "" && date <= through }

// changesOf sorts the fields that differ into the rows of the life cycle. A
// connector's normal form names them: customer, currency, issue_date, due_date,
// note, purchase_order, lines and line.N.….
func changesOf(base, want map[string]string) []change {
	if sameFields(want, base) {
		return nil
	}
	found := map[change]bool{}
	for k, v := range want { // a set, sorted below: the order of the map is not seen
		if base[k] == v {
			continue
		}
		found[changeOfField(k)] = true
	}
	if found[changeAmount] {
		delete(found, changeTax) // lines that moved bring their tax codes along
	}
	out := make([]change, 0, len(found))
	for c := range found {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

func changeOfField(key string) change {
	switch key {
	case "customer", "currency":
		return changeParty
	case "issue_date":
		return changeDate
	case "due_date":
		return changeTerms
	case "note", "purchase_order":
		return changeNote
	}
	if strings.HasPrefix(key, "line.") && strings.HasSuffix(key, ".tax") {
		return changeTax
	}
	return changeAmount
}

// ruling is what the life cycle says about one change in one cell.
type ruling struct {
	do    duty
	kind  exception.Kind // of the exception, where a person must act
	fix   string
	field string // of the exception, where one is concerned
}

type duty uint8

const (
	leave duty = iota // nothing to do: the books keep what they have
	put
	void
	person
)

// The fields of exceptions that a reissue answers though the document stands: a
// person agrees that it is voided, or credited, and issued anew.
const (
	FieldTaxStatus = "tax_status"
	FieldClosed    = "closed_period"
)

// Agreeable reports whether an exception of a field is answered so.
func Agreeable(field string) bool { return field == FieldTaxStatus || field == FieldClosed }

// ask leaves it to a person.
func ask(k exception.Kind, fix string) ruling { return ruling{do: person, kind: k, fix: fix} }

// rule is the life cycle of an invoice. Cells O, L and V are worked in full
// (N is a create); in O+, P and F a correction is another document, which a
// person makes.
func rule(c change, at cell) ruling {
	switch at {
	case cellOpen:
		return ruleOpen(c)
	case cellVoid:
		return ruleVoid(c)
	case cellLocked:
		return ruleLocked(c)
	}
	return ruleSettled(c, at)
}

func ruleOpen(c change) ruling {
	switch c {
	case changeLost:
		return ruling{do: void}
	case changeDeleted:
		return ask(exception.Conflict, "the record was deleted while its invoice stands: void the invoice in the books and retry, or discard to keep it")
	case changeParty:
		return ruling{do: void} // and issued anew, under the next number
	case changeTax:
		return ruling{person, exception.Tax, "reissue: the invoice is voided and issued anew with the right tax code, under another number; or discard with the reason", FieldTaxStatus}
	}
	return ruling{do: put}
}

func ruleVoid(c change) ruling {
	switch c {
	case changeAmount:
		return ask(exception.Conflict, "a person voided the invoice in the books: reissue it, or correct the record at the source, or discard")
	}
	return ruling{do: leave}
}

func ruleLocked(c change) ruling {
	switch c {
	case changeTerms, changeDate:
		return ruling{do: leave}
	case changeAmount:
		return ruling{person, exception.Period, "reissue: the invoice is credited in full and issued anew, both dated the first open day; or have the period reopened and retry; or discard with the reason", FieldClosed}
	case changeLost:
		return ruling{person, exception.Period, "reissue: the invoice is credited in full, dated the first open day; or have the period reopened and retry; or discard with the reason", FieldClosed}
	}
	return ask(exception.Period, "the books take no change in a closed period: have it reopened and retry, or discard with the reason")
}

// ruleRead is the life cycle for a document that was read: what was sent or paid is
// not taken back in full, in a closed period neither.
func ruleRead(c change, at cell, cur *connector.Posting) ruling {
	r := rule(c, at)
	if r.field == FieldClosed && settled(cur) {
		return ask(exception.Period, "book the correction in an open period in the books, settle with the customer what was sent or paid, then discard with the reason; or have the period reopened and retry")
	}
	return r
}

func ruleSettled(c change, at cell) ruling {
	fix := "credit the invoice in full in the books and issue a new one, then discard with the reason"
	switch {
	case c == changeDate && at != cellSent, c == changeTerms && at == cellClosed:
		return ruling{do: leave}
	case c == changeNote, c == changeTerms:
		fix = "make the change in the books by hand, then discard with the reason"
	case c == changeAmount && at != cellSent:
		fix = "book the difference in the books (an invoice or a credit note), then discard with the reason"
	case c == changeLost:
		fix = "credit the invoice in the books, then discard with the reason"
		if at != cellSent {
			fix = "credit the invoice in the books and settle what was paid with the customer, then discard with the reason"
		}
	case c == changeDeleted:
		fix = "decide with the customer's account whether the invoice stands, then discard with the reason"
	}
	return ask(exception.Unsupported, fix)
}

// judge takes the strictest ruling of all changes: a person before a void
// before an update.
func judge(changes []change, at cell, cur *connector.Posting) (ruling, change) {
	out, why := ruling{}, change("")
	for _, c := range changes {
		if r := ruleRead(c, at, cur); r.do > out.do {
			out, why = r, c
		}
	}
	return out, why
}

// voidChange is the row that a void belongs to.
func voidChange(cause document.VoidCause) change {
	if cause == document.Deleted {
		return changeDeleted
	}
	return changeLost
}
