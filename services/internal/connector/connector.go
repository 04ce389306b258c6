// Package connector is the contract between Tieout and a vendor's system. An
// interface here is a specification: what may repeat, what must be durable,
// which fault for what. A connector makes promises (Claims) and a conformance
// suite proves them.
package connector

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// Spec describes a connector: one value for each system, listed in connectors.go.
type Spec struct {
	System string
	// Types are the object types that a source reads, with their schema.
	Types []Type
	// Kinds are the document kinds that a target writes.
	Kinds []document.Kind
	// Secrets and settings that a connection can be configured with, by name.
	Secrets, Settings []string
	// Open makes a connection from its configuration; it sends nothing.
	Open func(Config) (*Connection, error)
}

// Type is an object type of a source and the properties that count: a change
// to another property is no new revision. Marker fields, which Tieout itself
// writes, are never among them.
type Type struct {
	Name   string
	Fields []string
}

// Config is one configured connection.
type Config struct {
	Connection string // id, never part of an identity
	Account    string // system/account
	BaseURL    string
	Settings   map[string]string // what the connector's guide names
	Secrets    map[string]Secret
	Tokens     Tokens
	HTTP       http.RoundTripper
	Now        func() time.Time
	Log        *slog.Logger
}

// Tokens hands out access tokens. Refresh is told which token was refused and
// returns another one; it is single-flight and stores before it returns.
type Tokens interface {
	Token(ctx context.Context) (string, error)
	Refresh(ctx context.Context, refused string) (string, error)
}

// Connection is what a connector offers for one account; what it does not
// offer is nil.
type Connection struct {
	Source  Source
	Webhook Webhook
	Target  Target
	Claims  Claims
	// Children are object types whose hints are answered by the aggregates that
	// own them: child type -> owner's type.
	Children map[string]string
	// Setup makes what write-backs need at the vendor; it may be repeated.
	Setup func(ctx context.Context) error
	// Page returns the address of a record's page at the vendor, or "".
	Page func(ref event.Ref) string
	// RefreshToken trades a refresh token for new tokens, where the vendor has them.
	RefreshToken func(ctx context.Context, refresh string) (Grant, error)
	// Consent asks a person at the vendor to let the app in; nil without an app.
	Consent *Consent
	// Missing names what Setup would make; it changes nothing.
	Missing func(ctx context.Context) ([]string, error)
	// Check reads a little and says, one by one, what works and what does not.
	Check func(ctx context.Context) []Check
}

// Grant is what a token endpoint answers.
type Grant struct {
	Access, Refresh         Secret
	Expires, RefreshExpires time.Time
}

// Secret is a string that does not print.
type Secret string

// String is "redacted".
func (Secret) String() string { return "redacted" }

// GoString is "redacted".
func (Secret) GoString() string { return "redacted" }

// LogValue is "redacted".
func (Secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Source reads a system of record.
type Source interface {
	// Changes yields what changed since a cursor, oldest first. It may repeat
	// and must not skip; a cursor stands for everything yielded before it. An
	// empty cursor means from now on, with the vendor's usual overlap. It ends
	// without an error only when everything up to its start was yielded.
	Changes(ctx context.Context, typ, since string) iter.Seq2[Change, error]
	// Fetch reads aggregates as they are now, in few requests, in any order. A
	// record that is gone is answered with Deleted; one that is unusable with
	// Problem; one that was merged away by its survivor, which names it in
	// MergedFrom; a child by its owners. An error means that none of the answer
	// counts.
	Fetch(ctx context.Context, typ string, ids []string) ([]Record, error)
	// List yields the refs of all live records of a type.
	List(ctx context.Context, typ string) iter.Seq2[event.Ref, error]
}

// Archiver is a source whose changes do not show that a record was taken away,
// and that can list those that were.
type Archiver interface {
	// Archived yields the archived or deleted records of a type, as far back as
	// the vendor knows them; an error means that the listing is not complete.
	Archived(ctx context.Context, typ string) iter.Seq2[Gone, error]
}

// Gone is a record that was taken away. What was merged into it before may be known
// where it never was.
type Gone struct {
	Ref        event.Ref
	MergedFrom []event.Ref
}

// Counter is a source that knows how many live records of a type there are,
// for an estimate.
type Counter interface {
	Count(ctx context.Context, typ string) (int64, error)
}

// Change is a ref to look at, and the cursor after it; one without a ref moves
// the cursor alone. Version is the vendor's
// version of the object that changed, if the listing shows it: a version that
// was admitted already need not be read again.
type Change struct {
	Ref     event.Ref
	Cursor  string
	Version string
}

// Hint is a ref that a webhook named.
type Hint struct {
	Ref event.Ref
	// DeliveryID identifies an exact repeat of the same delivered item.
	DeliveryID string
}

// Webhook verifies and reads a vendor's webhook.
type Webhook interface {
	// Receive checks the signature before anything else. body is what was sent,
	// public the URL that the vendor signs. A forged or stale one is a fault of
	// kind Unauthorized, an unreadable one of kind Rejected. Hints may name
	// other accounts of the same app.
	Receive(r *http.Request, public string, body []byte) ([]Hint, error)
}

// Record is an aggregate of a source as it was read: the object, its children
// and its association ids.
type Record struct {
	Ref       event.Ref
	Version   string    // the vendor's, "" if it has none
	ChangedAt time.Time // by the vendor
	// CreatedAt is when the record was made, and QualifiedAt when it became
	// something to be booked (a deal was won); zero where it did not or that is
	// not known. A route's cut-off is judged by both.
	CreatedAt, QualifiedAt time.Time
	Deleted                bool
	// Absent: it counts as deleted since the source knows no such record, archived or not.
	Absent     bool
	MergedFrom []event.Ref
	// Customer is the object's customer as the source names it: its lane.
	Customer event.Ref
	// Data is RFC 8785 JSON of the aggregate, numbers as decimal strings.
	Data []byte
	// Related is RFC 8785 JSON of snapshots by ref, for ensure parts only.
	Related []byte
	// Hash covers the fields of the schema.
	Hash string
	// Problem says why the record cannot get a lane: a sentence for a person.
	Problem string
}

// Ambiguity says what can be done when an answer was lost.
type Ambiguity string

// The classes: A remembers keys, B has an enforced unique reference, C can be
// searched, D has none of these.
const (
	KeyRemembered   Ambiguity = "A"
	UniqueReference Ambiguity = "B"
	Searchable      Ambiguity = "C"
	Opaque          Ambiguity = "D"
)

// Claims are a connection's promises; a sandbox's durations are seconds, a
// vendor's minutes.
type Claims struct {
	Ambiguity      map[document.Kind]Ambiguity
	KeyLife        time.Duration // class A
	SearchLag      time.Duration // how long a write may be missing from a search
	LongestRequest time.Duration // how long after sending a request may take effect
	Guard          time.Duration // bytes leave within this of the decision, or not at all
	BatchSize      int
	MaxInFlight    int
	Limits         []Limit
	BatchLimits    []Limit       // of calls with several items, within Limits
	Quarantine     time.Duration // Guard + LongestRequest + SearchLag unless set
	// Match lists, by kind, the keys that Find can search by, strongest first.
	Match map[document.Kind][]string
	// LockDates: the books have a day through which they are closed, and the
	// target is a Locker.
	LockDates bool
}

// Keys of the matching ladder.
const (
	ByMark  = "mark"
	ByTaxID = "tax_id"
	ByEmail = "email"
	BySKU   = "sku"
	ByName  = "name"
)

// Limit is so many requests in a window.
type Limit struct {
	Requests int
	Window   time.Duration
}

// Q is how long a doubtful write must rest before "not found" counts.
func (c Claims) Q() time.Duration {
	if c.Quarantine > 0 {
		return c.Quarantine
	}
	return c.Guard + c.LongestRequest + c.SearchLag
}

// Effect is what a request does to the books.
type Effect string

// The effects. A customer or an item that is voided is taken out of use.
const (
	Create Effect = "create"
	Update Effect = "update"
	Void   Effect = "void"
)

// Draft is what Encode turns into bytes.
type Draft struct {
	Part   *document.Part
	Effect Effect
	Mark   string // TO-…: searchable in the books
	// Linked returns the ref in these books of a link, and false if there is none.
	Linked func(document.Need) (event.Ref, bool)
	// Symbol returns the vendor's id of a bound symbol (kind "account", "tax",
	// "term", "currency"), and false where it is not resolved.
	Symbol func(kind, symbol string) (string, bool)
	// Current is the fresh read that an update or void stands on.
	Current *Posting
	// Base holds what both sides last agreed on, for an update of a customer or
	// an item: only what differs from it is sent.
	Base map[string]string
}

// Encoded is a frozen request.
type Encoded struct {
	Body []byte
	// Fields are the document's owned fields in the vendor's normal form. They
	// compare with Posting.Fields: equal on all of these keys means unchanged. A
	// financial document's are named customer, currency, issue_date, due_date,
	// note, purchase_order, lines and line.N.…; what is not ours to say is left out.
	Fields map[string]string
}

// Item is one op of a call.
type Item struct {
	OpID   string
	Kind   document.Kind
	Effect Effect
	Mark   string
	Body   []byte
}

// Call is one request to a vendor. Its key and items are frozen.
type Call struct {
	Key   string // UUID
	Items []Item
}

// Outcome is what became of one item. Err is nil when Posting is in the books.
type Outcome struct {
	Posting *Posting
	Err     error // a *fault.Error
}

// Posting is what the books say about one document.
type Posting struct {
	Ref                   event.Ref
	Kind                  document.Kind
	Mark                  string // our mark, if it carries one
	Number, Version       string
	Status                Status
	Active                bool
	Sent                  bool // to the customer
	Name, Email           string
	Customer              event.Ref
	Currency, IssueDate   string
	Net, Tax, Gross, Open money.Amount
	CreatedAt, ChangedAt  time.Time
	Fields                map[string]string
}

// IsVoid reports whether the document itself is void. A marker may say that an invoice
// is, and stands.
func (p *Posting) IsVoid() bool { return p.Kind.Financial() && p.Status == Voided }

// Content is a digest of the fields: two readings of a document with the same
// content were not edited between.
func (p *Posting) Content() string {
	names := make([]string, 0, len(p.Fields))
	for name := range p.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := []string{"content/v1"}
	for _, name := range names {
		parts = append(parts, name, p.Fields[name])
	}
	return event.Digest(parts...)
}

// Status of a document in the books.
type Status string

// The states: open, partly paid, closed, void.
const (
	Open   Status = "open"
	Partly Status = "partly_paid"
	Closed Status = "closed"
	Voided Status = "void"
	// Credited: it stands, and a credit note takes it back in full.
	Credited Status = "credited"
)

// Probe describes what Find looks for. The connector searches by what the
// vendor can filter and compares the mark itself.
type Probe struct {
	Kind         document.Kind
	Mark         string
	Name         string
	SKU          string
	Email        string
	TaxID        string
	Customer     event.Ref
	Since, Until time.Time
	Gross        money.Amount
	// Wide also finds records of other kinds that hold the name.
	Wide bool
}

// Locker is a target whose books can be closed through a day.
type Locker interface {
	// LockedThrough returns that day, YYYY-MM-DD, or "" where they are open.
	LockedThrough(ctx context.Context) (string, error)
}

// Target writes a system's books.
type Target interface {
	// Encode is pure: equal input, equal bytes. A fault of kind Rejected names
	// the field; Unresolved names the symbol or link that is missing.
	Encode(Draft) (Encoded, error)
	// Put sends a call and returns one outcome per item, never one for all. It
	// sends nothing twice. An item without an answer of its own is InDoubt.
	Put(ctx context.Context, call Call) []Outcome
	// Find returns what matches a probe, in any order.
	Find(ctx context.Context, p Probe) ([]Posting, error)
	// Get reads one document; NotFound if it is gone.
	Get(ctx context.Context, kind document.Kind, ref event.Ref) (Posting, error)
	// List yields the documents of a kind dated within [from, to), both
	// YYYY-MM-DD or empty; an error means that the scan is incomplete.
	List(ctx context.Context, kind document.Kind, from, to string) iter.Seq2[Posting, error]
}

// Reference is an entry of the books' own tables.
type Reference struct{ Kind, Key, ID, Attrs string }

// Referencer is a target whose documents name accounts, tax codes or terms.
type Referencer interface {
	// References reads the tables that symbols are bound in, whole.
	References(ctx context.Context) ([]Reference, error)
}
