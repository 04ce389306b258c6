package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tieout.dev/services/internal/event"
)

// routed are the source's types that lead to documents.
func routed() []string { return []string{"deal", "company", "product"} }

// nothingLost: every record of the source was admitted as it is now, and every
// revision of it has ended or is held for a person.
func (s *State) nothingLost() *Result {
	r := result("I2", "nothing lost: each record of the source is admitted as it is, each revision ended or held")
	for account, a := range s.Accounts {
		if !strings.HasPrefix(account, "hubspot/") {
			continue
		}
		for _, o := range a.Objects {
			if slices.Contains(routed(), o.Type) && !o.Deleted {
				s.admitted(r, account, a, o)
			}
		}
	}
	held := s.newestHeld()
	for i := range s.Ingest.Events {
		e := &s.Ingest.Events[i]
		r.Checked["revisions"]++
		place := Place{e.Target, e.Lane, e.Seq}
		slot, stored := s.Writer.Slots[place]
		switch {
		// what only held a number is of no revision, and needs no place
		case stored && slot.EventID != e.ID && s.Ingest.SetBack && e.moved() && e.Rev <= held[[2]string{e.Target, e.Ref}]:
			r.Explained["its place was given to another in a life that is lost, and it has one behind"]++
		case stored && slot.EventID != e.ID:
			r.violated("lane %s slot %d holds event %s, ingest gave it to %s", e.Lane, e.Seq, slot.EventID, e.ID)
		case e.Ended && e.Outcome == "":
			r.violated("lane %s slot %d ended without an outcome", e.Lane, e.Seq)
		case e.Ended:
			r.Checked[e.Outcome]++
		case s.held(place):
			r.Checked["parked"]++
		case stored && slot.State == "ended":
			s.underWay(r, "lane %s slot %d ended %s, and ingest was never told", e.Lane, e.Seq, slot.Outcome)
		case stored:
			s.underWay(r, "lane %s slot %d neither ended nor is anybody asked about it", e.Lane, e.Seq)
		default:
			s.underWay(r, "lost: revision %d of %s never reached the writer", e.Rev, e.Ref)
		}
	}
	return r
}

// moved: the event has another place, or a newer revision has.
func (e *Event) moved() bool { return e.Ended && (e.Outcome == "moved" || e.Outcome == "superseded") }

// newestHeld is the newest revision of each record that has the place which ingest gave
// it, by target and ref.
func (s *State) newestHeld() map[[2]string]int64 {
	out := map[[2]string]int64{}
	for i := range s.Ingest.Events {
		e := &s.Ingest.Events[i]
		if s.Writer.Slots[Place{e.Target, e.Lane, e.Seq}].EventID == e.ID {
			k := [2]string{e.Target, e.Ref}
			out[k] = max(out[k], e.Rev)
		}
	}
	return out
}

// admitted holds a record of the source against what was admitted of it.
func (s *State) admitted(r *Result, account string, a *Account, o *Object) {
	r.Checked["records"]++
	ref := account + "/" + o.Type + "/" + o.ID
	known, ok := s.Ingest.Objects[ref]
	newest := s.Ingest.Newest[ref]
	switch {
	case s.Ingest.Aliases[ref] != "":
		r.Explained["merged away"]++
	case s.Ingest.Raised[ref]:
		r.Explained["an exception asks a person"]++
	case !ok || known.Rev == 0:
		r.violated("lost: %s was never admitted", ref)
	case known.Deleted:
		r.violated("%s stands at the source and is deleted here", ref)
	case newest == nil:
		r.violated("lost: %s has %d revisions and no event", ref, known.Rev)
	default:
		if why := stale(a, o, newest); why != "" {
			r.violated("lost: the last change of %s: %s", ref, why)
		}
	}
}

// stale says what of a record was admitted otherwise than the source has it now.
func stale(a *Account, o *Object, e *event.Event) string {
	var told map[string]any
	if err := json.Unmarshal(e.Data, &told); err != nil {
		return err.Error()
	}
	if why := differs(told, o); why != "" {
		return why
	}
	lines, _ := told["line_items"].([]any)
	for _, l := range lines {
		line, _ := l.(map[string]any)
		id := textOf(line, "id")
		is := a.get("line_item", id)
		if is == nil || is.Deleted {
			return "line item " + id + " is gone"
		}
		if why := differs(line, is); why != "" {
			return "line item " + id + ": " + why
		}
	}
	return ""
}

// differs compares what both sides show; a portal computes some properties when
// it is read, and those are in no version.
func differs(told map[string]any, o *Object) string {
	properties, _ := o.Last().Data["properties"].(map[string]any)
	for name, now := range properties {
		was, shown := told[name]
		if shown && fmt.Sprint(was) != fmt.Sprint(now) && (was != nil || fmt.Sprint(now) != "") {
			return fmt.Sprintf("%s is %v there and %v here", name, now, was)
		}
	}
	return ""
}
