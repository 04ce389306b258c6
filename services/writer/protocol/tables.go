package protocol

import (
	"fmt"
	"sort"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
)

// How much one turn looks at; what does not fit comes next.
const (
	headsMost  = 200
	wakingMost = 100
	// mergesMost bounds how far merges of merges are followed.
	mergesMost = 16
)

// Tables are the questions that a turn asks of the writer's tables of one
// target, inside its transaction. Lists come in the order that is named, else
// in that of their keys.
type Tables interface {
	// Unsettled are the calls that are not settled.
	Unsettled() ([]*Call, error)
	// OpenOps are sent or in doubt; OpenOpsOf are those of a subject.
	OpenOps() ([]*Op, error)
	OpenOpsOf(subject string) ([]*Op, error)
	OpsAt(Place) ([]*Op, error)
	// OpsFor are all ops of a part, whoever did them.
	OpsFor(subject, part string) ([]*Op, error)
	// OpsMaking made a record of the books, and may have a copy on its way at
	// that moment: whoever it belongs to by now.
	OpsMaking(otherRef string, now int64) ([]*Op, error)

	// Head is the lane's next slot if it is queued, or nil.
	Head(lane string) (*Head, error)
	// ReadyHeads of a rank are ready to move, the oldest change first.
	ReadyHeads(rank Rank, limit int) ([]*Head, error)
	// WakingHeads wait and are due.
	WakingHeads(now int64, limit int) ([]*Head, error)
	// ReleasedHeads are parked and go on by themselves: a newer revision of the
	// subject is queued, or a newer rendering of the slot is here.
	ReleasedHeads(limit int) ([]*Head, error)
	// Around tells of newer revisions of a slot's subject: queued in the same
	// lane, queued anywhere, or already done.
	Around(s *Slot) (newerHere, newerAny, overtaken bool, err error)
	// Newer is the newest rendering that came after the one a slot holds.
	Newer(s *Slot) (*document.Rendering, error)

	// Next is the number of the slot that a lane comes to next.
	Next(lane string) (seq int64, known bool, err error)
	Stored(Place) (bool, error)
	// Places are where slots of a subject are queued.
	Places(subject string) ([]Place, error)
	// WaitsOf are the refs that a lane waits for.
	WaitsOf(lane string) ([]string, error)

	// AsideOf are a subject's slots that were set aside; AsideAt is one of them.
	AsideOf(subject string) ([]*Slot, error)
	AsideAt(Place) (*Slot, error)

	Links(link.Key) ([]*link.Link, error)
	// Invoices are all financial links of a subject.
	Invoices(subject string) ([]*link.Link, error)
	// PrimariesOf are the customers, items and documents that a record is the
	// primary one of.
	PrimariesOf(subject string) ([]*link.Link, error)
	// PrimaryAt is who a record of the books is primarily linked to, or nil.
	PrimaryAt(otherRef string) (*link.Link, error)
	// Past is what is known of a slot's record from a life that is lost; it is
	// asked only after a restore.
	Past(s *Slot) (*Past, error)
	// AliasAt is the record that stands for one which became an alias, or "".
	AliasAt(otherRef string) (string, error)
}

// loader fills a view.
type loader struct {
	Tables
	v    *View
	seen map[string]bool // lanes
}

// Load reads what a turn sees: the heads that may move, the lanes that answers
// and commands name, every unsettled call, and all ops and links that these
// mention. A view of an earlier turn may be filled again.
func Load(tables Tables, v *View, m *Memory, in Inputs) error {
	l := &loader{Tables: tables, v: v, seen: make(map[string]bool, 8)}
	v.Heads, v.OpIDs = v.Heads[:0], v.OpIDs[:0]
	v.Ops, v.Links, v.Own, v.Owners = emptied(v.Ops), emptied(v.Links), emptied(v.Own), emptied(v.Owners)
	clear(v.Merged)
	clear(v.Same)
	clear(v.Queued)
	clear(v.Waits)
	clear(v.Follows)
	clear(v.Aside)
	if err := l.all(m, in); err != nil {
		return fmt.Errorf("load turn of %s: %w", v.Target, err)
	}
	sort.Strings(v.OpIDs)
	return nil
}

func emptied[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	clear(m)
	return m
}

func (l *loader) all(m *Memory, in Inputs) error {
	if err := l.calls(); err != nil {
		return err
	}
	if err := l.named(in); err != nil {
		return err
	}
	if err := l.movable(); err != nil {
		return err
	}
	if err := l.around(); err != nil {
		return err
	}
	if err := l.needed(); err != nil {
		return err
	}
	if err := l.answered(m, in); err != nil {
		return err
	}
	return l.links()
}

// calls reads what is unsettled, with its ops.
func (l *loader) calls() (err error) {
	if l.v.Calls, err = l.Unsettled(); err != nil {
		return err
	}
	return l.ops(l.OpenOps())
}

func (l *loader) ops(ops []*Op, err error) error {
	for _, o := range ops {
		if l.v.Ops[o.ID] == nil {
			l.v.Ops[o.ID] = o
			l.v.OpIDs = append(l.v.OpIDs, o.ID)
		}
	}
	return err
}

// named reads the lanes of open ops and of commands.
func (l *loader) named(in Inputs) error {
	lanes := make([]string, 0, len(l.v.OpIDs)+len(in.Commands))
	for _, id := range l.v.OpIDs {
		lanes = append(lanes, l.v.Ops[id].Lane)
	}
	for i := range in.Commands {
		c := &in.Commands[i]
		if c.Lane != "" {
			lanes = append(lanes, c.Lane)
		}
		if err := l.command(c); err != nil {
			return fmt.Errorf("command %s: %w", c.ID, err)
		}
	}
	sort.Strings(lanes)
	for _, lane := range lanes {
		h, err := l.Head(lane)
		if err != nil {
			return err
		}
		if h != nil {
			l.takeOne(h)
		}
	}
	return nil
}

// command reads what an action needs that no head brings along.
func (l *loader) command(c *Command) (err error) {
	switch {
	case c.Lane != "":
		c.Aside, err = l.AsideAt(Place{c.Lane, c.Seq})
	case c.Action == ReissueIt:
		l.v.Own[c.Ref], err = l.Invoices(c.Ref)
	}
	return err
}

// movable reads the heads that may move, rank by rank, so that a backlog drains
// fairly; those whose wait is over; and parked ones that go on by themselves.
func (l *loader) movable() error {
	for _, rank := range []Rank{Awaited, Lifted, Unhurried} {
		if err := l.take(l.ReadyHeads(rank, headsMost)); err != nil {
			return err
		}
	}
	if err := l.take(l.WakingHeads(l.v.Now, wakingMost)); err != nil {
		return err
	}
	return l.take(l.ReleasedHeads(headsMost))
}

func (l *loader) take(heads []*Head, err error) error {
	for _, h := range heads {
		l.takeOne(h)
	}
	return err
}

func (l *loader) takeOne(h *Head) {
	if !l.seen[h.Lane] {
		l.seen[h.Lane] = true
		l.v.Heads = append(l.v.Heads, h)
	}
}

// around reads what is known around each head.
func (l *loader) around() error {
	for _, h := range l.v.Heads {
		if err := l.aroundHead(h); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) aroundHead(h *Head) (err error) {
	s := h.Slot
	if h.NewerHere, h.NewerAny, h.Overtaken, err = l.Around(s); err != nil {
		return err
	}
	if h.AfterMet, h.AfterHeld, err = l.after(h.Lane, s.Rendering); err != nil {
		return err
	}
	if !h.AfterMet {
		if err := l.follow(h.Lane); err != nil {
			return err
		}
	}
	if h.State == Parked {
		if h.Newer, err = l.Newer(s); err != nil {
			return err
		}
	}
	if l.v.Recovery != nil {
		if h.Past, err = l.Past(s); err != nil {
			return err
		}
		for i := range h.Past.Parts {
			if err := l.part(link.Key{SourceRef: s.Subject, Kind: h.Past.Parts[i].Kind, Part: h.Past.Parts[i].Name}); err != nil {
				return err
			}
		}
	}
	if s.Rendering.Verdict == document.Rejected && s.Rendering.UpdateOnly {
		own, err := l.PrimariesOf(s.Subject)
		if err != nil {
			return err
		}
		h.Linked = len(own) > 0
	}
	if err := l.merged(s.Rendering); err != nil {
		return err
	}
	if _, known := l.v.Aside[s.Subject]; !known {
		aside, err := l.AsideOf(s.Subject)
		if err != nil {
			return err
		}
		keep(&l.v.Aside, s.Subject, aside)
	}
	if err := l.ops(l.OpsAt(Place{h.Lane, s.Seq})); err != nil {
		return err
	}
	if err := l.ops(l.OpenOpsOf(s.Subject)); err != nil {
		return err
	}
	return l.parts(s)
}

// after reports whether every slot that a lane's rendering follows has ended, and
// whether those that have not are stored here.
func (l *loader) after(lane string, r *document.Rendering) (met, held bool, err error) {
	met, held = true, true
	for _, a := range r.After {
		next, known, err := l.Next(a.Lane)
		if err != nil {
			return false, false, err
		}
		if known && next > a.Seq {
			continue
		}
		met = false
		stored := false
		if known {
			if stored, err = l.Stored(Place{a.Lane, a.Seq}); err != nil {
				return false, false, err
			}
		}
		held = held && stored
	}
	merged, err := l.mergedQueued(lane, r)
	return met && len(merged) == 0, held, err
}

// mergedQueued are the other lanes where slots of records stand that were merged
// into this one. What those make is this one's, so they come first, also where
// ingest, set back, no longer knew of them.
func (l *loader) mergedQueued(lane string, r *document.Rendering) (out []string, err error) {
	for _, loser := range r.MergedFrom {
		places, err := l.Places(loser)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if p.Lane != lane {
				out = append(out, p.Lane)
			}
		}
	}
	return out, nil
}

// merged reads the links of what a merge names as merged away.
func (l *loader) merged(r *document.Rendering) error {
	for _, loser := range r.MergedFrom {
		links, err := l.PrimariesOf(loser)
		if err != nil {
			return err
		}
		keep(&l.v.Merged, loser, links)
		for _, x := range links {
			if err := l.part(link.Key{SourceRef: r.Ref, Kind: x.Kind, Part: x.Part}); err != nil {
				return err
			}
		}
		if l.v.Recovery != nil {
			if err := l.partsOf(loser, r.Parts); err != nil {
				return err
			}
		}
		if err := l.makers(links); err != nil {
			return err
		}
	}
	return nil
}

// parts reads the links and shared ops of every part and need of a slot, and
// all financial links of its subject.
func (l *loader) parts(s *Slot) error {
	if err := l.own(s.Subject); err != nil {
		return err
	}
	// a revision that was requeued may have ops at its former place: what leaves
	// now is their next generation, under another key
	moved := s.Rendering.SlotNo > 1
	for _, x := range l.v.Own[s.Subject] { // also of parts that the rendering no longer names
		if !moved {
			break
		}
		for _, part := range []string{x.Part, document.CreditOf + x.Part} {
			if err := l.ops(l.OpsFor(s.Subject, part)); err != nil {
				return err
			}
		}
	}
	for i := range s.Rendering.Parts {
		p := &s.Rendering.Parts[i]
		if err := l.part(link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}); err != nil {
			return err
		}
		for _, n := range p.Needs {
			if err := l.part(link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}); err != nil {
				return err
			}
		}
		master := p.Kind == document.CustomerKind || p.Kind == document.ItemKind
		if moved || p.Mode == document.Ensure || master {
			if err := l.ops(l.OpsFor(p.Subject, p.Name)); err != nil {
				return err
			}
		}
		if master && p.Mode == document.Own {
			if err := l.makers(l.v.Links[link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}]); err != nil {
				return err
			}
		}
	}
	return nil
}

// partsOf reads what is known of the documents of a record that was merged away: a
// link is one object, however it is reached.
func (l *loader) partsOf(loser string, parts []document.Part) error {
	for i := range parts {
		p := &parts[i]
		if p.Mode != document.Own || p.Kind != document.InvoiceKind {
			continue
		}
		k := link.Key{SourceRef: loser, Kind: p.Kind, Part: p.Name}
		if err := l.part(k); err != nil {
			return err
		}
		for j, x := range l.v.Merged[loser] {
			for _, same := range l.v.Links[k] {
				if same.Key == x.Key && same.N == x.N {
					l.v.Merged[loser][j] = same
				}
			}
		}
	}
	return nil
}

// makers reads what made the records of links that were once another's.
func (l *loader) makers(links []*link.Link) error {
	for _, x := range links {
		if err := l.ops(l.OpsMaking(x.OtherRef, l.v.Now)); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) own(subject string) (err error) {
	if _, known := l.v.Own[subject]; known {
		return nil
	}
	if l.v.Own[subject], err = l.Invoices(subject); err != nil {
		return err
	}
	for _, x := range l.v.Own[subject] {
		if err := l.part(x.Key); err != nil { // also of a part that the rendering no longer names
			return err
		}
		if l.v.Recovery != nil {
			if err := l.part(link.Key{SourceRef: subject, Kind: document.CreditNoteKind, Part: document.CreditOf + x.Part}); err != nil {
				return err
			}
		}
		if err := l.same(x.Base["customer"]); err != nil {
			return err
		}
	}
	return nil
}

// part reads the links of one part; a link is one object, however it is reached.
func (l *loader) part(k link.Key) error {
	if _, known := l.v.Links[k]; known {
		return nil
	}
	links, err := l.Links(k)
	for i, x := range links {
		for _, own := range l.v.Own[k.SourceRef] {
			if own.Key == x.Key && own.N == x.N {
				links[i] = own
			}
		}
	}
	l.v.Links[k] = links
	return err
}

// same follows a customer in the books that became an alias to the one that
// stands for it.
func (l *loader) same(customer string) error {
	at := customer
	for range mergesMost {
		if at == "" {
			return nil
		}
		next, err := l.AliasAt(at)
		if err != nil {
			return err
		}
		if next == "" {
			break
		}
		at = next
	}
	if at != customer {
		keep(&l.v.Same, customer, at)
	}
	return nil
}

// needed reads where the subjects that heads need are queued, and what the
// lanes that hold them wait for themselves, as far as it leads.
func (l *loader) needed() error {
	for _, h := range l.v.Heads {
		for i := range h.Slot.Rendering.Parts {
			for _, n := range h.Slot.Rendering.Parts[i].Needs {
				if len(l.v.Links[link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}]) > 0 {
					continue
				}
				if err := l.holders(n.Ref); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// holders reads where a subject is queued, and follows the lanes there.
func (l *loader) holders(ref string) error {
	if _, known := l.v.Queued[ref]; known {
		return nil
	}
	places, err := l.Places(ref)
	if err != nil {
		return err
	}
	keep(&l.v.Queued, ref, places)
	for _, p := range places {
		if err := l.follow(p.Lane); err != nil {
			return err
		}
	}
	return nil
}

// follow reads what a lane waits for: links, and slots of other lanes.
func (l *loader) follow(lane string) error {
	if _, known := l.v.Waits[lane]; known {
		return nil
	}
	waits, err := l.WaitsOf(lane)
	if err != nil {
		return err
	}
	keep(&l.v.Waits, lane, waits)
	h, err := l.Head(lane)
	if err != nil {
		return err
	}
	if h != nil {
		if err := l.comesAfter(lane, h.Slot.Rendering); err != nil {
			return err
		}
	}
	for _, ref := range waits {
		if err := l.holders(ref); err != nil {
			return err
		}
	}
	return nil
}

// comesAfter notes the lanes whose slots a head comes after and that have not
// come that far.
func (l *loader) comesAfter(lane string, r *document.Rendering) error {
	for _, a := range r.After {
		next, known, err := l.Next(a.Lane)
		if err != nil {
			return err
		}
		if known && next > a.Seq {
			continue
		}
		if err := l.goesFirst(lane, a.Lane); err != nil {
			return err
		}
	}
	merged, err := l.mergedQueued(lane, r)
	for _, first := range merged {
		if err := l.goesFirst(lane, first); err != nil {
			return err
		}
	}
	return err
}

func (l *loader) goesFirst(lane, first string) error {
	keep(&l.v.Follows, lane, append(l.v.Follows[lane], first))
	return l.follow(first)
}

// answered reads who is linked to what looks found, now or before.
func (l *loader) answered(m *Memory, in Inputs) error {
	owners := func(found []connector.Posting) error {
		for i := range found {
			ref := found[i].Ref.String()
			x, err := l.PrimaryAt(ref)
			if err != nil {
				return err
			}
			if x != nil {
				l.v.Owners[ref] = x.Key
			}
		}
		return nil
	}
	for _, a := range in.Looks {
		if err := owners(a.Postings); err != nil {
			return err
		}
	}
	for _, a := range m.Looks { // into a map: the order is not seen
		if err := owners(a.Postings); err != nil {
			return err
		}
	}
	return nil
}

// keep makes a map when it is first written to: most turns need few of them.
func keep[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// links reads those of the ops at hand.
func (l *loader) links() error {
	for _, id := range l.v.OpIDs {
		op := l.v.Ops[id]
		if err := l.part(link.Key{SourceRef: op.Subject, Kind: op.Kind, Part: op.Part}); err != nil {
			return err
		}
	}
	return nil
}
