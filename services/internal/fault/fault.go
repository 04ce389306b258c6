// Package fault says what to do next after something went wrong. A Kind is
// decided once, where the answer is read; nothing matches strings afterwards.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what to do next.
type Kind uint8

// The kinds. OK is the zero value and never stands in an Error.
const (
	// OK: the effect is in the books.
	OK Kind = iota
	// Transient: the connection failed before anything was sent; send again.
	Transient
	// RateLimited: refused before processing; the same call again after RetryAfter.
	RateLimited
	// Unauthorized: the grant is not accepted; refresh, then ask a person.
	Unauthorized
	// Unresolved: the answer names something that does not exist there.
	Unresolved
	// InDoubt: the effect may or may not be in the books; find out by looking.
	InDoubt
	// Conflict: the record moved; look again and plan again.
	Conflict
	// Rejected: the item is refused for good; a person must act.
	Rejected
	// NotFound: the record is not there.
	NotFound
	// Internal: we are wrong.
	Internal
)

// String is the kind's name in facts and logs.
func (k Kind) String() string {
	names := [...]string{"ok", "transient", "rate_limited", "unauthorized", "unresolved", "in_doubt", "conflict", "rejected", "not_found", "internal"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// OfConnection reports whether the kind says something about the connection
// and nothing about the item: such answers never count against an item.
func (k Kind) OfConnection() bool {
	return k == Transient || k == RateLimited || k == Unauthorized
}

// FieldBatch in an Error says that a call carried too many items: the vendor
// refused the call and judged none of them.
const FieldBatch = "batch"

// Error is an outcome that is known.
type Error struct {
	Kind       Kind
	Code       string        // the vendor's code, if it gave one
	Text       string        // the vendor's words, or ours
	Field      string        // the field at fault, if known
	Status     int           // HTTP status, 0 if there was none
	RetryAfter time.Duration // for RateLimited
	Err        error
}

// Error says what happened in one line.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind from our own words.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of an error, OK for nil and Internal where none is known.
func KindOf(err error) Kind {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// As returns the fault in err, or one of kind Internal that wraps it; nil for nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Err: err}
}
