// Package match compares three lists of documents: what the source asks for as
// the approved mapping renders it, what we believe (the journal), and what
// stands in the books. It is pure: the same lists in any order give the same
// report.
//
// It compares document by document, so two errors never hide each other. For
// each kind and currency it holds, to the minor unit, that
//
//	source.net − books.net = Σ explained.net + unexplained.net
//
// with every net and gross signed as source minus books, and every count of
// explained and unexplained the number of documents concerned. Agreement means
// that unexplained.count is 0; the sums alone could be 0 by chance.
//
// Gross is the books' own: a source does not know it. What the source should
// come to is taken from the journal, or else from the books, where their net is
// the source's; a document of which neither holds is left out of gross sums.
//
// A record that is to be booked and cannot be rendered counts at the source in a
// row of its own, without a currency: nobody can say what it comes to.
package match

import (
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// Want is what the source asks for.
type Want string

// The wants: a rejected record may want a document, but nobody can say which.
const (
	Issued   Want = "issued"
	Nothing  Want = "nothing"
	Rejected Want = "rejected"
)

// Source is a live record of the source, as one part of its rendering; one
// without any part has Part empty. A rejected one has a date if it is to be booked.
type Source struct {
	Ref, Part string
	Want      Want
	Net       money.Amount
	IssueDate string
}

// Journal is the newest state of a document as its op was settled.
type Journal struct {
	SourceRef, Part string
	N               int64
	OtherRef        string
	Void            bool
	Credited        bool // a credit note takes it back
	Net, Gross      money.Amount
	IssueDate       string
	Content         string // digest of the fields; empty where it is not known
}

// Books is a document as it stands in the books.
type Books struct {
	Ref, Mark  string
	Void       bool
	Net, Gross money.Amount
	IssueDate  string
	Content    string
}

// Input are the three lists of one target, whole: what is not in them is not there.
type Input struct {
	Entity, Target string
	// Period names the period; From and To bound it, both YYYY-MM-DD, To
	// exclusive. Empty means everything. Documents of other periods are given
	// too where they are known, so that a shifted date is seen as such.
	Period, From, To string
	Sources          []Source
	Journal          []Journal
	Books            []Books
	Credits          []Credit
	// Links lead from source records to their customers, Customers are the live
	// customers of the books; they have no dates and belong to every period.
	Links     []Link
	Customers []string
	// Open are the source refs that are on their way or parked, with why.
	Open map[string]string
	// Accepted are the differences that a person accepted as they are.
	Accepted map[string]Acceptance
	// Seen are the ids of the breaks of an earlier look. A difference that is
	// in one look and not in the other moves; it is no break yet. Nil: this is
	// the first look.
	Seen map[string]bool
}

// Side is a count and its sums. GrossKnown is false where a gross is missing.
type Side struct {
	Count      int64
	Net, Gross money.Amount
	GrossKnown bool
}

// Explained is a part of the difference that has a cause.
type Explained struct {
	Cause string
	Side  Side
}

// Row compares the sides for a kind and a currency.
type Row struct {
	Kind, Currency         string
	Source, Journal, Books Side
	Explained              []Explained
	Unexplained            Side
}

// Kind of a break.
type Kind string

// The kinds.
const (
	Missing   Kind = "missing"   // in the source, not in the books
	Orphan    Kind = "orphan"    // in the books, not in the source
	Amount    Kind = "amount"    // the source's net differs from what we posted
	Duplicate Kind = "duplicate" // two live documents of one record
	Stale     Kind = "stale"     // the books differ from what we posted
)

// The states of a break.
const (
	Open     = "open"
	Settled  = "explained"
	Accepted = "accepted"
)

// The causes. Those of Input.Open explain too.
const (
	NeverPosted   = "never_posted"
	Voided        = "voided_in_books"
	Deleted       = "deleted_in_books"
	Edited        = "edited_in_books"
	Removed       = "customer_removed_in_books"
	SourceChanged = "source_changed"
	NotWanted     = "not_wanted"
	RejectedNow   = "rejected_by_mapping"
	NoRecord      = "no_source_record"
	UnknownMark   = "unknown_mark"
	SameRecord    = "same_record"
	// Of credit notes.
	CreditGone   = "credit_deleted_in_books"
	CreditEdited = "credit_edited_in_books"
	CreditAlone  = "credit_without_invoice"
	// These explain.
	NotOurs      = "not_ours"       // entered by others
	ProbeLeft    = "probe_left"     // 'connections probe' made it and has not taken it back
	Discarded    = "discarded"      // a person decided so
	InFlight     = "in_flight"      // on its way, or seen in one look only
	Timing       = "timing"         // dated in another period
	Corrected    = "corrected"      // taken back by a credit note, which may be dated in another period
	NotInJournal = "not_in_journal" // books and source agree; the trail has not told us yet
	GoneUnwanted = "gone_and_unwanted"
	GoneAtSource = "gone_at_source" // the books keep a customer whose record was removed
	ByPerson     = "accepted"       // a person accepted it, with a reason
)

// Break is one difference between two records of one truth.
type Break struct {
	ID, Entity, Target  string
	Kind                Kind
	Cause               string
	SourceRef, BooksRef string
	Amount              money.Amount // net, source minus books; that of the books where their currencies differ
	State, Repair       string
	// Difference is what exactly differs, in whatever period: an edit makes it another.
	Difference string
	Acceptance Acceptance // of an accepted one
}

// Acceptance is who accepted a difference, and why.
type Acceptance struct{ Actor, Reason string }

// BreakID is the identity of a break: found twice, it is one.
func BreakID(kind Kind, entity, sourceRef, booksRef, period string) string {
	return event.Digest(string(kind), entity, sourceRef, booksRef, period)
}

// Report is what a comparison found.
type Report struct {
	Rows   []Row
	Breaks []Break
}

// Unexplained reports whether a difference has no cause.
func (r *Report) Unexplained() bool {
	for _, row := range r.Rows {
		if row.Unexplained.Count > 0 {
			return true
		}
	}
	return false
}

// OpenIDs are the breaks without a cause.
func (r *Report) OpenIDs() map[string]bool {
	out := map[string]bool{}
	for _, b := range r.Breaks {
		if b.State == Open {
			out[b.ID] = true
		}
	}
	return out
}

// Compare makes the report of one target.
func Compare(in Input) (*Report, error) {
	c := &comparison{in: in, sums: newSums()}
	c.group()
	for _, u := range c.ordered() {
		c.unit(u)
	}
	for _, x := range c.taken {
		c.takenBack(x)
	}
	for _, b := range c.strangers {
		c.stranger(b)
	}
	c.refusals()
	c.customers()
	return c.report()
}
