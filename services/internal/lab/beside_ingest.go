package lab

import (
	"fmt"
	"slices"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/writer/protocol"
)

// BesideIngest is another ingest that reads and hears what the bench's does, and is set
// back when that is. Both must place the same events: so the service's own is tried.
type BesideIngest interface {
	// Reset empties it; deals and companies go to so many books.
	Reset(targets int) error
	// Admit is a read, of so many that have begun; it was put off so often for its
	// customer's. Hear is a fact. They return the events that were placed.
	Admit(begun int64, deferred int, r admission.Read) ([]*event.Event, error)
	Hear(f Heard) ([]*event.Event, error)
	// Fill places what holds the numbers that nobody holds, behind the first gaps of all
	// lanes, by target.
	Fill(heads map[string]map[string]int64) ([]*event.Event, error)
	// Keep copies its tables, SetBack makes them that copy again: revisions go on above
	// a floor, and once they are lifted numbers above those that the writer names, by
	// target and lane.
	Keep() error
	SetBack(floor int64) error
	Lift(tops map[string]map[string]int64) error
	// Tell is what it says to a writer that was set back and whose lanes go on at next.
	Tell(target string, next map[string]int64) ([]protocol.Told, error)
}

// Heard is a fact of the writer's.
type Heard struct {
	Type, Event, Subject, Outcome, Source string
	Target, Lane                          string
	Seq, Render, Life                     int64
}

func (f *fact) heard(target string) Heard {
	out := Heard{Type: f.kind, Event: f.event, Subject: f.subject, Outcome: f.outcome, Target: target, Lane: f.at.Lane, Seq: f.at.Seq, Render: f.render, Life: f.life}
	if f.source != (event.Ref{}) {
		out.Source = f.source.String()
	}
	return out
}

// beside does with the other ingest what the bench's did, and compares which events
// came of it.
func (in *ingest) beside(before int, do func(BesideIngest) ([]*event.Event, error)) {
	var events []*event.Event
	in.also(func(b BesideIngest) (err error) { events, err = do(b); return err })
	if in.w.besideIngest == nil {
		return
	}
	var here, there []string
	for _, e := range in.order[before:] {
		here = append(here, placed(in.w.sites[e.site].target, &event.Event{
			ID: e.id, Rev: e.rev, SlotNo: e.slotNo, Render: e.render, Type: e.typ, Cause: e.cause, Lane: e.lane, Seq: e.seq, After: e.after, MergedFrom: e.losers,
		}))
	}
	for _, e := range events {
		there = append(there, placed(e.Target, e))
	}
	slices.Sort(here)
	slices.Sort(there)
	if !slices.Equal(here, there) {
		in.w.violated("beside", "placed here %v, by the other ingest %v", here, there)
	}
}

// placed says all that decides about an event.
func placed(target string, e *event.Event) string {
	from := slices.Sorted(slices.Values(e.MergedFrom))
	after := make([]string, 0, len(e.After))
	for _, a := range e.After {
		after = append(after, fmt.Sprint(a))
	}
	slices.Sort(after)
	return fmt.Sprintf("%s at %s %s/%d rev %d.%d.%d %s for %s after %v merged from %v", e.ID[:8], target, e.Lane, e.Seq, e.Rev, e.SlotNo, e.Render, e.Type, e.Cause, after, from)
}

// also does something with the other ingest, if there is one.
func (in *ingest) also(do func(BesideIngest) error) {
	if in.w.besideIngest == nil {
		return
	}
	if err := do(in.w.besideIngest); err != nil {
		in.w.violated("beside", "the other ingest: %v", err)
	}
}

// alsoTells compares what a writer that was set back is told.
func (in *ingest) alsoTells(s *site, next map[string]int64, here []protocol.Told) {
	in.also(func(b BesideIngest) error {
		there, err := b.Tell(s.target, next)
		if here, there := tellings(here), tellings(there); err == nil && !slices.Equal(here, there) {
			in.w.violated("beside", "the writer is told %v here, by the other ingest %v", here, there)
		}
		return err
	})
}

// tellings are what is told, in an order that does not depend on who tells it.
func tellings(told []protocol.Told) (out []string) {
	for i := range told {
		out = append(out, fmt.Sprintf("%+v", told[i]))
	}
	slices.Sort(out)
	return out
}
