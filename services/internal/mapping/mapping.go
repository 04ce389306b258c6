// Package mapping turns a record of one system into the documents of another.
// A mapping is data: YAML whose rules are CEL expressions over a declared
// schema of the source. It is checked whole when it is loaded; rendering is
// pure and total, so every event has exactly one rendering, also one that no
// rule foresaw.
package mapping

import (
	"tieout.dev/services/internal/document"
)

// Limits of what a rendering may hold.
const (
	maxLines  = 500
	maxWeight = 1_000_000
)

// Mapping is one version of a mapping, checked and compiled. It is safe for
// concurrent use.
type Mapping struct {
	Name    string
	Version string
	// Hash is the SHA-256 of the content: comments, layout and the order of
	// keys do not count.
	Hash   string
	System string // of the source
	Type   string // of the source's records
	// Kinds are the documents that it may render.
	Kinds []document.Kind

	schema *schema
	values map[string]*rule
	parts  []*part
	rules  []Rule
}

// Rule is one line of the field matrix.
type Rule struct {
	// Name is the part and the field of the target: invoice.due_date.
	Name string `json:"name"`
	// Sources are the fields that are read, also through values: deal.closedate.
	Sources []string `json:"sources"`
	// Expression is the rule as CEL, or a symbol that the entity binds.
	Expression string `json:"expression"`
	// Calculated: the field is not taken over as it is.
	Calculated bool `json:"calculated"`
}

// Rules is the field matrix, in the order of the file.
func (m *Mapping) Rules() []Rule { return m.rules }

// part is one named document of the mapping.
type part struct {
	name      string
	kind      document.Kind
	mode      document.Mode
	each      *each
	subject   *rule
	when      *rule
	refused   []refusing
	voided    []voiding
	needs     []string
	customer  string // INVOICE: the part that is its customer
	fields    *block
	otherwise *part // where each finds nothing
	lines     *lines
}

// each is a list that is gone through, and what an item of it is called.
type each struct {
	item string
	list *rule
}

// voiding says when and why a document shall not stand.
type voiding struct {
	cause document.VoidCause
	when  *rule
}

// refusing says of which records no document can be made, and what to do.
type refusing struct {
	when *rule
	say  string
}

// lines are an invoice's: one for each item of a list, or one otherwise.
type lines struct {
	each      *each
	item      string // the part that names what a line sells
	fields    *block
	otherwise *block
	split     []share // what the one line otherwise is split into
}

// share is one part of an amount that is split over several lines.
type share struct {
	weight      int64
	description *rule // nil: the line's own
}

// everyCurrency: a customer's own part without a currency.
func (p *part) everyCurrency() bool {
	return p.kind == document.CustomerKind && p.mode == document.Own && p.fields.rules["currency"] == nil
}

// block are the fields of one document or line: rules by field, and symbols
// that the entity binds to names in the books.
type block struct {
	name    string
	rules   map[string]*rule
	symbols map[string]string
}

// field is one field of a target document.
type field struct {
	name     string
	kind     fieldKind // text, decimal, or symbol
	required bool
}

// symbol is a field that the entity binds; it is written as a word.
const symbol fieldKind = "symbol"

// fieldsOf are the fields that a mapping may fill.
func fieldsOf(k document.Kind) []field {
	switch k {
	case document.CustomerKind:
		return []field{
			{"display_name", text, true}, {"legal_name", text, false}, {"given_name", text, false}, {"family_name", text, false},
			{"email", text, false}, {"phone", text, false}, {"address", text, false}, {"address2", text, false}, {"city", text, false},
			{"postal_code", text, false}, {"subdivision", text, false}, {"country", text, false}, {"assume_country", text, false}, {"currency", text, false},
			{"tax_id", text, false},
		}
	case document.ItemKind:
		return []field{{"name", text, true}, {"sku", text, false}, {"description", text, false}, {"price", decimal, false}, {"account", symbol, true}}
	case document.InvoiceKind:
		return []field{
			{"issue_date", text, true}, {"due_date", text, true}, {"currency", text, true}, {"note", text, false}, {"purchase_order", text, false},
			{"ship_address", text, false}, {"ship_address2", text, false}, {"ship_city", text, false}, {"ship_postal_code", text, false},
			{"ship_subdivision", text, false}, {"ship_country", text, false},
		}
	case document.MarkerKind:
		return []field{{"record", text, true}, {"number", text, false}, {"id", text, true}, {"status", text, true}}
	}
	return nil
}

// lineFields are those of an invoice's lines. discount_each is an amount of
// each unit, discount_percent is of the whole line.
func lineFields() []field {
	return []field{
		{"id", text, true}, {"description", text, true}, {"quantity", decimal, true}, {"price", decimal, true}, {"discount_each", decimal, false},
		{"discount_percent", decimal, false}, {"currency", text, false}, {"unit", symbol, true}, {"account", symbol, true}, {"tax", symbol, true},
	}
}
