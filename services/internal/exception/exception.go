// Package exception is a record that a person must look at. It is released or
// discarded, and never vanishes.
package exception

import "time"

// Kind of an exception: a closed list.
type Kind string

// The kinds.
const (
	Validation  Kind = "validation"
	Mapping     Kind = "mapping"
	Match       Kind = "match"
	Dependency  Kind = "dependency"
	Amount      Kind = "amount"
	Tax         Kind = "tax"
	Currency    Kind = "currency"
	Period      Kind = "period"
	Conflict    Kind = "conflict"
	Doubt       Kind = "doubt"
	Credential  Kind = "credential"
	Connection  Kind = "connection"
	Collision   Kind = "collision"
	Size        Kind = "size"
	Merge       Kind = "merge"
	PartVanish  Kind = "part_vanished"
	Unsupported Kind = "unsupported"
	Recovery    Kind = "recovery"
)

// State of an exception.
type State string

// The states.
const (
	Open      State = "open"
	Released  State = "released"
	Discarded State = "discarded"
)

// Exception names the record, what happened, who must act and what to do.
type Exception struct {
	ID           string
	Kind         Kind
	State        State
	Target, Lane string
	Seq          int64
	Subject      string
	Customer     string
	Reason       string
	Field        string
	Fix          string
	Rule         string
	Owner        string
	VendorCode   string
	VendorText   string
	TraceID      string
	OpenedAt     time.Time
	WaitingUntil time.Time
	ActedBy      string
	ActedAt      time.Time
	Action, Note string
}

// Help is who acts on a kind and what to do.
type Help struct{ Owner, Fix string }

// HelpFor returns who acts on a kind and what to do. Every kind has one; a
// test walks Kinds.
func HelpFor(k Kind) Help {
	switch k {
	case Validation:
		return Help{"finance", "correct the field at the source; the corrected record is taken up by itself, or retry"}
	case Mapping:
		return Help{"operator", "correct the mapping, raise its version, then rerender or retry"}
	case Match:
		return Help{"finance", "more than one or a contradicting record stands in the books: merge or rename there, then retry"}
	case Dependency:
		return Help{"finance", "the record it waits for has not arrived: sync it, or discard this one"}
	case Amount:
		return Help{"finance", "the amounts contradict each other: correct the lines or the total at the source"}
	case Tax:
		return Help{"finance", "bind or correct the tax code of the entity, then retry"}
	case Currency:
		return Help{"finance", "use a currency that the books have switched on, or switch it on there, then retry"}
	case Period:
		return Help{"finance", "the period is closed in the books: choose an open date at the source, or reopen it, then retry"}
	case Conflict:
		return Help{"finance", "a person changed or deleted the document in the books: settle it there, then retry or discard"}
	case Doubt:
		return Help{"finance", "look for the document in the books by its TO- mark, then retry"}
	case Credential:
		return Help{"operator", "authorize the connection again"}
	case Connection:
		return Help{"tieout", "nothing to do: it is probed and resumes by itself"}
	case Collision, Recovery:
		return Help{"operator", "a database was set back: follow the recovery runbook"}
	case Size:
		return Help{"crm admin", "the record is too large: split it at the source"}
	case Merge:
		return Help{"finance", "merge the two customers in the books"}
	case PartVanish:
		return Help{"operator", "the mapping no longer names a part that has a document: name it, or discard"}
	case Unsupported:
		return Help{"finance", "make the correction in the books by hand, then discard with the reason"}
	}
	return Help{}
}

// Kinds is the closed list, in the order of the runbook.
func Kinds() []Kind {
	return []Kind{
		Validation, Mapping, Match, Dependency, Amount, Tax, Currency, Period, Conflict, Doubt, Credential, Connection,
		Collision, Size, Merge, PartVanish, Unsupported, Recovery,
	}
}
