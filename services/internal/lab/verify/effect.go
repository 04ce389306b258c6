package verify

import (
	"cmp"
	"slices"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
)

// effect is an op that is done, and the vendor's request that did it.
type effect struct {
	op      Op
	request int64
}

// written is a document of ours in the books: what we did to it by our own
// account, and by the vendor's.
type written struct {
	object *Object
	ops    []Op
	ours   []int64 // the vendor's requests, in order
	open   bool    // an op of it may still be on its way
}

// effects pairs the done ops of each invoice with the versions that our
// requests made of it. Where their numbers differ there is nothing to pair.
func (s *State) effects() map[string]*written {
	out := map[string]*written{}
	for _, op := range s.everyOp() {
		if op.Kind != string(document.InvoiceKind) || op.TheirID == "" {
			continue
		}
		w := out[op.TheirID]
		if w == nil {
			w = &written{object: s.object(op.TheirID)}
			out[op.TheirID] = w
		}
		switch op.State {
		case "done":
			w.ops = append(w.ops, op)
		case "sent", "doubt":
			w.open = true
		}
	}
	for ref, w := range out {
		slices.SortFunc(w.ops, func(a, b Op) int { return cmp.Or(cmp.Compare(a.Rev, b.Rev), cmp.Compare(a.Seq, b.Seq)) })
		if w.object == nil {
			continue
		}
		account := s.Accounts[accountOf(ref)]
		for _, v := range w.object.Versions {
			if account.Ours[v.Request] && !slices.Contains(w.ours, v.Request) {
				w.ours = append(w.ours, v.Request)
			}
		}
	}
	return out
}

// everyOp are the writer's ops, and those that only the facts know.
func (s *State) everyOp() []Op {
	known := map[string]bool{}
	for _, op := range s.Writer.Ops {
		known[op.ID] = true
	}
	out := slices.Clone(s.Writer.Ops)
	for _, op := range s.Audit.Posted {
		if !known[op.ID] {
			known[op.ID] = true
			out = append(out, op)
		}
	}
	return out
}

func accountOf(ref string) string {
	r, err := event.ParseRef(ref)
	if err != nil {
		return ""
	}
	return r.AccountRef()
}

// oneEffect: each mark stands on one document and no other, ever; each op that
// we call done was done, once. What a database that was set back forgot is known
// from the facts, but for those that it had not told.
func (s *State) oneEffect(effects map[string]*written) *Result {
	r := result("I1", "one effect: a document for each mark, a write for each op")
	for account, a := range s.Accounts {
		if !strings.HasPrefix(account, "quickbooks/") {
			continue
		}
		bearers := map[string][]string{}
		for _, o := range a.Objects {
			for m := range o.marks() {
				bearers[m] = append(bearers[m], o.Type+"/"+o.ID)
			}
		}
		for mark, list := range bearers {
			r.Checked["marks"]++
			if len(list) > 1 {
				r.violated("double: mark %s stands on %s of %s", mark, strings.Join(list, " and "), account)
			}
		}
	}
	for ref, w := range effects {
		r.Checked["documents"]++
		r.Checked["ops"] += int64(len(w.ops))
		switch {
		case w.object == nil:
			r.violated("lost: %s was done by our account, and the books never had it", ref)
		case w.open:
			r.Explained["on their way"]++
		case s.Writer.SetBack && len(w.ops) < len(w.ours):
			r.Explained["forgotten with the facts, when the database was set back"]++
		case len(w.ops) != len(w.ours):
			r.violated("%s was written %d times by us, by requests %v, for %d ops", ref, len(w.ours), w.ours, len(w.ops))
		}
	}
	return r
}

// inOrder: what was done for a customer was done in the order of its lane.
func (s *State) inOrder(effects map[string]*written) *Result {
	r := result("I3", "order: each customer's documents were written in the order of its lane")
	lanes := map[Place][]effect{}
	for _, w := range effects {
		if w.object == nil || len(w.ops) != len(w.ours) {
			continue
		}
		for i, op := range w.ops {
			lane := Place{Target: op.Target, Lane: op.Lane}
			lanes[lane] = append(lanes[lane], effect{op, w.ours[i]})
		}
	}
	for lane, list := range lanes {
		r.Checked["lanes"]++
		slices.SortFunc(list, func(a, b effect) int {
			return cmp.Or(cmp.Compare(a.op.Seq, b.op.Seq), cmp.Compare(a.request, b.request))
		})
		for i := 1; i < len(list); i++ {
			r.Checked["pairs"]++
			if before, after := list[i-1], list[i]; after.request < before.request {
				r.violated("lane %s: slot %d reached the books by request %d, before slot %d by request %d", lane.Lane, after.op.Seq, after.request, before.op.Seq, before.request)
			}
		}
	}
	return r
}
