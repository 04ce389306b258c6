// Package admission decides what a read record means: a new revision, a
// repeat, or a read that came too late. It is pure; ingest's transaction
// carries its decisions out.
package admission

import (
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// Object is what is known of a record. The zero value is a record never seen.
type Object struct {
	Rev     int64
	Hash    string
	Version string
	// ReadNo is the highest number of a read that was admitted or that repeated
	// what was known.
	ReadNo  int64
	Deleted bool
	// Qualified: it was something to be booked when it was read last.
	Qualified bool
	// Pushed: a caller handed it over, and no read has found it in its source since.
	Pushed bool
}

// Read is a record as one numbered read brought it. Numbers are handed out
// when a read starts, so no clock decides which of two reads is newer.
type Read struct {
	No     int64
	Record connector.Record
	Cause  event.Cause
	// Pushed: the record is as a caller handed it over.
	Pushed bool
	// Merges: the source names records as merged into this one that were not known
	// to be; the record itself may say what it said before.
	Merges bool
	// Merged is the number of the last read that had started when the record's
	// customer was found to be merged away, 0 if it was not: what an older read
	// brought may still name it, and what the customer had has moved on since.
	Merged int64
	// Floor is what revisions go on above, 0 unless the database was set back:
	// numbers that were given in the life that is lost are not given again.
	Floor int64
}

// Verdict is what a read means.
type Verdict string

// The verdicts.
const (
	// Admit: a new revision.
	Admit Verdict = "admit"
	// Duplicate: the state is known.
	Duplicate Verdict = "duplicate"
	// Stale: a newer read was admitted meanwhile, or its customer's merge; the
	// record is read again.
	Stale Verdict = "stale"
	// Unusable: the record cannot get a lane; a person must look.
	Unusable Verdict = "unusable"
)

// Decision is what follows from a read.
type Decision struct {
	Verdict Verdict
	Object  Object // as it is afterwards
	Type    event.Type
}

// DeletedHash stands for a record that is gone.
const DeletedHash = "deleted"

// Decide compares a read with what is known. The hash is compared with the
// last one only, so A, B, A are three revisions; link, reissue and requeue ask for a
// revision without a change.
func Decide(o Object, r Read) Decision {
	hash := r.Record.Hash
	if r.Record.Deleted {
		hash = DeletedHash
	}
	same := o.Rev > 0 && o.Hash == hash && !r.Merges
	switch {
	case same && !forced(r.Cause):
		o.ReadNo = max(o.ReadNo, r.No)
		o.Version, o.Qualified, o.Pushed = r.Record.Version, !r.Record.QualifiedAt.IsZero(), r.Pushed
		return Decision{Verdict: Duplicate, Object: o}
	case r.No < o.ReadNo, r.Merged > 0 && r.No <= r.Merged:
		return Decision{Verdict: Stale, Object: o}
	case o.Rev == 0 && r.Record.Deleted && (r.Floor == 0 || r.Record.Absent) && !r.Merges:
		return Decision{Verdict: Duplicate, Object: o} // never seen alive: nothing to undo, or pushed in the life that is lost
	case r.Record.Problem != "" && !r.Record.Deleted:
		return Decision{Verdict: Unusable, Object: o}
	}
	next := Object{Rev: max(o.Rev, r.Floor) + 1, Hash: hash, Version: r.Record.Version, ReadNo: max(o.ReadNo, r.No), Deleted: r.Record.Deleted, Qualified: !r.Record.QualifiedAt.IsZero(), Pushed: r.Pushed}
	return Decision{Verdict: Admit, Object: next, Type: typeOf(r.Record)}
}

func forced(c event.Cause) bool {
	return c == event.Linked || c == event.Reissue || c == event.Requeue
}

func typeOf(r connector.Record) event.Type {
	switch {
	case r.Deleted:
		return event.Delete
	case len(r.MergedFrom) > 0:
		return event.Merge
	}
	return event.Put
}

// FloorFor is what revisions go on above after a restore at a moment, in
// microseconds: moments do not repeat when one backup is restored twice, however soon
// after the other. A record has no revision in each of a life's microseconds, so none
// of it reaches the next life's, and numbers stay below 2^53 for two centuries.
func FloorFor(micros int64) int64 { return micros/1e6<<20 + micros%1e6<<20/1e6 }

// Doubted is a record of a database that was set back: what it says of the
// content is not believed, so that the next read makes a revision.
func Doubted(o Object) Object {
	o.Hash = ""
	return o
}
