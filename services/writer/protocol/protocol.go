// Package protocol is the writer's pure core: turn, lane, plan and doubt as
// one function from what a turn sees to what it changes and what leaves. It
// has no goroutine, no clock and no I/O, and never ranges over a map, so equal
// inputs give equal outputs, byte for byte.
//
// The shell around it reads a View in one transaction fenced by the target's
// epoch, calls Step, stores the Changes in the same transaction, and only then
// carries out the Effects.
package protocol

import (
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// LaneState is where a lane stands.
type LaneState string

// The states. A ready lane without a stored head is idle; looking is not
// stored, since a look is repeated after a restart.
const (
	Ready   LaneState = "ready"
	Running LaneState = "running"
	Waiting LaneState = "waiting"
	Parked  LaneState = "parked"
)

// OpState is where an op stands. A row exists only if its bytes may have left.
type OpState string

// The states.
const (
	Sent    OpState = "sent"
	Doubt   OpState = "doubt"
	Done    OpState = "done"
	Refused OpState = "refused"
)

// Outcome is how a slot ended.
type Outcome string

// The ends of a slot.
const (
	Posted     Outcome = "posted"
	Unchanged  Outcome = "unchanged"
	Superseded Outcome = "superseded"
	Discarded  Outcome = "discarded"
	// Moved: the revision has another slot at the lane's tail.
	Moved Outcome = "moved"
	// Aside: a refused update of a customer or an item, which holds nobody and
	// has not ended.
	Aside Outcome = "aside"
)

// Slot is one place in a lane; it holds one rendering.
type Slot struct {
	Lane      string
	Seq       int64
	EventID   string
	Subject   string
	Customer  string
	Route     string
	Rev       int64
	Class     event.Class
	Rendering *document.Rendering
	Trace     string // W3C traceparent
	WaitSince int64  // µs, 0 while it never waited
	Attempts  int    // conflicts so far
	// Exception is the open one of a slot that was set aside.
	Exception string
	ended     bool
}

// Rank orders the heads of ready lanes.
type Rank int

const (
	Awaited   Rank = iota // realtime itself
	Lifted                // bulk, and something realtime stands behind it in its lane
	Unhurried             // bulk, and nobody waits
)

// Head is a lane with its next slot, and what is known around it.
type Head struct {
	Lane  string
	State LaneState
	Slot  *Slot
	// Exception is the open one that parks the lane.
	Exception string
	// NewerHere: a newer revision of the subject is queued in this lane.
	NewerHere bool
	// NewerAny: a newer revision of the subject is queued in any lane.
	NewerAny bool
	// Overtaken: a higher revision of the subject has an op or ended posted or unchanged.
	Overtaken bool
	// Linked: something stands in the books for the record; known only where a
	// rejected update asks.
	Linked bool
	// AfterMet: every slot that it must follow has ended. AfterHeld: those that
	// have not are stored here.
	AfterMet, AfterHeld bool
	// Newer is a rendering of the slot that came after the one it holds.
	Newer *document.Rendering
	// Past is what is known of the record from a life that is lost; nil unless
	// the database was set back.
	Past *Past
}

// Op is one part's effect.
type Op struct {
	ID                string
	Lane              string
	Seq               int64
	Part              string
	N                 int64
	Kind              document.Kind
	Effect            connector.Effect
	Subject           string
	Rev               int64
	State             OpState
	Gen               int64
	Call              string
	Mark              string
	RequestHash       string
	TargetRef         string
	TargetVersion     string
	Fields            map[string]string // what the request asks for
	Attempts          int
	StartedAt, EndsAt int64
}

// CallState is where a call stands.
type CallState string

// The states of a call.
const (
	CallSent    CallState = "sent"
	CallDoubt   CallState = "doubt"
	CallSettled CallState = "settled"
)

// Call is one request. While it is unsettled its items and key are frozen.
type Call struct {
	ID                  string // the vendor key
	State               CallState
	Sends               int
	FirstSent, LastSent int64 // µs; FirstSent is 0 where no copy may leave again: the tables were restored, or an item was refused
	Items               []connector.Item
}

// View is what a turn sees.
type View struct {
	Now    int64         // µs, wall clock, for what is stored
	Mono   time.Duration // since this owner started, for every wait
	Tenant string
	Target string // system/account
	Paused bool
	Reason string // why it is paused
	// HeldBy is the person who paused it: nothing leaves until one resumes it.
	HeldBy string
	// Alert is the open exception of the paused connection.
	Alert  string
	Claims connector.Claims
	// Recovery is set while the tables may be older than the books; Gens is what
	// generations of ops go on above, so that no two lives share a vendor key.
	Recovery *Recovery
	Gens     int64
	// Budget is how many requests may leave in this turn; RealtimeMost and
	// BulkMost bound each class, so that neither starves the other.
	Budget, RealtimeMost, BulkMost int
	// Batches is how many shared calls may leave.
	Batches int
	// Encode is the connector's, pure.
	Encode func(connector.Draft) (connector.Encoded, error)
	// Symbol resolves a bound symbol of an entity in the books' reference tables.
	Symbol func(entity, kind, symbol string) (string, bool)

	Heads  []*Head // in the order of the schedule
	Ops    map[string]*Op
	OpIDs  []string // the keys of Ops, sorted
	Calls  []*Call  // unsettled, sorted by id
	Links  map[link.Key][]*link.Link
	Own    map[string][]*link.Link // financial links of a head's subject, any part, sorted
	Owners map[string]link.Key     // ref in the books -> who has the primary link
	// Merged holds the links of records that a merge slot names as merged away.
	Merged map[string][]*link.Link
	// Same leads from a customer in the books that became an alias to the one
	// that stands for it.
	Same map[string]string
	// Queued are the places of queued slots, by subject, for every subject that
	// a head or a waiting lane needs; Waits says what each of their lanes needs,
	// and Follows which lanes its head comes after. Both are known as well of a
	// head that comes after others, as far as that leads.
	Queued  map[string][]Place
	Waits   map[string][]string
	Follows map[string][]string
	// Aside are slots set aside, by subject.
	Aside map[string][]*Slot
}

// Memory is what an owner knows besides the tables. It dies with the owner.
type Memory struct {
	// Flying holds the calls of this owner whose answer is awaited.
	Flying map[string]bool
	// ResolveAt says when a doubtful call is looked into.
	ResolveAt map[string]time.Duration
	// Looks holds answered looks, Looking those under way and since when.
	Looks   map[string]LookAnswer
	Looking map[string]time.Duration
	// Failures counts answers about the connection in a row.
	Failures int
	ProbeAt  time.Duration
	Backoff  time.Duration
	// Probe is the request that a paused target was last tried with.
	Probe string
	// Soon holds doubtful calls that are to be sent again, so that their time to
	// be looked into is no quarantine.
	Soon map[string]bool
	// Spent holds doubtful calls of which no further copy may leave.
	Spent map[string]bool
	// HoldUntil is when a throttled connection may be used again.
	HoldUntil time.Duration
	// BatchMost is how many items the vendor lets a call carry, 0 if it never said.
	BatchMost int
	// Agreed holds slots whose invoice a person agreed to have voided and issued
	// anew. One that is forgotten is asked about again.
	Agreed map[Place]bool
	// Trusted is from when on a search is believed after a restore, 0 if none was seen.
	Trusted time.Duration
}

// NewMemory returns the memory of a new owner.
func NewMemory() *Memory {
	return &Memory{
		Flying: map[string]bool{}, ResolveAt: map[string]time.Duration{},
		Looks: map[string]LookAnswer{}, Looking: map[string]time.Duration{}, Spent: map[string]bool{}, Soon: map[string]bool{}, Agreed: map[Place]bool{},
	}
}

// Answer is what became of a call.
type Answer struct {
	Call     string
	Outcomes []connector.Outcome
	// NotSent: the guard or the shell kept the bytes back.
	NotSent bool
}

// Look is a read that the plan or a doubt needs.
type Look struct {
	Key   string
	Kind  document.Kind
	Probe *connector.Probe // search, or
	Ref   event.Ref        // read by id, or
	Lock  bool             // the day through which the books are closed
}

// LookAnswer is what a look found.
type LookAnswer struct {
	Key string
	// At is when it was asked for: what was seen may be as old as that, however
	// long the answer, or the process, took.
	At       time.Duration
	Postings []connector.Posting
	// LockedThrough is YYYY-MM-DD, empty where the books are open.
	LockedThrough string
	Err           error
}

// Command is a person's action.
type Command struct {
	ID        string
	Exception string
	Lane      string
	Seq       int64
	Action    string
	Actor     string
	Reason    string
	// Field is that of the exception.
	Field string
	// Ref is the record in the books that a link names, or the source record
	// that a reissue names; Part is the latter's part.
	Ref, Part string
	// Aside is the slot set aside that the exception is about.
	Aside *Slot
}

// Inputs are what arrived since the last turn, in order of arrival.
type Inputs struct {
	Answers  []Answer
	Looks    []LookAnswer
	Commands []Command
}

// Ended is a slot that its lane left behind.
type Ended struct {
	Lane      string
	Seq       int64
	Outcome   Outcome
	Exception string // with Aside
}

// LaneChange is the new state of a lane.
type LaneChange struct {
	Lane      string
	State     LaneState
	Exception string
	WakeAt    int64
	Why       string // why it waits, for a person
}

// Act is what happened to an exception.
type Act struct {
	ID, Action, Actor, Note string
	State                   exception.State
}

// Fact is an entry for the trail; the shell adds what it knows of the slot.
type Fact struct {
	Type    string
	Slot    *Slot // nil for what concerns the whole target
	Ops     []string
	Outcome string
	Detail  string
	Hash    string
	Posting *connector.Posting
	Op      *Op
	Except  string
	Actor   string
}

// Refusal is a command that changed nothing, and why.
type Refusal struct{ Command, Why string }

// Changes are stored in the turn's transaction.
type Changes struct {
	Ended      []Ended
	Lanes      []LaneChange
	Ops        []*Op
	Calls      []*Call
	Links      []*link.Link
	Opened     []exception.Exception
	Acted      []Act
	Commands   []string // applied, or refused
	Refused    []Refusal
	WaitSince  []*Slot // began to wait, or counted a conflict
	Waits      []Wait  // what waiting heads wait for
	TakenOver  []*Slot // got a newer rendering
	Pause      *bool
	Hold       *string // who pauses it from now on, "" for nobody
	PauseCause string
	Alert      string
	Recalled   []Recalled // records whose documents were found again
	Facts      []Fact
}

// Effects leave after the transaction.
type Effects struct {
	Send   []*Call
	Looks  []Look
	WakeAt time.Duration // on the owner's clock; 0: nothing to wait for
	// Realtime and Bulk count the requests among them of each class.
	Realtime, Bulk int
}

type turn struct {
	v   *View
	m   *Memory
	ch  Changes
	eff Effects
	// busy subjects have an op sent or in doubt: subject -> lane
	busy map[string]string
	// claimed match keys of unsettled creates: key -> op id
	claimed map[string]string
	// what may still leave: in all, and of each class
	budget, realtime, bulk int
	// class of the head at hand; none while doubts are resolved
	class event.Class
	// batch gathers the items of a shared call
	batch []connector.Item
	// recalled is what this turn made of records after a restore
	recalled map[string]RecallState
}

// Step is the turn: answers, commands and looks first, then doubts, then the
// heads of the lanes that may move.
func Step(v *View, m *Memory, in Inputs) (Changes, Effects) {
	t := &turn{
		v: v, m: m,
		budget: v.Budget, realtime: v.RealtimeMost, bulk: v.BulkMost,
	}
	for _, l := range in.Looks {
		t.takeLook(l)
	}
	for _, a := range in.Answers {
		t.settle(a)
	}
	trusted := t.trusted()
	if trusted {
		for _, c := range in.Commands {
			t.command(c)
		}
	}
	t.index()
	t.doubts()
	if trusted {
		t.heads()
	}
	return t.ch, t.eff
}

// index notes which subjects are busy and which match keys are claimed.
func (t *turn) index() {
	for _, id := range t.v.OpIDs {
		if op := t.v.Ops[id]; op.State == Sent || op.State == Doubt {
			keep(&t.busy, op.Subject, op.Lane)
			t.claim(op)
		}
	}
}

func (t *turn) claim(op *Op) {
	if op.Effect == connector.Create && op.Fields["name"] != "" {
		keep(&t.claimed, string(op.Kind)+"|"+op.Fields["name"], op.ID)
	}
}

// wake asks for a turn at a moment of the owner's clock.
func (t *turn) wake(at time.Duration) {
	if t.eff.WakeAt == 0 || at < t.eff.WakeAt {
		t.eff.WakeAt = at
	}
}

// leave takes one request from the turn's budget, if one may leave: none while
// the connection is throttled, and only a due probe while it is paused.
func (t *turn) leave() bool {
	switch {
	case t.v.HeldBy != "":
		return false
	case t.v.Mono < t.m.HoldUntil:
		t.wake(t.m.HoldUntil)
		return false
	case t.budget <= 0, t.class == event.Realtime && t.realtime <= 0, t.class == event.Bulk && t.bulk <= 0:
		return false
	case t.v.Paused && !t.probe():
		return false
	}
	t.budget--
	switch t.class {
	case event.Realtime:
		t.realtime--
		t.eff.Realtime++
	case event.Bulk:
		t.bulk--
		t.eff.Bulk++
	}
	return true
}

func (t *turn) fact(f Fact) { t.ch.Facts = append(t.ch.Facts, f) }

func (t *turn) head(lane string) *Head {
	for _, h := range t.v.Heads {
		if h.Lane == lane {
			return h
		}
	}
	return nil
}

func (t *turn) setLane(h *Head, s LaneState, exceptionID string, wakeAt int64) {
	h.State, h.Exception = s, exceptionID
	t.ch.Lanes = append(t.ch.Lanes, LaneChange{Lane: h.Lane, State: s, Exception: exceptionID, WakeAt: wakeAt})
}
