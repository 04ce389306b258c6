// Package link joins a record of a source and a document in the books.
package link

import "tieout.dev/services/internal/document"

// State of a link.
type State string

// The states: held is known and not issued; alias points where another
// record's primary link points; void, credited and gone end a document.
const (
	Primary  State = "primary"
	Held     State = "held"
	Alias    State = "alias"
	Void     State = "void"
	Credited State = "credited"
	Gone     State = "gone"
)

// Key names a link: which document of which part of which record.
type Key struct {
	SourceRef string
	Kind      document.Kind
	Part      string
}

// Link is a cross-reference in our store; its mark stands in the books.
type Link struct {
	Key
	N           int64
	OtherTarget string
	OtherRef    string
	State       State
	MappingHash string
	// Base holds the owned fields as the books last confirmed them.
	Base         map[string]string
	BaseRev      int64
	Rev          int64
	OtherVersion string
	Number       string
	// AliasOf is the record that this one was merged into.
	AliasOf string
	// Explain says how the link was found: the rung, the keys compared, the candidates.
	Explain string
}

// Live reports whether the document is wanted in the books and stands there.
func (l Link) Live() bool { return l.State == Primary || l.State == Alias || l.State == Held }

// Merged reports whether a merge made what the link leads to another record's, which
// speaks for it from then on.
func (l Link) Merged() bool { return l.State == Alias && l.AliasOf != "" }
