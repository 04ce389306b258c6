package protocol

import (
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// While an op of a slot is in doubt a person can neither have it rendered anew nor move
// or discard it: what the op does would be forgotten.
func TestADoubtHoldsItsSlot(t *testing.T) {
	for _, action := range []string{Rerender, Requeue, Discard} {
		v, m := view(won(1, "a")), NewMemory()
		v.Claims.Ambiguity[document.InvoiceKind] = connector.Opaque
		Step(v, m, answer(sent(t, v, m), connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
		v.Mono = v.Claims.Q()
		ch, _ := Step(v, m, Inputs{})
		c := Command{ID: "c", Exception: ch.Opened[0].ID, Lane: lane, Seq: 1, Actor: "ann", Reason: "because", Action: action}
		if ch, _ = Step(v, m, Inputs{Commands: []Command{c}}); len(ch.Refused) != 1 || len(ch.Ended) != 0 {
			t.Errorf("%s: refused %v, ended %v", action, ch.Refused, ch.Ended)
		}
	}
}

// reissued plays a person's reissue of a record's documents, which no exception is about.
func reissued(v *View, part string, found map[string]LookAnswer) Changes {
	m, c := NewMemory(), Command{ID: "c", Action: ReissueIt, Ref: deal, Part: part, Actor: "ann", Reason: "because"}
	v.Heads = nil
	in := Inputs{Commands: []Command{c}}
	for {
		ch, eff := Step(v, m, in)
		if len(ch.Commands)+len(ch.Refused) > 0 {
			return ch
		}
		in.Looks = nil
		for _, l := range eff.Looks {
			a := found[l.Ref.ID]
			a.Key = l.Key
			in.Looks = append(in.Looks, a)
		}
	}
}

// A document is reissued if it is gone, by a read; of the part that was named alone.
func TestOnlyWhatIsGoneIsReissued(t *testing.T) {
	gone, stands := LookAnswer{Err: fault.New(fault.NotFound, "it is gone")}, LookAnswer{Postings: []connector.Posting{*posting("a", connector.Open)}}
	for what, x := range map[string]struct {
		part     string
		found    map[string]LookAnswer
		invoice  link.State
		shipping link.State
		refused  int
	}{
		"both stand":         {"", map[string]LookAnswer{"1": stands, "2": stands}, link.Primary, link.Primary, 1},
		"one is gone":        {"", map[string]LookAnswer{"1": gone, "2": stands}, link.Gone, link.Primary, 0},
		"one was named":      {"shipping", map[string]LookAnswer{"1": gone, "2": gone}, link.Primary, link.Gone, 0},
		"the read says none": {"", map[string]LookAnswer{"1": {}, "2": stands}, link.Gone, link.Primary, 0},
	} {
		v := view()
		invoice := linked(v, "a")
		shipping := *invoice
		shipping.Part, shipping.OtherRef = "shipping", "quickbooks/9/invoice/2"
		v.Links[shipping.Key], v.Own[deal] = []*link.Link{&shipping}, append(v.Own[deal], &shipping)
		ch := reissued(v, x.part, x.found)
		if invoice.State != x.invoice || shipping.State != x.shipping || len(ch.Refused) != x.refused {
			t.Errorf("%s: invoice %s, shipping %s, refused %v", what, invoice.State, shipping.State, ch.Refused)
		}
	}
}

// What a person links goes to the part that has no link yet, and never to two parts.
func TestALinkByHandGoesToThePartThatLacksOne(t *testing.T) {
	v, c := parked(exception.Match)
	part := func(name string) document.Part {
		return document.Part{Name: name, Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Subject: lane, Party: &document.Party{DisplayName: name}}
	}
	v.Heads[0].Slot.Rendering.Parts = []document.Part{part("customer"), part("payer")}
	customerLink(v, lane, "quickbooks/9/customer/57", nil)
	c.Action, c.Ref = LinkTo, "quickbooks/9/customer/58"
	found := customer58(nil)
	m := NewMemory()
	Step(v, m, Inputs{Commands: []Command{c}})
	ch, _ := Step(v, m, Inputs{Commands: []Command{c}, Looks: []LookAnswer{{Key: "link|" + c.Ref, Postings: []connector.Posting{found}}}})
	if len(ch.Links) != 1 || ch.Links[0].Part != "payer" {
		t.Errorf("links %+v, refused %v", ch.Links, ch.Refused)
	}
	payer := part("payer")
	tt := &turn{v: v}
	v.Owners[c.Ref] = link.Key{SourceRef: lane, Kind: document.CustomerKind, Part: "customer"}
	if why := tt.contradiction(&payer, &found); !strings.Contains(why, "part customer of the same record") {
		t.Errorf("linked to another part of its record: %q", why)
	}
}

// A void in doubt is shown by the document itself, and by no other void one.
func TestAVoidIsShownByItsDocument(t *testing.T) {
	op := &Op{Effect: connector.Void, TargetRef: "quickbooks/9/invoice/7"}
	if why := unproven(op, posting("a", connector.Voided)); !strings.Contains(why, op.TargetRef) {
		t.Errorf("another document's void: %q", why)
	}
}

// What was set aside of a newer revision than the one that ended stays with its person.
func TestAnOlderRevisionReplacesNothing(t *testing.T) {
	v := view(company(3, "Ada"))
	encodeNames(v)
	customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada"})
	v.Aside = map[string][]*Slot{lane: {{Lane: lane, Seq: 9, Subject: lane, Rev: 4, Exception: "w-9"}}}
	if ch, _ := Step(v, NewMemory(), Inputs{}); len(ch.Ended) != 1 || len(ch.Acted) != 0 {
		t.Errorf("ended %v, acted %v", ch.Ended, ch.Acted)
	}
}

// A document of a merged record that is gone or void is not handed over: the survivor's
// own is made.
func TestWhatAMergedRecordHasNoMoreIsNotHandedOver(t *testing.T) {
	for what, a := range map[string]LookAnswer{"gone": {Err: fault.New(fault.NotFound, "it is gone")}, "void": {Postings: []connector.Posting{*posting("a", connector.Voided)}}} {
		h := won(1, "a")
		h.Slot.Rendering.Type, h.Slot.Rendering.MergedFrom = event.Merge, []string{"hubspot/1/deal/8"}
		v, m := view(h), NewMemory()
		loser := &link.Link{Key: link.Key{SourceRef: "hubspot/1/deal/8", Kind: document.InvoiceKind, Part: "invoice"}, N: 1, State: link.Primary, OtherRef: "quickbooks/9/invoice/1"}
		v.Links[loser.Key], v.Merged = []*link.Link{loser}, map[string][]*link.Link{loser.SourceRef: {loser}}
		_, eff := Step(v, m, Inputs{})
		a.Key = eff.Looks[0].Key
		_, eff = Step(v, m, Inputs{Looks: []LookAnswer{a}})
		if loser.Live() || len(v.Own[deal]) != 0 || len(eff.Send) != 1 {
			t.Errorf("%s: the loser's is %s, handed over %v, sent %v", what, loser.State, v.Own[deal], eff.Send)
		}
	}
}

// A document that was issued anew after its period was closed keeps its new day: a later
// revision does not ask for the old one.
func TestWhatWasRedatedKeepsItsDay(t *testing.T) {
	h := won(3, "b")
	v, m, l, cur := closedBooks(h)
	l.State = link.Credited
	anew := *l
	anew.N, anew.State, anew.Base = 2, link.Primary, map[string]string{"line.1.net": "a", "issue_date": "2026-10-01", "due_date": "2026-10-31"}
	v.Links[l.Key], v.Own[deal] = append(v.Links[l.Key], &anew), []*link.Link{&anew}
	cur.Fields, cur.IssueDate = anew.Base, "2026-10-01"
	ch, eff := looked(v, m, Inputs{}, cur)
	if len(eff.Send) != 1 || ch.Ops[0].Effect != connector.Update || ch.Ops[0].Fields["issue_date"] != "2026-10-01" {
		t.Errorf("sent %v, opened %+v", eff.Send, ch.Opened)
	}
}

// Before a person is asked about a closed period, the lock date is read anew.
func TestAPeriodIsClosedByAFreshRead(t *testing.T) {
	for _, desired := range []document.Desired{document.Issued, document.Voided} {
		h := won(2, "b")
		h.Slot.Rendering.Parts[0].Desired = desired
		v, m, _, cur := closedBooks(h)
		if desired == document.Voided {
			h.Slot.Rendering.Parts[0].Invoice = nil
		}
		v.Mono = time.Minute
		m.Looks[lockKey] = LookAnswer{Key: lockKey, LockedThrough: "2026-09-30", At: v.Mono - lockRecent - 1}
		m.Looks[freshKey(cur.Ref.String())] = LookAnswer{Postings: []connector.Posting{*cur}, At: v.Mono}
		if ch, eff := Step(v, m, Inputs{}); len(ch.Opened) != 0 || len(eff.Looks) != 1 || !eff.Looks[0].Lock {
			t.Errorf("%s: opened %+v, looks %+v", desired, ch.Opened, eff.Looks)
		}
	}
}

// What a marker says already is not written once more.
func TestAMarkerIsWrittenOnce(t *testing.T) {
	h := won(1, "a")
	h.Slot.Rendering.Parts = []document.Part{{Name: "marker", Kind: document.MarkerKind, Mode: document.Own, Desired: document.Issued, Subject: deal, Marker: &document.Marker{Record: deal}}}
	v := view(h)
	key := link.Key{SourceRef: deal, Kind: document.MarkerKind, Part: "marker"}
	v.Links[key] = []*link.Link{{Key: key, N: 1, State: link.Primary, OtherRef: deal, Base: map[string]string{"line.1.net": ""}}}
	if ch, eff := Step(v, NewMemory(), Inputs{}); len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged {
		t.Errorf("sent %v, ended %v", eff.Send, ch.Ended)
	}
}

// Several documents of one mark are a person's to tell apart; what one vouched for is
// taken as agreed.
func TestWhatAPersonVouchesForIsAgreed(t *testing.T) {
	twice := []*connector.Posting{posting("a", connector.Open), posting("a", connector.Open)}
	twice[1].Ref.ID = "2"
	v, m := restored(won(1, "a"))
	if ch, eff := found(t, v, m, twice...); len(eff.Send) != 0 || len(ch.Opened) != 1 || !strings.Contains(ch.Opened[0].Reason, "more than one document") {
		t.Errorf("twice there: sent %v, opened %+v", eff.Send, ch.Opened)
	}
	for state, want := range map[RecallState]string{"": "", RecallAccepted: "b"} {
		v, m := restored(won(1, "b"))
		v.Heads[0].Past.Recall = state
		l := linked(v, "a")
		cur := posting("b", connector.Open)
		_, eff := Step(v, m, Inputs{})
		Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
		if l.Base["line.1.net"] != want {
			t.Errorf("recall %q: agreed on %v", state, l.Base)
		}
	}
}

// A fact of the version that a link has takes nothing away from it.
func TestAFactOfWhatIsKnownChangesNothing(t *testing.T) {
	l := linked(view(won(1, "a")), "a")
	l.Number, l.Rev = "1001", 5
	got := Relink(l, target, &Confirmed{Key: l.Key, N: 1, Rev: 4, OtherRef: l.OtherRef, Version: l.OtherVersion, State: link.Primary})
	if got.Base["line.1.net"] != "a" || got.Number != "1001" || got.Rev != 5 {
		t.Errorf("%+v", got)
	}
}

// A token that the books refuse is a credential's exception and not the connection's; a
// probe that is throttled is over, and the next one goes out.
func TestTheBreakerTellsACredentialFromAConnection(t *testing.T) {
	for kind, want := range map[fault.Kind]exception.Kind{fault.Unauthorized: exception.Credential, fault.Transient: exception.Connection} {
		tt := &turn{v: view(), m: NewMemory()}
		for range breakAfter {
			tt.countConnection("x", fault.New(kind, "no"))
		}
		if len(tt.ch.Opened) != 1 || tt.ch.Opened[0].Kind != want {
			t.Errorf("%s: opened %+v", kind, tt.ch.Opened)
		}
		tt.m.Probe, tt.m.Failures = "x", 0
		if tt.countConnection("x", fault.New(fault.RateLimited, "later")); tt.m.Probe != "" || tt.m.Failures != 0 || !tt.v.Paused {
			t.Errorf("a throttled probe: %q, %d failures", tt.m.Probe, tt.m.Failures)
		}
	}
}

// An action counts for the exception that it names: one of a slot that moved on, or that
// waits for something else by now, changes nothing.
func TestAnActionOnWhatMovedOnIsRefused(t *testing.T) {
	for what, change := range map[string]func(*Command){
		"another exception": func(c *Command) { c.Exception = "w-0" }, "another slot": func(c *Command) { c.Seq = 7 }, "another lane": func(c *Command) { c.Lane = "hubspot/1/company/9" },
	} {
		v, c := parked(exception.Validation)
		c.Action = Discard
		change(&c)
		if ch, _ := Step(v, NewMemory(), Inputs{Commands: []Command{c}}); len(ch.Refused) != 1 || len(ch.Ended) != 0 {
			t.Errorf("%s: refused %v, ended %v", what, ch.Refused, ch.Ended)
		}
	}
}

// A read that failed says nothing about whether a document is gone.
func TestAReissueWaitsForARead(t *testing.T) {
	v, c := parked(exception.Conflict)
	c.Action = ReissueIt
	l, m := linked(v, "a"), NewMemory()
	_, eff := Step(v, m, Inputs{Commands: []Command{c}})
	ch, eff := Step(v, m, Inputs{Commands: []Command{c}, Looks: []LookAnswer{{Key: eff.Looks[0].Key, Err: fault.New(fault.Transient, "later")}}})
	if !l.Live() || len(ch.Commands)+len(ch.Refused)+len(eff.Send) != 0 || eff.WakeAt == 0 {
		t.Errorf("link %s, applied %v, refused %v, sent %v, wakes at %v", l.State, ch.Commands, ch.Refused, eff.Send, eff.WakeAt)
	}
}

// updating plays a customer's change up to its call.
func updating(t *testing.T) (*View, *Memory, *link.Link, *Call) {
	t.Helper()
	v, m := view(company(2, "Ada Ltd")), NewMemory()
	encodeNames(v)
	l := customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada", "phone": "1"})
	_, eff := Step(v, m, Inputs{})
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{customer58(map[string]string{"name": "Ada", "phone": "2"})}}}})
	if len(eff.Send) != 1 {
		t.Fatalf("sent %v", eff.Send)
	}
	return v, m, l, eff.Send[0]
}

// A change of a customer that the books refuse is set aside: its invoices go on. One
// that they take is agreed on alone: what a person changed beside it stays a change.
func TestACustomersChangeHoldsNobody(t *testing.T) {
	v, m, _, c := updating(t)
	ch, _ := Step(v, m, answer(c, connector.Outcome{Err: fault.New(fault.Rejected, "too long")}))
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Aside || v.Heads[0].State == Parked {
		t.Errorf("ended %v, lane %s", ch.Ended, v.Heads[0].State)
	}
	v, m, l, c := updating(t)
	done := customer58(map[string]string{"name": "Ada Ltd", "phone": "2"})
	if Step(v, m, answer(c, connector.Outcome{Posting: &done})); l.Base["name"] != "Ada Ltd" || l.Base["phone"] != "1" {
		t.Errorf("agreed on %v", l.Base)
	}
}

// A customer whose create may still land keeps its name, and is renamed after that.
func TestARenameWaitsForCopies(t *testing.T) {
	v, m := view(company(2, "Ada Ltd")), NewMemory()
	encodeNames(v)
	customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada"})
	v.Ops, v.OpIDs = map[string]*Op{"o": {ID: "o", Effect: connector.Create, State: Done, TargetRef: "quickbooks/9/customer/58", EndsAt: v.Now + 1000}}, []string{"o"}
	read := customer58(map[string]string{"name": "Ada"})
	_, eff := Step(v, m, Inputs{})
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{read}}}})
	if len(eff.Send) != 0 || eff.WakeAt != v.Mono+time.Millisecond {
		t.Fatalf("sent %v, wakes at %v", eff.Send, eff.WakeAt)
	}
	v.Now += 1000
	if _, eff = Step(v, m, Inputs{}); len(eff.Send) != 1 {
		t.Error("nothing leaves after it")
	}
}

// A customer is never taken away, and what became another's by a merge is not written by
// its former record.
func TestWhatACustomersRecordDoesNotWrite(t *testing.T) {
	for what, change := range map[string]func(*Head, *link.Link){
		"it is deleted": func(h *Head, _ *link.Link) { h.Slot.Rendering.Parts[0].Desired = document.Voided },
		"it was merged": func(_ *Head, l *link.Link) { l.State, l.AliasOf = link.Alias, "hubspot/1/company/9" },
	} {
		v := view(company(2, "Ada Ltd"))
		encodeNames(v)
		change(v.Heads[0], customerLink(v, lane, "quickbooks/9/customer/58", map[string]string{"name": "Ada"}))
		if ch, eff := Step(v, NewMemory(), Inputs{}); len(eff.Looks)+len(eff.Send) != 0 || len(ch.Ended) != 1 {
			t.Errorf("%s: looks %v, sent %v, ended %v", what, eff.Looks, eff.Send, ch.Ended)
		}
	}
}

// What is being made for one record is not linked to another: renamed by that one, a
// further copy of the create would find its name free.
func TestWhatIsBeingMadeBelongsToNobodyElse(t *testing.T) {
	v, found := view(), customer58(nil)
	found.Mark = "TO-1"
	v.Ops, v.OpIDs = map[string]*Op{"o": {ID: "o", Mark: "TO-1", Effect: connector.Create, State: Doubt, Subject: "hubspot/1/company/6"}}, []string{"o"}
	part := &document.Part{Name: "customer", Kind: document.CustomerKind, Subject: lane, Party: &document.Party{DisplayName: "Ada"}}
	tt := &turn{v: v}
	if why := tt.contradiction(part, &found); !strings.Contains(why, "being made for hubspot/1/company/6") {
		t.Errorf("for another: %q", why)
	}
	v.Ops["o"].Subject = lane
	if why := tt.contradiction(part, &found); why != "" {
		t.Errorf("for itself: %q", why)
	}
}

// A link tells the newest revision that was written, whichever op settles last.
func TestALinksRevisionNeverGoesBack(t *testing.T) {
	for rev, want := range map[int64]int64{3: 5, 7: 7} {
		v := view()
		l := linked(v, "a")
		l.Rev = 5
		tt := &turn{v: v, m: NewMemory()}
		if tt.moveLink(l, &Op{Effect: connector.Update, Kind: document.InvoiceKind, Rev: rev}, posting("a", connector.Open), link.Primary); l.Rev != want {
			t.Errorf("revision %d over 5: %d", rev, l.Rev)
		}
	}
}

// An issue date that moves into a closed period is a person's, by a lock date read anew.
func TestADateMovesIntoNoClosedPeriod(t *testing.T) {
	h := won(2, "b")
	v, m, l, cur := closedBooks(h)
	l.Base["issue_date"], l.Base["due_date"], cur.IssueDate = "2026-10-05", "2026-11-05", "2026-10-05"
	v.Mono = time.Minute
	m.Looks[lockKey] = LookAnswer{Key: lockKey, LockedThrough: "2026-09-30", At: v.Mono - lockRecent - 1}
	m.Looks[freshKey(cur.Ref.String())] = LookAnswer{Postings: []connector.Posting{*cur}, At: v.Mono}
	ch, eff := Step(v, m, Inputs{})
	if len(ch.Opened) != 0 || len(eff.Send) != 0 || len(eff.Looks) != 1 || !eff.Looks[0].Lock {
		t.Fatalf("opened %+v, sent %v, looks %+v", ch.Opened, eff.Send, eff.Looks)
	}
	ch, eff = looked(v, m, Inputs{Looks: []LookAnswer{{Key: lockKey, LockedThrough: "2026-09-30"}}}, cur)
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period || ch.Opened[0].Field != "issue_date" {
		t.Errorf("sent %v, opened %+v", eff.Send, ch.Opened)
	}
}

// After a restore a slot's op and its link may be of two lives: the later one's document
// stays linked.
func TestAnOpOfALostLifeMovesNoLink(t *testing.T) {
	v, m := restored(won(1, "a"))
	l := linked(v, "a")
	l.OtherRef = "quickbooks/9/invoice/2"
	tt := &turn{v: v, m: m}
	op := &Op{Subject: deal, Kind: document.InvoiceKind, Part: "invoice", N: 1, Effect: connector.Create}
	if tt.putLink(op, posting("a", connector.Open), link.Primary); l.OtherRef != "quickbooks/9/invoice/2" {
		t.Errorf("linked with %s", l.OtherRef)
	}
}
