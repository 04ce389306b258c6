package lab

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// Beside are other tables, to which all is written that the bench writes to its own.
// Every turn is loaded from both, and must see the same: so the statements of the
// service answer as what the schedules are played on.
type Beside interface {
	// Reset empties the tables of a target.
	Reset(target string) error
	// Receive stores a rendering, Apply what a turn changed, Tell what others knew of
	// a life that is lost.
	Receive(r *document.Rendering) error
	Apply(target string, now int64, ch *protocol.Changes) error
	Tell(target string, told []protocol.Told) error
	// Load fills a view.
	Load(v *protocol.View, m *protocol.Memory, in protocol.Inputs) error
	// Heads are the numbers before the first gap of lanes, Tops the highest number that
	// anything names of each lane: what ingest is told.
	Heads(target string, lanes []string) (map[string]int64, error)
	Tops(target string) (map[string]int64, error)
}

// Trials plays so many schedules of each mix, one after the other, and says what broke.
func Trials(mixes []string, base, seeds uint64, o Options) (bad []string, err error) {
	for _, o.Mix = range mixes {
		if _, err := mixesOf(o.Mix, o.Class); err != nil {
			return nil, err
		}
		for seed := base; seed < base+seeds; seed++ {
			for _, v := range play(seed, o, NewCoverage(), sha256.New(), nil, &room{}) {
				bad = append(bad, "mix "+o.Mix+", "+v.String())
			}
		}
	}
	return bad, nil
}

// beside does something with the other tables, if there are any and they are not to be
// written anew as it is.
func (t *tables) beside(do func(Beside) error) {
	if t.w.beside == nil || t.astray {
		return
	}
	if err := do(t.w.beside); err != nil {
		t.w.violated("beside", "the other tables: %v", err)
	}
}

// heads are the numbers before the first gap of lanes.
func (t *tables) heads(lanes []string) map[string]int64 {
	here := map[string]int64{}
	for _, lane := range lanes {
		next, _, _ := t.Next(lane)
		head := max(next-1, 0)
		for t.stored(lane, head+1) {
			head++
		}
		here[lane] = head
	}
	t.saysToo(here, func(b Beside) (map[string]int64, error) { return b.Heads(t.w.target, lanes) })
	return here
}

// tops are the highest numbers that anything names: slots, what those that wait come
// after, and what others knew of a life that is lost.
func (t *tables) tops() map[string]int64 {
	here := map[string]int64{}
	name := func(lane string, seq int64) { here[lane] = max(here[lane], seq) }
	for _, lane := range t.order {
		name(lane, t.lanes[lane].next-1)
		for _, s := range t.lanes[lane].slots {
			name(lane, s.Seq)
		}
	}
	t.queued(func(s *slotRow) {
		for _, a := range s.Rendering.After {
			name(a.Lane, a.Seq)
		}
	})
	for i := range t.told {
		name(t.told[i].Lane, t.told[i].Seq)
	}
	t.saysToo(here, func(b Beside) (map[string]int64, error) { return b.Tops(t.w.target) })
	return here
}

// saysToo compares what ingest is told with what the other tables say.
func (t *tables) saysToo(here map[string]int64, ask func(Beside) (map[string]int64, error)) {
	t.beside(func(b Beside) error {
		there, err := ask(b)
		if err == nil && !maps.Equal(here, there) {
			t.w.violated("beside", "ingest is told %v here and %v by the other tables", here, there)
		}
		return err
	})
}

// compare loads a turn once more, from the other tables.
func (p *process) compare(v *protocol.View, in protocol.Inputs) {
	t := p.w.db
	if p.w.beside == nil {
		return
	}
	if t.astray { // set back, or corrected by what others know
		t.astray = false
		t.beside(t.writeAll)
	}
	there := *v
	there.Heads, there.Ops, there.OpIDs, there.Calls, there.Links, there.Own, there.Owners = nil, nil, nil, nil, nil, nil, nil
	there.Merged, there.Same, there.Queued, there.Waits, there.Follows, there.Aside = nil, nil, nil, nil, nil, nil
	in.Commands = slices.Clone(in.Commands)
	t.beside(func(b Beside) error { return b.Load(&there, p.memory, in) })
	here, beside := seen(v), seen(&there)
	for _, part := range slices.Sorted(maps.Keys(here)) {
		if here[part] != beside[part] {
			p.w.violated("beside", "%s are %s here and %s in the other tables", part, here[part], beside[part])
			return
		}
	}
}

// writeAll writes the other tables as these are.
func (t *tables) writeAll(b Beside) error {
	if err := b.Reset(t.w.target); err != nil {
		return err
	}
	var slots, lanes protocol.Changes
	for _, lane := range t.order {
		l := t.lanes[lane]
		for _, s := range l.slots {
			for _, r := range append([]*document.Rendering{s.Rendering}, s.newer...) {
				if err := b.Receive(r); err != nil {
					return err
				}
			}
			slots.WaitSince = append(slots.WaitSince, &s.Slot)
			switch s.state {
			case "ended":
				slots.Ended = append(slots.Ended, protocol.Ended{Lane: lane, Seq: s.Seq, Outcome: s.outcome, Exception: s.Exception})
			case "aside":
				slots.Ended = append(slots.Ended, protocol.Ended{Lane: lane, Seq: s.Seq, Outcome: protocol.Aside, Exception: s.Exception})
			}
		}
		lanes.Lanes = append(lanes.Lanes, protocol.LaneChange{Lane: lane, State: l.state, Exception: l.exception, WakeAt: l.wakeAt})
		for _, n := range l.waits {
			lanes.Waits = append(lanes.Waits, protocol.Wait{Place: protocol.Place{Lane: lane, Seq: l.next}, Need: n})
		}
	}
	slots.Calls, slots.Ops, slots.Links = t.calls, t.ops, t.links
	for _, subject := range slices.Sorted(maps.Keys(t.recalled)) {
		slots.Recalled = append(slots.Recalled, protocol.Recalled{Subject: subject, State: t.recalled[subject]})
	}
	if err := b.Apply(t.w.target, t.w.now, &slots); err != nil {
		return err
	}
	if err := b.Apply(t.w.target, t.w.now, &lanes); err != nil { // after the links, which wake lanes
		return err
	}
	return b.Tell(t.w.target, t.told)
}

// seen is what a view holds, as text that tells apart what a turn could.
func seen(v *protocol.View) map[string]string {
	own := func(m map[link.Key][]*link.Link) map[string]any {
		out := map[string]any{}
		for k, x := range m { // into a map: the order is not seen
			out[fmt.Sprint(k)] = x
		}
		return out
	}
	heads := make([]any, 0, len(v.Heads))
	for _, h := range v.Heads {
		heads = append(heads, headSeen(h))
	}
	aside := map[string]any{}
	for k, slots := range v.Aside { // into a map: the order is not seen
		for _, s := range slots {
			aside[k] = append(asList(aside[k]), slotSeen(s))
		}
	}
	out := map[string]string{}
	for k, x := range map[string]any{
		"heads": heads, "ops": v.Ops, "op ids": v.OpIDs, "calls": v.Calls, "links": own(v.Links), "own links": v.Own, "owners": v.Owners, "merged": v.Merged,
		"same": v.Same, "queued": v.Queued, "waits": v.Waits, "follows": v.Follows, "aside": aside,
	} {
		out[k] = text(map[string]any{k: x})
	}
	return out
}

func asList(x any) []any {
	list, _ := x.([]any)
	return list
}

func headSeen(h *protocol.Head) any {
	x := *h
	x.Slot, x.Newer, x.Past = nil, nil, nil
	out := []any{x, slotSeen(h.Slot), rendered(h.Newer)}
	if h.Past == nil {
		return out
	}
	past := *h.Past
	past.Parts = nil
	var parts []string // those of one record; in which order is not said
	for i := range h.Past.Parts {
		parts = append(parts, text(rendered(&document.Rendering{Parts: h.Past.Parts[i : i+1]})))
	}
	slices.Sort(parts)
	return append(out, past, parts)
}

func slotSeen(s *protocol.Slot) any {
	x := *s
	x.Rendering = nil
	return []any{x, rendered(s.Rendering)}
}

// rendered is a rendering as it travels.
func rendered(r *document.Rendering) any {
	if r == nil {
		return nil
	}
	b, err := document.Encode(r)
	if err != nil {
		return err.Error()
	}
	x, err := document.Decode(b)
	if err != nil {
		return err.Error()
	}
	return x
}

// text is JSON without what is empty: there nil and empty are one.
func text(x any) string {
	b, err := json.Marshal(x)
	if err != nil {
		return err.Error()
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err.Error()
	}
	if b, err = json.Marshal(pruned(v)); err != nil {
		return err.Error()
	}
	return string(b)
}

// pruned drops empty fields.
func pruned(x any) any {
	m, ok := x.(map[string]any)
	if !ok {
		if list, ok := x.([]any); ok {
			for i := range list {
				list[i] = pruned(list[i])
			}
		}
		return x
	}
	for k, v := range m { // out of a map: the order is not seen
		switch v := pruned(v).(type) {
		case nil:
			delete(m, k)
		case []any:
			if len(v) == 0 {
				delete(m, k)
			}
		case map[string]any:
			if len(v) == 0 {
				delete(m, k)
			}
		}
	}
	return m
}
