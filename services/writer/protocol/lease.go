package protocol

import (
	"time"

	"tieout.dev/services/internal/document"
)

// Lease is who owns a target: an epoch, which each taking raises, and the
// process that took it. Both must agree, since an epoch comes round again when
// a database is set back.
type Lease struct {
	Epoch int64
	Owner string
}

// Holds reports whether the target's row still names this lease. An owner that
// holds it no longer changes nothing and sends nothing.
func (l Lease) Holds(row Lease) bool { return l == row }

// MayLeave is the send guard: bytes leave soon after the decision, or not at
// all, so that a frozen process which thaws cannot send into a later time.
func MayLeave(guard, waited time.Duration) bool { return guard <= 0 || waited <= guard }

// Receipt is what becomes of a rendering whose place is taken.
type Receipt uint8

// The receipts.
const (
	// Repeat: it is known.
	Repeat Receipt = iota
	// Newer: the same event, rendered again; a turn takes it over.
	Newer
	// Collision: another event stands there, so a database went back.
	Collision
)

// Receive decides about a rendering whose place holds an event already.
func Receive(storedEvent string, storedRender int64, r *document.Rendering) Receipt {
	switch {
	case storedEvent != r.EventID:
		return Collision
	case r.Render > storedRender:
		return Newer
	}
	return Repeat
}
