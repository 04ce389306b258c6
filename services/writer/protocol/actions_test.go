package protocol

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// bulk is a view of so many lanes with one bulk invoice each.
func bulk(n int) *View {
	heads := make([]*Head, 0, n)
	for i := range n {
		h := won(1, "a")
		h.Lane = fmt.Sprint(lane, i)
		h.Slot.Lane, h.Slot.Subject, h.Slot.Class = h.Lane, fmt.Sprint(deal, i), event.Bulk
		h.Slot.Rendering.Parts[0].Subject = h.Slot.Subject
		heads = append(heads, h)
	}
	v := view(heads...)
	v.Claims.BatchSize = 30
	return v
}

func TestBulkSharesACallAndEachItemIsSettledAlone(t *testing.T) {
	v, m := bulk(3), NewMemory()
	_, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 1 || len(eff.Send[0].Items) != 3 || eff.Bulk != 1 || v.Batches != 9 {
		t.Fatalf("sent %+v, bulk %d, batches left %d", eff.Send, eff.Bulk, v.Batches)
	}
	done := func(i int) connector.Outcome {
		p := posting("a", connector.Open)
		p.Ref.ID = fmt.Sprint(100 + i)
		return connector.Outcome{Posting: p}
	}
	rejected := connector.Outcome{Err: fault.New(fault.Rejected, "no")}
	ch, _ := Step(v, m, Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{done(0), rejected, done(2)}}}})
	if len(ch.Ended) != 2 || len(ch.Opened) != 1 || len(ch.Links) != 2 {
		t.Fatalf("ended %v, opened %v", ch.Ended, ch.Opened)
	}
}

// A copy of a shared call counts as one, and waits where none of those may leave.
func TestACopyOfASharedCallCounts(t *testing.T) {
	for batches, want := range map[int]int{1: 1, 0: 0} {
		v, m := bulk(2), NewMemory()
		v.Claims.Ambiguity[document.InvoiceKind], v.Claims.KeyLife = connector.KeyRemembered, time.Hour
		_, eff := Step(v, m, Inputs{})
		lost := connector.Outcome{Err: fault.New(fault.InDoubt, "no answer")}
		Step(v, m, Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{lost, lost}}}})
		v.Mono, v.Now, v.Batches = v.Mono+time.Minute, v.Now+time.Minute.Microseconds(), batches
		_, eff = Step(v, m, Inputs{})
		if len(eff.Send) != want || v.Batches != 0 || want == 0 && eff.WakeAt == 0 {
			t.Errorf("%d may leave: sent %v, left %d, wakes at %v", batches, eff.Send, v.Batches, eff.WakeAt)
		}
	}
}

// Realtime goes by itself, so that a doubt touches one op, and first.
func TestRealtimeGoesByItself(t *testing.T) {
	v, m := bulk(2), NewMemory()
	v.Heads = append([]*Head{won(1, "now")}, v.Heads...)
	_, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 2 || len(eff.Send[0].Items) != 1 || len(eff.Send[1].Items) != 2 || eff.Realtime != 1 {
		t.Fatalf("sent %+v", eff.Send)
	}
}

func TestEachClassKeepsToItsBudget(t *testing.T) {
	v, m := bulk(2), NewMemory()
	v.BulkMost = 0
	v.Heads = append(v.Heads, won(1, "now"))
	if _, eff := Step(v, m, Inputs{}); len(eff.Send) != 1 || eff.Realtime != 1 {
		t.Fatalf("sent %+v", eff.Send)
	}
}

// parked is a view whose head is parked by an exception.
func parked(k exception.Kind) (*View, Command) {
	v := view(won(1, "a"))
	v.Heads[0].State, v.Heads[0].Exception = Parked, "w-1"
	return v, Command{ID: "c", Exception: "w-1", Lane: lane, Seq: 1, Actor: "ann", Reason: "because"}
}

func facts(ch Changes, typ string) (out []Fact) {
	for _, f := range ch.Facts {
		if f.Type == typ {
			out = append(out, f)
		}
	}
	return out
}

func TestRequeueMovesTheSlotAndTellsIngest(t *testing.T) {
	v, c := parked(exception.Validation)
	c.Action = Requeue
	ch, _ := Step(v, NewMemory(), Inputs{Commands: []Command{c}})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Moved || len(facts(ch, "slot.requeued")) != 1 || len(facts(ch, "slot.ended")) != 0 {
		t.Fatalf("ended %v, facts %v", ch.Ended, ch.Facts)
	}
}

// A rerender holds the lane until the newer rendering is here; then it is
// taken over and the lane goes on.
func TestRerenderTakesOverTheNewerRendering(t *testing.T) {
	v, c := parked(exception.Mapping)
	c.Action = Rerender
	v.Heads[0].Slot.Rendering.Verdict = document.Rejected
	ch, eff := Step(v, NewMemory(), Inputs{Commands: []Command{c}})
	if len(facts(ch, "slot.rerender")) != 1 || len(eff.Send) != 0 || len(ch.Acted) != 0 {
		t.Fatalf("facts %v, sent %v, acted %v", ch.Facts, eff.Send, ch.Acted)
	}
	v.Heads[0].Newer = won(1, "b").Slot.Rendering
	ch, eff = Step(v, NewMemory(), Inputs{})
	if len(ch.TakenOver) != 1 || len(eff.Send) != 1 || len(ch.Acted) != 1 || ch.Acted[0].State != exception.Released {
		t.Fatalf("taken over %v, sent %v, acted %v", ch.TakenOver, eff.Send, ch.Acted)
	}
	drill.Injected(t, 1, 109)
}

// A reissue reads first: what is gone or void is made anew under another
// number, what still stands is not.
func TestReissueOpensAnotherDocument(t *testing.T) {
	for _, c := range []struct {
		name  string
		found LookAnswer
		gone  bool
	}{
		{"deleted", LookAnswer{Err: fault.New(fault.NotFound, "it is gone")}, true},
		{"void", LookAnswer{Postings: []connector.Posting{*posting("a", connector.Voided)}}, true},
		{"standing", LookAnswer{Postings: []connector.Posting{*posting("a", connector.Open)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, cmd := parked(exception.Conflict)
			l, m := linked(v, "a"), NewMemory()
			cmd.Action = ReissueIt
			ch, eff := Step(v, m, Inputs{Commands: []Command{cmd}})
			if len(eff.Looks) != 1 || len(eff.Send) != 0 || len(ch.Commands) != 0 {
				t.Fatalf("before the read: looks %v, sent %v, applied %v", eff.Looks, eff.Send, ch.Commands)
			}
			c.found.Key = eff.Looks[0].Key
			ch, eff = Step(v, m, Inputs{Looks: []LookAnswer{c.found}, Commands: []Command{cmd}})
			if got := l.State == link.Gone; got != c.gone || len(ch.Commands) != 1 {
				t.Fatalf("link %s, applied %v", l.State, ch.Commands)
			}
			if c.gone && (len(eff.Send) != 1 || ch.Ops[0].N != 2 || len(facts(ch, "link.gone")) != 1) || !c.gone && len(eff.Send) != 0 {
				t.Fatalf("sent %v, ops %+v", eff.Send, ch.Ops)
			}
		})
	}
}

// A void in doubt is not proven by a document that stands.
func TestALinkDoesNotSettleWhatItDoesNotShow(t *testing.T) {
	op := &Op{Effect: connector.Void, TargetRef: posting("a", connector.Open).Ref.String(), Mark: "TO-1"}
	if unproven(op, posting("a", connector.Open)) == "" || unproven(op, posting("a", connector.Voided)) != "" {
		t.Error("a void is settled by a standing document, or not by a void one")
	}
	op = &Op{Effect: connector.Create, Mark: "TO-1"}
	if unproven(op, posting("a", connector.Open)) == "" {
		t.Error("a create is settled by another document of ours")
	}
	op = &Op{Effect: connector.Update, TargetRef: posting("a", connector.Open).Ref.String(), Fields: map[string]string{"line.1.net": "b"}}
	if unproven(op, posting("a", connector.Open)) == "" || unproven(op, posting("b", connector.Open)) != "" {
		t.Error("an update is settled by what it does not say, or not by what it says")
	}
}

// A class D doubt: nothing can be searched, so it parks; a person who looked
// says that it is absent, and only after the quarantine.
func TestConfirmAbsentWaitsForTheQuarantine(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	v.Claims.Ambiguity[document.InvoiceKind] = connector.Opaque
	first := sent(t, v, m)
	Step(v, m, answer(first, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	v.Mono = v.Claims.Q()
	ch, _ := Step(v, m, Inputs{})
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Doubt {
		t.Fatalf("opened %+v", ch.Opened)
	}
	c := Command{ID: "c", Exception: ch.Opened[0].ID, Lane: lane, Seq: 1, Actor: "ann", Reason: "looked", Action: ConfirmAbsent}
	m.ResolveAt[first.ID] = v.Mono + time.Second
	if ch, eff := Step(v, m, Inputs{Commands: []Command{c}}); len(eff.Send) != 0 || len(ch.Acted) != 0 {
		t.Fatalf("before the quarantine: sent %v, acted %v", eff.Send, ch.Acted)
	}
	m.ResolveAt[first.ID] = v.Mono
	_, eff := Step(v, m, Inputs{Commands: []Command{c}})
	if len(eff.Send) != 1 || eff.Send[0].ID == first.ID {
		t.Fatalf("sent %+v", eff.Send)
	}
}

// What a person made by hand settles a doubt like a match does: only after the
// quarantine, and not if it is another record's.
func TestADoubtIsNotLinkedToWhatContradictsIt(t *testing.T) {
	for _, c := range []struct {
		name, refused string
		early         bool
		change        func(v *View, p *connector.Posting)
	}{
		{name: "made by hand", change: func(*View, *connector.Posting) {}},
		{name: "before the quarantine", early: true, refused: "still in doubt", change: func(*View, *connector.Posting) {}},
		{name: "where the books can be searched", refused: "still in doubt", change: func(v *View, _ *connector.Posting) {
			v.Claims.Ambiguity[document.InvoiceKind] = connector.Searchable
		}},
		{name: "of another record", refused: "linked to hubspot/7/deal/2", change: func(v *View, p *connector.Posting) {
			v.Owners[p.Ref.String()] = link.Key{SourceRef: "hubspot/7/deal/2", Kind: document.InvoiceKind, Part: "invoice"}
		}},
		{name: "with another mark", refused: "mark of another", change: func(_ *View, p *connector.Posting) { p.Mark = "other" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, m := view(won(1, "a")), NewMemory()
			v.Claims.Ambiguity[document.InvoiceKind] = connector.Opaque
			first := sent(t, v, m)
			Step(v, m, answer(first, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
			v.Mono = v.Claims.Q()
			ch, _ := Step(v, m, Inputs{})
			p := posting("by hand", connector.Open)
			p.Mark, p.Ref.ID = "", "77"
			c.change(v, p)
			if c.early {
				m.ResolveAt[first.ID] = v.Mono + time.Second
			}
			command := Command{ID: "c", Exception: ch.Opened[0].ID, Lane: lane, Seq: 1, Actor: "ann", Reason: "made by hand", Action: LinkTo, Ref: p.Ref.String()}
			ch, _ = Step(v, m, Inputs{Commands: []Command{command}})
			if len(ch.Refused) == 0 {
				ch, _ = Step(v, m, Inputs{Commands: []Command{command}, Looks: []LookAnswer{{Key: "link|" + command.Ref, Postings: []connector.Posting{*p}}}})
			}
			if c.refused == "" {
				if len(ch.Links) != 1 || ch.Links[0].OtherRef != command.Ref {
					t.Fatalf("links %+v", ch.Links)
				}
				return
			}
			said := ""
			for _, f := range ch.Facts {
				said += f.Detail
			}
			if len(ch.Links) != 0 || !strings.Contains(said, c.refused) {
				t.Fatalf("links %+v, said %q, want %q", ch.Links, said, c.refused)
			}
			if len(ch.Refused) != 1 || ch.Refused[0].Command != command.ID || !strings.Contains(said, ch.Refused[0].Why) {
				t.Errorf("refused %+v", ch.Refused)
			}
		})
	}
}

func TestLinkReadsTheRecordFirst(t *testing.T) {
	v, c := parked(exception.Match)
	p := &v.Heads[0].Slot.Rendering.Parts[0]
	p.Kind, p.Mode, p.Party, p.Invoice, p.Subject = document.CustomerKind, document.Ensure, &document.Party{DisplayName: "Ada"}, nil, lane
	c.Action, c.Ref = LinkTo, "quickbooks/9/customer/58"
	m := NewMemory()
	ch, eff := Step(v, m, Inputs{Commands: []Command{c}})
	if len(eff.Looks) != 1 || eff.Looks[0].Ref.ID != "58" || len(ch.Commands) != 0 {
		t.Fatalf("looks %v, applied %v", eff.Looks, ch.Commands)
	}
	found := connector.Posting{Ref: event.Ref{System: "quickbooks", Account: "9", Type: "customer", ID: "58"}, Kind: document.CustomerKind, Active: true}
	ch, _ = Step(v, m, Inputs{Commands: []Command{c}, Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{found}}}})
	if len(ch.Links) != 1 || ch.Links[0].OtherRef != c.Ref || len(ch.Ended) != 1 || len(ch.Acted) != 1 {
		t.Fatalf("links %v, ended %v, acted %v", ch.Links, ch.Ended, ch.Acted)
	}
}

func TestAPersonsPauseEndsOnlyByAPerson(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	ch, eff := Step(v, m, Inputs{Commands: []Command{{ID: "p", Action: Pause, Actor: "ann", Reason: "month end"}}})
	if len(eff.Send) != 0 || ch.Hold == nil || *ch.Hold != "ann" {
		t.Fatalf("sent %v, hold %v", eff.Send, ch.Hold)
	}
	v.Mono = time.Hour
	if _, eff := Step(v, m, Inputs{}); len(eff.Send) != 0 {
		t.Fatalf("sent %v", eff.Send)
	}
	if _, eff := Step(v, m, Inputs{Commands: []Command{{ID: "r", Action: Resume, Actor: "ann", Reason: "done"}}}); len(eff.Send) != 1 {
		t.Fatal("resumed, and nothing leaves")
	}
}

// needing is a lane's head whose invoice needs another record's customer.
func needing(l string, seq int64, subject, ref string) *Head {
	h := won(1, "a")
	h.Lane, h.Slot.Lane, h.Slot.Seq, h.Slot.Subject = l, l, seq, subject
	p := &h.Slot.Rendering.Parts[0]
	p.Subject, p.Needs = subject, []document.Need{{Ref: ref, Kind: document.CustomerKind, Part: "customer"}}
	return h
}

func TestAHeadWaitsForItsNeed(t *testing.T) {
	v, m := view(needing("l1", 1, "d1", "c9")), NewMemory()
	v.Queued = map[string][]Place{"c9": {{"l2", 1}}}
	ch, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 0 || v.Heads[0].State != Waiting || len(ch.Waits) != 1 || ch.Waits[0].Need.Ref != "c9" {
		t.Fatalf("sent %v, state %s, waits %v", eff.Send, v.Heads[0].State, ch.Waits)
	}
	v.Now += dependencyAfter.Microseconds()
	if ch, _ := Step(v, m, Inputs{}); len(ch.Opened) != 0 {
		t.Fatalf("a lane holds what it waits for, yet %v", ch.Opened)
	}
	v.Queued = nil
	ch, _ = Step(v, m, Inputs{})
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Dependency || v.Heads[0].State != Waiting {
		t.Fatalf("opened %v, state %s", ch.Opened, v.Heads[0].State)
	}
	key := link.Key{SourceRef: "c9", Kind: document.CustomerKind, Part: "customer"}
	v.Links[key] = []*link.Link{{Key: key, N: 1, State: link.Primary, OtherRef: "quickbooks/9/customer/1"}}
	ch, eff = Step(v, m, Inputs{})
	if len(eff.Send) != 1 || len(ch.Acted) != 1 || ch.Acted[0].State != exception.Released {
		t.Fatalf("sent %v, acted %v", eff.Send, ch.Acted)
	}
}

func TestANeedBehindMovesTheHead(t *testing.T) {
	v := view(needing("l1", 1, "d1", "c9"))
	v.Queued = map[string][]Place{"c9": {{"l1", 4}}}
	ch, _ := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Moved {
		t.Fatalf("ended %v", ch.Ended)
	}
}

// Two customers who pay each other's deals: one of them moves.
func TestARingIsBroken(t *testing.T) {
	v := view(needing("l1", 1, "d1", "c2"))
	v.Queued = map[string][]Place{"c2": {{"l2", 3}}, "c1": {{"l1", 3}}}
	v.Waits = map[string][]string{"l2": {"c1"}}
	ch, _ := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Moved {
		t.Fatalf("ended %v", ch.Ended)
	}
}

// company is a head about a customer's own record.
func company(rev int64, name string) *Head {
	h := won(rev, "")
	h.Slot.Subject = lane
	h.Slot.Rendering.Parts[0] = document.Part{Name: "customer", Kind: document.CustomerKind, Mode: document.Own, Desired: document.Issued, Subject: lane, Party: &document.Party{DisplayName: name}}
	return h
}

func customerLink(v *View, source, ref string, fields map[string]string) *link.Link {
	key := link.Key{SourceRef: source, Kind: document.CustomerKind, Part: "customer"}
	l := &link.Link{Key: key, N: 1, State: link.Primary, OtherRef: ref, OtherVersion: "3", Base: fields}
	v.Links[key] = append(v.Links[key], l)
	return l
}

func encodeNames(v *View) {
	v.Encode = func(d connector.Draft) (connector.Encoded, error) {
		return connector.Encoded{Body: []byte(d.Part.Party.DisplayName), Fields: map[string]string{"name": d.Part.Party.DisplayName}}, nil
	}
}

func customer58(fields map[string]string) connector.Posting {
	return connector.Posting{Ref: event.Ref{System: "quickbooks", Account: "9", Type: "customer", ID: "58"}, Kind: document.CustomerKind, Version: "4", Active: true, Fields: fields}
}

// A customer's change is merged field by field with what a person did in the
// books; the same field on both sides needs a person, and holds nobody.
func TestACustomersChangeIsMergedByField(t *testing.T) {
	for name, c := range map[string]struct {
		books map[string]string
		sends int
		aside int
	}{
		"untouched":   {map[string]string{"name": "Ada", "phone": "1"}, 1, 0},
		"other field": {map[string]string{"name": "Ada", "phone": "2"}, 1, 0},
		"same field":  {map[string]string{"name": "Ada GmbH", "phone": "1"}, 0, 1},
		"same value":  {map[string]string{"name": "Ada Ltd", "phone": "1"}, 0, 0},
	} {
		v, m := view(company(2, "Ada Ltd")), NewMemory()
		encodeNames(v)
		customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada", "phone": "1"})
		_, eff := Step(v, m, Inputs{})
		if len(eff.Looks) != 1 {
			t.Fatalf("%s: looks %v", name, eff.Looks)
		}
		ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{customer58(c.books)}}}})
		aside := 0
		for _, e := range ch.Ended {
			if e.Outcome == Aside {
				aside++
			}
		}
		if len(eff.Send) != c.sends || aside != c.aside || v.Heads[0].State == Parked {
			t.Errorf("%s: sent %d, aside %d, lane %s", name, len(eff.Send), aside, v.Heads[0].State)
		}
	}
}

func TestANewerRevisionReplacesWhatWasSetAside(t *testing.T) {
	v := view(company(3, "Ada"))
	encodeNames(v)
	customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada"})
	v.Aside = map[string][]*Slot{lane: {{Lane: lane, Seq: 1, Subject: lane, Rev: 2, Exception: "w-9"}}}
	ch, _ := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 2 || len(ch.Acted) != 1 || ch.Acted[0].ID != "w-9" {
		t.Fatalf("ended %v, acted %v", ch.Ended, ch.Acted)
	}
}

// Records merged at the source: the survivor takes over the customer, or keeps
// its own, and then a person is asked to merge the two in the books.
func TestMerges(t *testing.T) {
	for _, own := range []bool{false, true} {
		h := company(1, "Ada")
		h.Slot.Rendering.Type, h.Slot.Rendering.MergedFrom = event.Merge, []string{"hubspot/1/company/6"}
		v := view(h)
		encodeNames(v)
		loser := customerLink(v, "hubspot/1/company/6", "quickbooks/9/customer/60", map[string]string{"name": "Ada"})
		v.Merged = map[string][]*link.Link{"hubspot/1/company/6": {loser}}
		if own {
			customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada"})
		}
		ch, eff := Step(v, NewMemory(), Inputs{})
		survivor := v.Links[link.Key{SourceRef: lane, Kind: document.CustomerKind, Part: "customer"}]
		if loser.State != link.Alias || loser.AliasOf != lane || len(survivor) != 1 || len(ch.Ended) != 1 || len(eff.Send) != 0 {
			t.Fatalf("own %v: loser %+v, survivor %v, ended %v", own, loser, survivor, ch.Ended)
		}
		want := map[bool]string{false: "quickbooks/9/customer/60", true: "quickbooks/9/customer/58"}[own]
		if survivor[0].OtherRef != want || (len(ch.Opened) == 1) != own {
			t.Fatalf("own %v: survivor %s, opened %v", own, survivor[0].OtherRef, ch.Opened)
		}
	}
}

// A company that the mapping cannot render holds no invoice up: while it has no
// customer in the books nothing is owed, and then the update is set aside.
func TestARejectedUpdateHoldsNobody(t *testing.T) {
	for _, linked := range []bool{false, true} {
		h := company(1, "")
		r := h.Slot.Rendering
		r.Verdict, r.UpdateOnly, r.Parts, r.Reason = document.Rejected, true, nil, document.Reason{Kind: "validation", Field: "company.name", Detail: "it is empty"}
		h.Linked = linked
		v := view(h)
		ch, _ := Step(v, NewMemory(), Inputs{})
		want := map[bool]Outcome{false: Unchanged, true: Aside}[linked]
		if len(ch.Ended) != 1 || ch.Ended[0].Outcome != want || (len(ch.Opened) == 1) != linked || h.State == Parked {
			t.Errorf("linked %v: ended %v, opened %v, lane %s", linked, ch.Ended, ch.Opened, h.State)
		}
	}
}

// An item of another sku is not the line's, also where it is linked already.
func TestAnItemOfAnotherSKUContradicts(t *testing.T) {
	v := view()
	tt := &turn{v: v}
	found := &connector.Posting{Ref: event.Ref{System: "quickbooks", Account: "9", Type: "item", ID: "3"}, Kind: document.ItemKind, Active: true, Fields: map[string]string{"sku": "H3"}}
	v.Owners[found.Ref.String()] = link.Key{SourceRef: "hubspot/7/product/1", Kind: document.ItemKind, Part: "item"}
	part := &document.Part{Kind: document.ItemKind, Subject: "hubspot/7/product/2", Item: &document.Item{Name: "Hand Three", SKU: "H3-OTHER"}}
	if why := tt.contradiction(part, found); why != "its sku is H3" {
		t.Errorf("another sku: %q", why)
	}
	part.Item.SKU = "H3"
	if why := tt.contradiction(part, found); why != "" {
		t.Errorf("the same sku: %q", why)
	}
}

// A party of the same name with another address is somebody else; an address
// that is not there, or of a role, says nothing.
func TestAnotherEMailContradictsAName(t *testing.T) {
	for _, x := range []struct{ own, theirs, want string }{
		{"ann@example.com", "bob@example.com", "its e-mail is bob@example.com"},
		{"ann@example.com", "bob@example.com, info@example.com", "its e-mail is bob@example.com, info@example.com"},
		{" Ann@Example.com", "ann@example.com ", ""},
		{"ann@example.com", "bob@example.com, ann@example.com", ""},
		{"ann@example.com", "", ""},
		{"", "bob@example.com", ""},
		{"ann@example.com", "accounts@example.com", ""},
		{"info@example.com", "bob@example.com", ""},
	} {
		v := view(won(2, "a"))
		found := connector.Posting{Ref: event.Ref{System: "quickbooks", Account: "9", Type: "customer", ID: "3"}, Kind: document.CustomerKind, Active: true, Email: x.theirs}
		part := &document.Part{Kind: document.CustomerKind, Subject: "hubspot/7/contact/1", Party: &document.Party{DisplayName: "Ann Lee", Email: x.own}}
		tt := &turn{v: v, m: NewMemory()}
		got := tt.choose(v.Heads[0], part, 1, rung{key: connector.ByName, words: "equal name"}, []connector.Posting{found}, nil)
		switch {
		case x.want == "" && got != partDone:
			t.Errorf("%q and %q: not linked", x.own, x.theirs)
		case x.want != "" && (len(tt.ch.Opened) != 1 || !strings.Contains(tt.ch.Opened[0].Reason, x.want)):
			t.Errorf("%q and %q: opened %v", x.own, x.theirs, tt.ch.Opened)
		}
	}
}

// An invoice whose customer became an alias is unchanged.
func TestCustomersAreComparedModuloAlias(t *testing.T) {
	v := view(won(2, "a"))
	l := linked(v, "a")
	l.Base["customer"] = "quickbooks/9/customer/60"
	v.Same = map[string]string{"quickbooks/9/customer/60": "quickbooks/9/customer/58"}
	v.Encode = func(connector.Draft) (connector.Encoded, error) {
		return connector.Encoded{Fields: map[string]string{"line.1.net": "a", "customer": "quickbooks/9/customer/58"}}, nil
	}
	ch, eff := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged || len(eff.Looks) != 0 {
		t.Fatalf("ended %v, looks %v", ch.Ended, eff.Looks)
	}
}

// ensuring is a head that needs a customer made or found.
func ensuring(p document.Party) *View {
	h := won(1, "a")
	h.Slot.Rendering.Parts = []document.Part{{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Subject: lane, Party: &p}}
	v := view(h)
	v.Claims.Match = map[document.Kind][]string{document.CustomerKind: {connector.ByEmail, connector.ByName}}
	v.Claims.Ambiguity[document.CustomerKind] = connector.UniqueReference
	encodeNames(v)
	return v
}

// The ladder: the first rung with a candidate decides.
func TestTheLadder(t *testing.T) {
	party := document.Party{DisplayName: "Ada", Email: "Ada@Example.com", Currency: "EUR"}
	one := customer58(map[string]string{"name": "Ada"})
	two := one
	two.Ref.ID = "59"
	inactive, dollars := one, one
	inactive.Active, dollars.Currency = false, "USD"
	beingMade := one
	beingMade.Mark = "mark of a create in doubt"
	none := []connector.Posting{}
	for name, c := range map[string]struct {
		email, byName []connector.Posting
		owner         string
		links, sends  int
		parks         exception.Kind
	}{
		"by e-mail":               {email: []connector.Posting{one}, links: 1},
		"by name":                 {email: none, byName: []connector.Posting{one}, links: 1},
		"nothing: made":           {email: none, byName: none, sends: 1},
		"two by e-mail":           {email: []connector.Posting{one, two}, parks: exception.Match},
		"two by name":             {email: none, byName: []connector.Posting{one, two}, parks: exception.Match},
		"inactive":                {email: []connector.Posting{inactive}, parks: exception.Match},
		"another currency":        {email: []connector.Posting{dollars}, parks: exception.Match},
		"e-mail of another":       {email: []connector.Posting{one}, owner: "hubspot/1/company/77", byName: none, sends: 1},
		"name taken by another":   {email: none, byName: []connector.Posting{one}, owner: "hubspot/1/company/77", parks: exception.Match},
		"being made for another":  {email: none, byName: []connector.Posting{beingMade}}, // whose it is comes out
		"of another kind by name": {email: none, byName: []connector.Posting{{Kind: "VENDOR", Ref: one.Ref, Active: true}}, parks: exception.Match},
	} {
		v, m := ensuring(party), NewMemory()
		v.Ops["o"], v.OpIDs = &Op{ID: "o", Kind: document.CustomerKind, Effect: connector.Create, Subject: "hubspot/1/company/77", State: Doubt, Mark: beingMade.Mark}, []string{"o"}
		if c.owner != "" {
			v.Owners[one.Ref.String()] = link.Key{SourceRef: c.owner, Kind: document.CustomerKind, Part: "customer"}
		}
		ch, eff := Step(v, m, Inputs{})
		var links, sends int
		var parks exception.Kind
		for _, found := range [][]connector.Posting{c.email, c.byName} {
			if len(eff.Looks) == 0 {
				break
			}
			if e := eff.Looks[0].Probe.Email; e != "" && e != "ada@example.com" {
				t.Errorf("%s: searched by %q", name, e)
			}
			ch, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: found}}})
		}
		links, sends = len(ch.Links), len(eff.Send)
		if len(ch.Opened) > 0 {
			parks = ch.Opened[0].Kind
		}
		if links != c.links || sends != c.sends || parks != c.parks {
			t.Errorf("%s: links %d, sends %d, parks %q", name, links, sends, parks)
		}
		if links == 1 && ch.Links[0].Explain == "" {
			t.Errorf("%s: nothing says how it was found", name)
		}
	}
}

// An address of a role is nobody's, so it is no key.
func TestRoleAddressesAreNoKey(t *testing.T) {
	v, m := ensuring(document.Party{DisplayName: "Ada", Email: "info@example.com"}), NewMemory()
	_, eff := Step(v, m, Inputs{})
	if len(eff.Looks) != 1 || eff.Looks[0].Probe.Email != "" || eff.Looks[0].Probe.Name != "Ada" {
		t.Fatalf("looks %+v", eff.Looks)
	}
}

func TestUnmatchedMayAsk(t *testing.T) {
	v, m := ensuring(document.Party{DisplayName: "Ada"}), NewMemory()
	v.Heads[0].Slot.Rendering.Unmatched = document.Park
	_, eff := Step(v, m, Inputs{})
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key}}})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Match {
		t.Fatalf("sent %v, opened %v", eff.Send, ch.Opened)
	}
}

func TestUpdateOnlyMakesNothing(t *testing.T) {
	v := view(company(1, "Ada"))
	encodeNames(v)
	v.Heads[0].Slot.Rendering.UpdateOnly = true
	ch, eff := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged || len(eff.Looks)+len(eff.Send) != 0 {
		t.Fatalf("ended %v, looks %v", ch.Ended, eff.Looks)
	}
}

func TestAFaultsFieldDecidesTheException(t *testing.T) {
	for _, c := range []struct {
		kind  fault.Kind
		field string
		want  exception.Kind
	}{
		{fault.Unresolved, "currency", exception.Currency}, {fault.Unresolved, "tax", exception.Tax}, {fault.Unresolved, "account", exception.Mapping},
		{fault.Rejected, "period", exception.Period}, {fault.Rejected, "", exception.Validation}, {fault.Conflict, "name", exception.Match},
	} {
		if got := kindOf(&fault.Error{Kind: c.kind, Field: c.field}); got != c.want {
			t.Errorf("%v at %q is %s, want %s", c.kind, c.field, got, c.want)
		}
	}
}

// A need that stands in another lane behind a slot which follows this one is a
// ring: the head moves behind it.
func TestARingOverASlotThatFollowsIsBroken(t *testing.T) {
	h := won(1, "a")
	h.Slot.Rendering.Parts[0].Needs = []document.Need{{Ref: "hubspot/1/company/9", Kind: document.CustomerKind, Part: "customer"}}
	v := view(h)
	v.Queued = map[string][]Place{"hubspot/1/company/9": {{Lane: "hubspot/1/company/9", Seq: 1}}}
	v.Follows = map[string][]string{"hubspot/1/company/9": {lane}}
	ch, _ := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Moved {
		t.Fatalf("ended %v, lanes %v", ch.Ended, ch.Lanes)
	}
}

// A create that was sent twice keeps its name until no copy can land: renamed
// before, the late copy would make the customer once more.
func TestANameIsKeptWhileCopiesFly(t *testing.T) {
	op := &Op{ID: "o", Kind: document.CustomerKind, Effect: connector.Create, Subject: "c", Part: "customer", Call: "k", State: Doubt, Mark: "m"}
	v := view()
	v.Ops, v.OpIDs, v.Calls = map[string]*Op{"o": op}, []string{"o"}, []*Call{{ID: "k", State: CallDoubt, Sends: 2, LastSent: v.Now}}
	v.Claims.Ambiguity[document.CustomerKind] = connector.UniqueReference
	tn := &turn{v: v, m: NewMemory(), busy: map[string]string{}, claimed: map[string]string{}}
	tn.done(op, posting("a", connector.Open), "")
	want := v.Now + (v.Claims.Guard + v.Claims.LongestRequest).Microseconds()
	if got := tn.nameHeld(posting("a", connector.Open).Ref.String()); got != want {
		t.Errorf("the name is held until %d, want %d", got, want)
	}
	v.Calls[0].Sends = 1
	if tn.done(op, posting("a", connector.Open), ""); op.EndsAt != v.Now {
		t.Errorf("a create that was sent once holds its name until %d", op.EndsAt)
	}
}

// An item of a shared call that was absent and left again, in another call, is
// in that call's hands: the former one, which still awaits its other item, says
// nothing about the new copy before that has rested.
func TestAnItemThatLeftAgainIsNotDecidedByItsFormerCall(t *testing.T) {
	v, m := bulk(2), NewMemory()
	_, eff := Step(v, m, Inputs{})
	lost := connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}
	first := eff.Send[0].ID
	Step(v, m, Inputs{Answers: []Answer{{Call: first, Outcomes: []connector.Outcome{lost, lost}}}})
	v.Mono = v.Claims.Q()
	_, eff = Step(v, m, Inputs{})
	if len(eff.Looks) != 2 {
		t.Fatalf("looks %+v", eff.Looks)
	}
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key}}}) // one is absent, the other look is under way
	if len(eff.Send) != 1 || eff.Send[0].ID == first {
		t.Fatalf("sent %+v", eff.Send)
	}
	ch, eff := Step(v, m, Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{lost}}}})
	if len(eff.Looks)+len(eff.Send) != 0 || len(ch.Ops) != 1 || ch.Ops[0].State != Doubt {
		t.Fatalf("looks %+v, sent %+v: the new copy has not rested", eff.Looks, eff.Send)
	}
}

// A shared call leaves again as a whole: not while it holds an invoice that is
// settled, and that nothing but the quarantine protects.
func TestASharedCallDoesNotLeaveAgainWithWhatIsSettled(t *testing.T) {
	v, m := bulk(2), NewMemory()
	_, eff := Step(v, m, Inputs{})
	c := eff.Send[0]
	c.Items[1].Kind = document.CustomerKind // which a unique name protects
	v.Ops[c.Items[1].OpID].Kind = document.CustomerKind
	v.Claims.Ambiguity[document.CustomerKind] = connector.UniqueReference
	lost := connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}
	p := posting("a", connector.Open)
	Step(v, m, Inputs{Answers: []Answer{{Call: c.ID, Outcomes: []connector.Outcome{{Posting: p}, lost}}}})
	v.Mono += resendAfter
	if _, eff = Step(v, m, Inputs{}); len(eff.Send)+len(eff.Looks) != 0 {
		t.Fatalf("sent %+v, looks %+v: the invoice would be made twice", eff.Send, eff.Looks)
	}
	v.Mono += v.Claims.Q()
	if _, eff = Step(v, m, Inputs{}); len(eff.Send) != 0 || len(eff.Looks) != 1 {
		t.Fatalf("sent %+v, looks %+v: the customer is looked for after the quarantine", eff.Send, eff.Looks)
	}
}

// A shared call that had an item refused does not leave again, also by an owner
// who knows nothing of it: the item may have left in another call.
func TestASharedCallWithARefusedItemDoesNotLeaveAgain(t *testing.T) {
	v, m := bulk(2), NewMemory()
	v.Claims.Ambiguity[document.InvoiceKind], v.Claims.KeyLife = connector.KeyRemembered, 24*time.Hour
	_, eff := Step(v, m, Inputs{})
	c := eff.Send[0]
	Step(v, m, Inputs{Answers: []Answer{{Call: c.ID, Outcomes: []connector.Outcome{{Err: fault.New(fault.Transient, "busy")}, {Err: fault.New(fault.InDoubt, "reset")}}}}})
	next := NewMemory()
	Step(v, next, Inputs{})
	v.Mono += resendAfter
	_, eff = Step(v, next, Inputs{})
	for _, again := range eff.Send {
		if again.ID == c.ID {
			t.Fatalf("%s leaves again, with an item that left in another call", c.ID)
		}
	}
}

// Customer and item of one slot leave in one call, and the books refuse both: one
// exception asks, and it stays open.
func TestTwoRefusedItemsOfASlotAskOnce(t *testing.T) {
	v, m := bulk(1), NewMemory()
	h := v.Heads[0]
	h.Slot.Rendering.Parts = append([]document.Part{
		{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Subject: "hubspot/7/company/7", Party: &document.Party{DisplayName: "Acme"}},
		{Name: "item", Kind: document.ItemKind, Mode: document.Ensure, Desired: document.Issued, Subject: "hubspot/7/product/7", Item: &document.Item{Name: "Widget"}},
	}, h.Slot.Rendering.Parts...)
	_, eff := found(t, v, m)
	if len(eff.Send) != 1 || len(eff.Send[0].Items) != 2 {
		t.Fatalf("sent %+v", eff.Send)
	}
	no := connector.Outcome{Err: fault.New(fault.Rejected, "no")}
	ch, _ := Step(v, m, Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{no, no}}}})
	if len(ch.Opened) != 1 || len(ch.Acted) != 0 || h.State != Parked || h.Exception != ch.Opened[0].ID {
		t.Fatalf("opened %+v, acted %+v, the lane is %s for %q", ch.Opened, ch.Acted, h.State, h.Exception)
	}
}
