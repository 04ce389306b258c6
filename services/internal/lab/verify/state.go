package verify

import (
	"regexp"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// markPattern is our mark, wherever a vendor lets us put it.
var markPattern = regexp.MustCompile(`TO-[A-Z2-7]{13}`)

// State is everything that was recorded, at one moment of each place.
type State struct {
	Running  bool                // services run on it
	Accounts map[string]*Account // by system/account
	Ingest   Ingest
	Writer   Writer
	Audit    Audit
	Services map[string]*Service // what each of the five has besides
	Logs     map[Partition]Log   // nil: the broker was not asked
}

// Account is what a vendor recorded of one of its accounts.
type Account struct {
	Objects []*Object
	// Ours are the requests that our connection made; a person made the others.
	Ours map[int64]bool
	byID map[string]*Object
}

// Object is a record at a vendor with its history.
type Object struct {
	Type, ID string
	Deleted  bool
	Versions []Version
}

// Version is what an object said from one request on.
type Version struct {
	Request int64
	Data    map[string]any
}

// Last is what it says now.
func (o *Object) Last() Version { return o.Versions[len(o.Versions)-1] }

// marks are all marks that the object ever bore.
func (o *Object) marks() map[string]bool {
	out := map[string]bool{}
	for _, v := range o.Versions {
		if m := markOf(v.Data); m != "" {
			out[m] = true
		}
	}
	return out
}

// markOf is the mark in a record of QuickBooks: of an invoice in its private
// note, of an item in its description, of a customer in its notes.
func markOf(data map[string]any) string {
	for _, field := range []string{"PrivateNote", "Description", "Notes"} {
		if m := markPattern.FindString(textOf(data, field)); m != "" {
			return m
		}
	}
	return ""
}

func textOf(data map[string]any, field string) string {
	s, _ := data[field].(string)
	return s
}

// get finds an object by type and id.
func (a *Account) get(typ, id string) *Object {
	if a.byID == nil {
		a.byID = map[string]*Object{}
		for _, o := range a.Objects {
			a.byID[o.Type+"/"+o.ID] = o
		}
	}
	return a.byID[typ+"/"+id]
}

// object finds a record by its full ref.
func (s *State) object(ref string) *Object {
	r, err := event.ParseRef(ref)
	if err != nil || s.Accounts[r.AccountRef()] == nil {
		return nil
	}
	return s.Accounts[r.AccountRef()].get(r.Type, r.ID)
}

// byPerson tells whether somebody else made the version.
func (s *State) byPerson(account string, v Version) bool {
	a := s.Accounts[account]
	return a != nil && !a.Ours[v.Request]
}

// Ingest is what ingest's store holds.
type Ingest struct {
	Started int64 // µs: when the first route was first run
	Objects map[string]SourceObject
	Aliases map[string]string
	Hints   map[string]bool // refs that are to be read
	Due     int64           // hints that are due now
	Raised  map[string]bool // refs with an open exception
	Events  []Event
	SetBack bool                    // the database was, once
	Newest  map[string]*event.Event // by ref: the newest event of a routed record
}

// SourceObject is what is known of a record.
type SourceObject struct {
	Rev     int64
	Deleted bool
}

// Event is one revision on one route.
type Event struct {
	Target, Lane      string
	Seq               int64
	ID, Ref           string
	Rev               int64
	Route, Outcome    string
	Published, Ended  bool
	Admitted, EndedAt int64
}

// Place is a slot's address.
type Place struct {
	Target, Lane string
	Seq          int64
}

// Writer is what the writer's store holds.
type Writer struct {
	Slots      map[Place]Slot
	Lanes      map[Place]Lane // Seq is 0
	Ops        []Op
	Links      []Link
	Wants      map[string]Want // by subject: what its newest settled rendering says of its own invoices
	Unsettled  int64           // calls
	Paused     map[string]string
	Exceptions int64 // open
	SetBack    bool  // the database was, once
}

// Slot is a place in a lane.
type Slot struct{ State, Outcome, EventID, Subject string }

// Lane is a customer's queue.
type Lane struct {
	Next             int64
	State, Exception string
}

// Op is one effect on a target.
type Op struct {
	ID, Target, Lane     string
	Seq                  int64
	Part                 string
	N                    int64
	Kind, Effect         string
	Subject              string
	Rev                  int64
	State, Mark, TheirID string // TheirID: ref at the target
}

// Link joins a source's record and a target's.
type Link struct {
	SourceRef, Kind, Part string
	N                     int64
	Target, OtherRef      string
	State, Number         string
}

// Want is what a rendering says shall stand in the books.
type Want struct {
	Target string
	Rev    int64
	Parts  map[string]WantPart
}

// WantPart is one document of it.
type WantPart struct {
	Desired document.Desired
	Net     money.Amount
}

// Audit is what audit's store holds.
type Audit struct {
	Streams map[Stream]Range
	// Sent and Settled count the facts about each op; Settled in one life.
	Sent, Settled map[string]int64
	// Posted are the ops about invoices that were settled, as the facts tell: also those
	// that a database that was set back forgot.
	Posted []Op
}

// Stream is one incarnation of a producer's stream.
type Stream struct {
	Name        string
	Incarnation int64
}

// Range is which facts of a stream are there.
type Range struct{ Count, First, Last int64 }

// Service is what every service's store holds.
type Service struct {
	Streams     map[Stream]int64 // the last number that was given
	Unpublished int64
	Offsets     map[Partition]Offset
}

// Partition of a topic.
type Partition struct {
	Topic string
	ID    int
}

// Offset is a consumer's row.
type Offset struct {
	Next    int64
	TopicID string
	// Group is the offset that the consumer group committed, -1 if none.
	Group int64
}

// Log is what the broker has of a partition.
type Log struct {
	Start, End int64
	TopicID    string
}

// held tells whether a person's decision, or a lane that waits for one, holds a
// place.
func (s *State) held(p Place) bool {
	slot, ok := s.Writer.Slots[p]
	if !ok {
		return false
	}
	if slot.State == "aside" {
		return true
	}
	l := s.Writer.Lanes[Place{Target: p.Target, Lane: p.Lane}]
	return slot.State == "queued" && (l.Exception != "" || l.State == "parked" || l.State == "waiting") && l.Next <= p.Seq
}

// Waits tells whether something of a source's record is held for a person.
func (s *State) Waits(ref string) bool {
	if s.Ingest.Raised[ref] {
		return true
	}
	for i := range s.Ingest.Events {
		if e := &s.Ingest.Events[i]; e.Ref == ref && !e.Ended && s.held(Place{e.Target, e.Lane, e.Seq}) {
			return true
		}
	}
	return false
}
