// Package event is a change in a source: one revision of one record on one
// route, at its place in a lane.
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Class says which topics an event travels on and what goes first.
type Class string

// The classes.
const (
	Realtime Class = "realtime"
	Bulk     Class = "bulk"
)

// Cause says why a revision was admitted.
type Cause string

// The causes.
const (
	Change  Cause = "change"
	Push    Cause = "push"
	Linked  Cause = "link"
	Repair  Cause = "repair"
	Posting Cause = "posting"
	Reissue Cause = "reissue"
	Requeue Cause = "requeue"
)

// Type says what happened to the record.
type Type string

// The types.
const (
	Put    Type = "put"
	Delete Type = "delete"
	Merge  Type = "merge"
	Posted Type = "posting"
	// Empty holds a number that nobody holds any more since a database was set back.
	Empty Type = "empty"
)

// LaneSeq names one slot of a lane of the same target.
type LaneSeq struct {
	Lane string
	Seq  int64
}

// Event is one revision of a source record on one route.
type Event struct {
	ID                         string
	Tenant, Entity             string
	Connection, Route, Mapping string
	Target, Lane               string
	Seq                        int64
	Class                      Class
	Ref                        Ref
	Rev, SlotNo, Render        int64
	Cause                      Cause
	Approval                   string
	Type                       Type
	MergedFrom                 []string
	After                      []LaneSeq
	OccurredAt                 time.Time
	Data, Related              []byte // RFC 8785 JSON
	DataHash                   string
	Customer                   string
	MatchOnly                  bool // matched and linked, never created
}

// ID is the event's identity: it does not depend on when or by whom the
// revision was admitted.
func ID(ref string, rev int64, route string, slotNo int64) string {
	return Digest("ev/v1", ref, strconv.FormatInt(rev, 10), route, strconv.FormatInt(slotNo, 10))
}

// Digest is the SHA-256 of the fields joined by '|', in lower-case hex.
func Digest(fields ...string) string {
	var room [256]byte // most are shorter: nothing is allocated but the result
	text := room[:0]
	for i, f := range fields {
		if i > 0 {
			text = append(text, '|')
		}
		text = append(text, f...)
	}
	sum := sha256.Sum256(text)
	var out [2 * sha256.Size]byte
	hex.Encode(out[:], sum[:])
	return string(out[:])
}

// Topic returns the topic that events of a class travel on.
func (c Class) Topic() string { return "tieout.events." + string(c) + ".v1" }

// Valid reports whether c is a class.
func (c Class) Valid() bool { return c == Realtime || c == Bulk }

// Ref is system/account/type/id.
type Ref struct{ System, Account, Type, ID string }

// ParseRef reads system/account/type/id.
func ParseRef(s string) (Ref, error) {
	var r Ref
	r.System, r.ID, _ = strings.Cut(s, "/")
	r.Account, r.ID, _ = strings.Cut(r.ID, "/")
	r.Type, r.ID, _ = strings.Cut(r.ID, "/")
	if r.System == "" || r.Account == "" || r.Type == "" || r.ID == "" {
		return Ref{}, fmt.Errorf("ref %q is not system/account/type/id", s)
	}
	return r, nil
}

// String is system/account/type/id, and empty for the zero Ref.
func (r Ref) String() string {
	if r == (Ref{}) {
		return ""
	}
	return r.System + "/" + r.Account + "/" + r.Type + "/" + r.ID
}

// AccountRef is system/account: the vendor's own id of an account, which
// survives reconnecting.
func (r Ref) AccountRef() string { return r.System + "/" + r.Account }
