// Package document is what shall be true in the books: the whole desired
// document of one business fact, in the terms of EN 16931 (BT and BG numbers
// are those of EN 16931-1), and never a change to one.
package document

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// Kind of a document.
type Kind string

// The kinds that a mapping may name today.
const (
	CustomerKind Kind = "CUSTOMER"
	ItemKind     Kind = "ITEM"
	InvoiceKind  Kind = "INVOICE"
	MarkerKind   Kind = "MARKER"
	// CreditNoteKind is what corrects an invoice in a closed period. No mapping names
	// it: the writer makes it once a person agreed.
	CreditNoteKind Kind = "CREDIT_NOTE"
)

// Financial reports whether the kind moves money: such a document is read
// afresh before it is changed, and it is never deleted.
func (k Kind) Financial() bool { return k == InvoiceKind || k == CreditNoteKind }

// Desired is what shall be true.
type Desired string

// The desired states. VOIDED also means never made.
const (
	Draft  Desired = "DRAFT"
	Issued Desired = "ISSUED"
	Voided Desired = "VOIDED"
)

// VoidCause says why a document is voided.
type VoidCause string

// The causes.
const (
	Lost      VoidCause = "LOST"
	Reopened  VoidCause = "REOPENED"
	Cancelled VoidCause = "CANCELLED"
	Deleted   VoidCause = "DELETED"
)

// Mode of a part: own is about the event's record; ensure is create-only and
// about another subject.
type Mode string

// The modes.
const (
	Own    Mode = "own"
	Ensure Mode = "ensure"
)

// Verdict of a rendering.
type Verdict string

// The verdicts.
const (
	Documents Verdict = "documents"
	Nothing   Verdict = "nothing"
	Rejected  Verdict = "rejected"
)

// Address (BG-8).
type Address struct {
	Lines                                  []string // BT-50, 51, 163
	City, PostalCode, Subdivision, Country string   // BT-52, 53, 54, 55 (ISO 3166-1 alpha-2)
}

// Party is a buyer (BG-7).
type Party struct {
	DisplayName, LegalName string // BT-44
	GivenName, FamilyName  string
	Email, Phone           string // BT-58, BT-57
	Billing                *Address
	Currency               string   // ISO 4217; the books fix it at first use
	Assumed                []string // what the mapping assumed, in words
	TaxID                  string   // BT-48, with its country prefix
}

// Item is what a line sells (BG-31).
type Item struct {
	SKU, Name, Description string // BT-155, 153, 154
	Account                string // symbol, bound by the entity
	Price                  money.Decimal
	PriceCurrency          string
}

// Line of an invoice (BG-25).
type Line struct {
	ID, Item, Description string        // BT-126, source ref of the item, BT-153
	Quantity              money.Decimal // BT-129
	Unit                  string        // UNECE Rec 20 (BT-130)
	Price                 money.Decimal // major units (BT-146)
	Net                   money.Amount  // BT-131
	Allowance             money.Amount  // BT-136, already off Net; zero value if none
	Tax, Account          string        // symbols, bound by the entity
}

// Totals of an invoice (BG-22).
type Totals struct {
	Lines, Net, Tax, Gross money.Amount // BT-106, 109, 110, 112
}

// Invoice (BT-3 type 380).
type Invoice struct {
	IssueDate, DueDate     string   // YYYY-MM-DD (BT-2, BT-9)
	Currency               string   // BT-5
	Customer, CustomerPart string   // source ref and part of its link
	Note, PurchaseOrder    string   // BT-22, BT-13
	ShipTo                 *Address // BG-15
	Lines                  []Line
	Totals                 Totals
}

// CreditOf begins the name of the part that takes back another part's document, of
// the same number.
const CreditOf = "credit:"

// CreditNote (BT-3 type 381) takes back an invoice in full.
type CreditNote struct {
	IssueDate string // BT-2
}

// Marker is what is written back to a source's record about a posting.
type Marker struct {
	Record, Number, ID, Status string
}

// Need is a link that a part waits for.
type Need struct {
	Ref  string
	Kind Kind
	Part string
}

// Part is one document of a rendering; at most one of the last five is set,
// and none where it is voided.
type Part struct {
	Name       string
	Kind       Kind
	Mode       Mode
	Desired    Desired
	VoidCause  VoidCause
	Subject    string
	Needs      []Need
	Party      *Party
	Item       *Item
	Invoice    *Invoice
	CreditNote *CreditNote
	Marker     *Marker
}

// Unmatched is a route's policy for a record that matches nothing in the books.
type Unmatched string

// The policies; the zero value creates.
const (
	MakeIt Unmatched = "create"
	Park   Unmatched = "park"
)

// Reason of a rejection.
type Reason struct{ Kind, Field, Detail, Rule string }

// Rendering is what one event means for one target.
type Rendering struct {
	EventID, Tenant, Entity, Route string
	Target, Lane                   string
	Seq                            int64
	Class                          event.Class
	Ref                            string
	Rev, SlotNo, Render            int64
	Cause                          event.Cause
	Type                           event.Type
	Approval, Customer             string
	After                          []event.LaneSeq
	OccurredAt                     time.Time
	MappingHash                    string
	Verdict                        Verdict
	Reason                         Reason
	Parts                          []Part
	// MergedFrom names the records that were merged away.
	MergedFrom []string
	// MatchOnly: matched and linked, never created. UpdateOnly: a record without
	// a document in the books stays without one.
	MatchOnly, UpdateOnly bool
	Unmatched             Unmatched
}

// Topic returns the topic that renderings of a class travel on.
func Topic(c event.Class) string { return "tieout.documents." + string(c) + ".v1" }

// Gross returns what a part is worth, and false where it has no amount. Where
// the target computes the tax the gross is not known yet, and the net stands
// for it.
func (p *Part) Gross() (money.Amount, bool) {
	if p.Invoice == nil {
		return money.Amount{}, false
	}
	if t := p.Invoice.Totals; t.Gross != (money.Amount{}) {
		return t.Gross, true
	}
	return p.Invoice.Totals.Net, true
}

// OpID is an op's identity. It never depends on delivery, mapping or time; an
// ensure part carries no revision, so two lanes share one op.
func OpID(tenant, target string, p *Part, rev int64, effect string, n int64) string {
	revision := strconv.FormatInt(rev, 10)
	if p.Mode == Ensure {
		revision, effect = "", "ensure"
	}
	return event.Digest("op/v1", tenant, target, p.Subject, revision, effect, p.Name, strconv.FormatInt(n, 10))
}

// Mark is the reference that people and searches find in the books: TO- and
// 13 characters, the same for every update of one document.
func Mark(target, subject, part string, n int64) string {
	var room [256]byte // most are shorter: nothing is allocated but the result
	text := append(room[:0], target...)
	text = append(append(text, '|'), subject...)
	text = append(append(text, '|'), part...)
	text = strconv.AppendInt(append(text, '|'), n, 10)
	sum := sha256.Sum256(text)
	var out [19]byte // 10 bytes are 16 letters, of which 13 are used
	copy(out[:], "TO-")
	base32.StdEncoding.Encode(out[3:], sum[:10])
	return string(out[:16])
}

// probed begins the marks of what a probe makes. Eight characters of 13 stay: one
// document in 30 million begins so by chance, and a mark that a record has wins.
const probed = "TO-PROBE"

// ProbeMark is the mark of the nth document that a probe makes. It reads as any mark
// does, so that searches find it, and belongs to no record.
func ProbeMark(run string, n int) string {
	sum := sha256.Sum256([]byte("probe/v1|" + run + "|" + strconv.Itoa(n)))
	return probed + base32.StdEncoding.EncodeToString(sum[:5])
}

// IsProbe reports whether a mark is of a probe's document.
func IsProbe(mark string) bool { return strings.HasPrefix(mark, probed) }
