package protocol

import (
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// restored is a view of tables that were set back, gathered and past the
// quarantine.
func restored(h *Head) (*View, *Memory) {
	h.Past = &Past{}
	v, m := view(h), NewMemory()
	v.Recovery, v.Gens, v.Mono = &Recovery{Gathered: true, Since: 1}, 1000, time.Minute
	m.Trusted = time.Second
	return v, m
}

// found answers every look of a turn by what the books hold, until none is asked.
func found(t *testing.T, v *View, m *Memory, books ...*connector.Posting) (Changes, Effects) {
	t.Helper()
	in := Inputs{}
	var all Changes
	for range 20 {
		ch, eff := Step(v, m, in)
		all.Ended, all.Links, all.Recalled, all.Opened = append(all.Ended, ch.Ended...), append(all.Links, ch.Links...), append(all.Recalled, ch.Recalled...), append(all.Opened, ch.Opened...)
		if len(eff.Looks) == 0 || len(eff.Send) > 0 {
			return all, eff
		}
		in = Inputs{}
		for _, l := range eff.Looks {
			a := LookAnswer{Key: l.Key}
			for _, p := range books {
				if l.Probe != nil && l.Probe.Mark == p.Mark || l.Probe == nil && l.Ref == p.Ref {
					a.Postings = append(a.Postings, *p)
				}
			}
			in.Looks = append(in.Looks, a)
		}
	}
	t.Fatal("it never comes to an end")
	return all, Effects{}
}

// A document that the tables forgot is found by its mark: nothing is sent.
func TestAForgottenDocumentIsFoundAgain(t *testing.T) {
	v, m := restored(won(1, "a"))
	ch, eff := found(t, v, m, posting("a", connector.Open))
	if len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged || v.Links[link.Key{SourceRef: deal, Kind: document.InvoiceKind, Part: "invoice"}][0].Number != "1001" {
		t.Fatalf("sent %v, ended %v, links %+v", eff.Send, ch.Ended, ch.Links)
	}
}

// What is not there is made, under a key that no earlier life used.
func TestWhatIsNotThereIsMadeUnderAnotherKey(t *testing.T) {
	plain := sent(t, view(won(1, "a")), NewMemory())
	v, m := restored(won(1, "a"))
	ch, eff := found(t, v, m)
	if len(eff.Send) != 1 || eff.Send[0].ID == plain.ID || len(ch.Recalled) != 1 || ch.Recalled[0].State != RecallDone {
		t.Fatalf("sent %v, recalled %v", eff.Send, ch.Recalled)
	}
}

// Nothing is looked for, planned or taken from a person before the others have
// told what they know and no copy from before can land.
func TestNothingIsBelievedTooSoon(t *testing.T) {
	for what, change := range map[string]func(*View, *Memory){
		"not gathered": func(v *View, _ *Memory) { v.Recovery.Gathered = false },
		"quarantine":   func(_ *View, m *Memory) { m.Trusted = 0 },
	} {
		v, m := restored(won(1, "a"))
		change(v, m)
		ch, eff := Step(v, m, Inputs{Commands: []Command{{ID: "c", Lane: lane, Seq: 1, Action: Discard}}})
		if len(eff.Looks)+len(eff.Send)+len(ch.Ended)+len(ch.Commands) != 0 || eff.WakeAt == 0 {
			t.Errorf("%s: looks %v, sent %v, ended %v, applied %v, wakes at %v", what, eff.Looks, eff.Send, ch.Ended, ch.Commands, eff.WakeAt)
		}
	}
}

// How a slot ended in the lost life is how it ends; an older revision than one
// that is known ends superseded.
func TestThePastIsTakenOver(t *testing.T) {
	for what, x := range map[string]struct {
		past Past
		want Outcome
	}{
		"ended": {Past{Ended: Discarded}, Discarded}, "newer": {Past{Newer: true}, Superseded},
	} {
		v, m := restored(won(1, "a"))
		*v.Heads[0].Past = x.past
		ch, eff := Step(v, m, Inputs{})
		if len(ch.Ended) != 1 || ch.Ended[0].Outcome != x.want || len(eff.Looks)+len(eff.Send) != 0 {
			t.Errorf("%s: ended %v, looks %v", what, ch.Ended, eff.Looks)
		}
	}
}

// A record that a merge absorbed is not planned: its documents are found, for the
// survivor, and what is not there is not made.
func TestTheAbsorbedAreFoundAndNotPlanned(t *testing.T) {
	for what, books := range map[string][]*connector.Posting{"there": {posting("x", connector.Open)}, "void": {posting("x", connector.Voided)}, "nothing": nil} {
		v, m := restored(won(1, "a"))
		v.Heads[0].Past.Absorbed = true
		ch, eff := found(t, v, m, books...)
		if len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Superseded || len(ch.Opened) != 0 || len(ch.Links) != len(books) {
			t.Errorf("%s: sent %v, ended %v, opened %v, links %+v", what, eff.Send, ch.Ended, ch.Opened, ch.Links)
		}
	}
}

// A customer that a slot made in the life that is lost is found by its mark, however
// it is called by now.
func TestACustomerOfALostLifeIsFoundByItsMark(t *testing.T) {
	customer := document.Part{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Subject: "hubspot/1/company/7", Party: &document.Party{DisplayName: "New Name"}}
	for _, ended := range []Outcome{"", Posted} {
		h := won(1, "a")
		h.Slot.Rendering.Parts = append([]document.Part{customer}, h.Slot.Rendering.Parts...)
		v, m := restored(h)
		h.Past.Ended = ended
		c := posting("", connector.Open)
		c.Kind, c.Name, c.Mark = document.CustomerKind, "Old Name", document.Mark(target, customer.Subject, "customer", 1)
		c.Ref.Type, c.Ref.ID = "customer", "5"
		ch, eff := found(t, v, m, c)
		linked := false
		for _, l := range ch.Links {
			linked = linked || l.Kind == document.CustomerKind && l.OtherRef == c.Ref.String()
		}
		made := len(eff.Send) > 0 && eff.Send[0].Items[0].Kind == document.CustomerKind
		if !linked || made {
			t.Errorf("ended %q: links %+v, sent %v", ended, ch.Links, eff.Send)
		}
	}
}

// An op in doubt of a slot that ended later is in doubt no more.
func TestAnEndedSlotsOpIsClosed(t *testing.T) {
	h := won(1, "a")
	first := view(h)
	c := sent(t, first, NewMemory())
	v, m := restored(won(1, "a"))
	v.Ops, v.OpIDs, v.Calls = first.Ops, first.OpIDs, []*Call{c}
	c.State, c.FirstSent = CallDoubt, 0
	v.Heads[0].Past.Ended = Posted
	ch, _ := found(t, v, m)
	if c.State != CallSettled || first.Ops[c.Items[0].OpID].State != Done || len(ch.Ended) != 1 {
		t.Fatalf("call %s, op %s, ended %v", c.State, first.Ops[c.Items[0].OpID].State, ch.Ended)
	}
}

// A call of restored tables is never sent again, whatever the books promise.
func TestARestoredCallIsNotSentAgain(t *testing.T) {
	for _, class := range []connector.Ambiguity{connector.KeyRemembered, connector.UniqueReference} {
		h := won(1, "a")
		v, m := restored(h)
		v.Claims.Ambiguity[document.InvoiceKind], v.Claims.KeyLife = class, 24*time.Hour
		h.Past.Recall = RecallDone
		_, eff := Step(v, m, Inputs{})
		c := eff.Send[0]
		c.State, c.FirstSent = CallDoubt, 0
		fresh := NewMemory()
		fresh.Trusted = time.Second
		Step(v, fresh, Inputs{})
		v.Mono += v.Claims.Q()
		if _, eff = Step(v, fresh, Inputs{}); len(eff.Send) != 0 || len(eff.Looks) != 1 {
			t.Errorf("class %s: sent %v, looks %v", class, eff.Send, eff.Looks)
		}
	}
}

// Books that cannot be searched: a person is asked, links what is there, and
// says that it is all.
func TestBooksThatCannotBeSearched(t *testing.T) {
	v, m := restored(won(1, "a"))
	v.Claims.Ambiguity[document.InvoiceKind] = connector.Opaque
	ch, _ := Step(v, m, Inputs{})
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Recovery {
		t.Fatalf("opened %+v", ch.Opened)
	}
	id := ch.Opened[0].ID
	v.Heads[0].Past.Recall = RecallAsked
	do := func(action string, looks ...LookAnswer) (Changes, Effects) {
		return Step(v, m, Inputs{Looks: looks, Commands: []Command{{ID: action, Exception: id, Lane: lane, Seq: 1, Action: action, Ref: posting("a", "").Ref.String(), Actor: "clerk"}}})
	}
	if ch, _ = do(Discard); len(ch.Ended) != 0 || len(ch.Commands) != 1 {
		t.Fatalf("discarded before its documents were found: %v", ch.Ended)
	}
	_, eff := do(LinkTo)
	ch, _ = do(LinkTo, LookAnswer{Key: eff.Looks[0].Key, Postings: []connector.Posting{*posting("a", connector.Open)}})
	if len(ch.Links) == 0 || ch.Links[0].N != 1 {
		t.Fatalf("linked %+v", ch.Links)
	}
	ch, eff = do(Retry)
	v.Heads[0].Past.Recall = ch.Recalled[0].State
	ch, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*posting("a", connector.Open)}}}})
	if len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged {
		t.Fatalf("ended %v, sent %v", ch.Ended, eff.Send)
	}
}

// An update that the tables forgot is no edit by a person, if a revision that
// is here says the same; anything else is a person's word.
func TestOursOrAPersons(t *testing.T) {
	older := won(1, "b").Slot.Rendering.Parts
	for what, x := range map[string]struct {
		says  string
		sends int
		opens int
	}{"ours": {"b", 1, 0}, "a person's": {"x", 0, 1}, "wanted anyway": {"c", 0, 0}} {
		v, m := restored(won(3, "c"))
		v.Heads[0].Past.Parts = older
		linked(v, "a")
		ch, eff := found(t, v, m, posting(x.says, connector.Open))
		if len(eff.Send) != x.sends || len(ch.Opened) != x.opens {
			t.Errorf("%s: sent %v, opened %+v", what, eff.Send, ch.Opened)
		}
		if x.opens == 1 && (ch.Opened[0].Kind != exception.Recovery || !strings.Contains(ch.Opened[0].Reason, "retry")) {
			t.Errorf("opened %+v", ch.Opened[0])
		}
	}
}

// A fact moves a link, and what the document says becomes unknown; books and
// link agree again by the version that the fact names.
func TestFactsRebuildLinks(t *testing.T) {
	v := view(won(1, "a"))
	old := linked(v, "a")
	c := &Confirmed{Key: old.Key, N: 1, Rev: 4, OtherRef: old.OtherRef, Version: "7", State: link.Primary}
	l := Relink(old, target, c)
	if l.Base != nil || l.OtherVersion != "7" || l.Rev != 4 || old.OtherVersion == "7" {
		t.Fatalf("link %+v, was %+v", l, old)
	}
	p := posting("b", connector.Open)
	if filled, why := Agree(l, p); filled != nil || why != "" {
		t.Errorf("version %s: filled %v, %s", p.Version, filled, why)
	}
	p.Version = "7"
	if filled, _ := Agree(l, p); filled == nil || filled.Base["line.1.net"] != "b" {
		t.Errorf("filled %+v", filled)
	}
	if _, why := Agree(old, p); why == "" {
		t.Error("a link that says something else agrees")
	}
}

// A fact tells of a credit note: what it takes back is owed no more, also where the
// fact that says so itself is lost.
func TestAFactOfACreditNoteEndsWhatItCredits(t *testing.T) {
	for state, want := range map[link.State]link.State{link.Primary: link.Credited, link.Gone: link.Primary} {
		invoice := linked(view(won(1, "a")), "a")
		note := &Confirmed{Key: link.Key{SourceRef: deal, Kind: document.CreditNoteKind, Part: document.CreditOf + "invoice"}, N: 1, OtherRef: "quickbooks/9/credit_note/3", State: state}
		of := func(k link.Key, n int64) *link.Link {
			if k == invoice.Key && n == invoice.N {
				return invoice
			}
			return nil
		}
		got := invoice
		for _, l := range Relinked(of, target, note) {
			if l.Key == invoice.Key {
				got = l
			}
		}
		if got.State != want {
			t.Errorf("the credit note is %s, and the invoice %s", state, got.State)
		}
	}
}

// The names of a record's parts stand in its renderings: nothing is looked for
// before all of them are here.
func TestAllSlotsOfARecordFirst(t *testing.T) {
	v, m := restored(won(1, "a"))
	v.Heads[0].Past.Missing = true
	if ch, eff := Step(v, m, Inputs{}); len(eff.Looks)+len(eff.Send)+len(ch.Ended)+len(ch.Recalled) != 0 || eff.WakeAt == 0 {
		t.Errorf("looks %v, sent %v, ended %v", eff.Looks, eff.Send, ch.Ended)
	}
	v, m = restored(won(1, "a"))
	v.Heads[0].Past.Parts = []document.Part{{Name: "shipping", Kind: document.InvoiceKind, Mode: document.Own, Subject: deal}}
	shipping := posting("s", connector.Open)
	shipping.Mark, shipping.Ref.ID = document.Mark(target, deal, "shipping", 1), "2"
	ch, eff := found(t, v, m, posting("a", connector.Open), shipping)
	if len(ch.Links) < 2 || len(eff.Send) != 1 || eff.Send[0].Items[0].Effect != connector.Void || eff.Send[0].Items[0].Mark != shipping.Mark {
		t.Errorf("links %d, sent %+v: what is not wanted any more is found and voided", len(ch.Links), eff.Send)
	}
}

// A fact tells of the document of a newer revision whose op a restore took away: an
// older one that comes late is not carried out after it.
func TestADocumentOfANewerRevisionOvertakes(t *testing.T) {
	for rev, sends := range map[int64]int{1: 1, 3: 0} {
		v := view(won(2, "b"))
		linked(v, "a").Rev = rev
		m := NewMemory()
		ch, eff := Step(v, m, Inputs{})
		if len(eff.Looks) != sends || (len(ch.Ended) == 1 && ch.Ended[0].Outcome == Superseded) != (sends == 0) {
			t.Errorf("revision 2 after one of revision %d: looks %v, ended %v", rev, eff.Looks, ch.Ended)
		}
	}
}

// What a record was merged from comes before its end in the lost life is taken over,
// also where the revision is a deletion by now.
func TestTheEndOfAMergeIsTakenOverAfterWhatItFollows(t *testing.T) {
	for met, want := range map[bool]int{false: 0, true: 1} {
		h := won(1, "a")
		h.AfterMet, h.Slot.Rendering.Type, h.Slot.Rendering.MergedFrom = met, event.Delete, []string{"hubspot/7/deal/29"}
		v, m := restored(h)
		v.Heads[0].Past.Ended = Unchanged
		if ch, _ := found(t, v, m); len(ch.Ended) != want {
			t.Errorf("what it follows has ended: %v; ended %v", met, ch.Ended)
		}
	}
}

// A merge that a person discarded in the life that is lost, and whose documents a fact
// says are a newer revision's, is told as discarded and not as superseded.
func TestWhatAPersonDiscardedStaysDiscarded(t *testing.T) {
	for told, want := range map[Outcome]Outcome{Discarded: Discarded, Unchanged: Superseded} {
		h := won(1, "a")
		h.AfterMet, h.Overtaken, h.Slot.Rendering.MergedFrom = false, true, []string{"hubspot/7/deal/29"}
		v, m := restored(h)
		v.Heads[0].Past.Ended = told
		if ch, _ := Step(v, m, Inputs{}); len(ch.Ended) != 1 || ch.Ended[0].Outcome != want {
			t.Errorf("told %s: ended %v", told, ch.Ended)
		}
	}
}

// A person had a document issued anew in a second lost life, for a slot whose end in the
// first one is told: it is found by its mark, and nobody is asked, whatever is there.
func TestWhatWasIssuedAnewBehindAToldEndIsFound(t *testing.T) {
	anew := func(id string) *connector.Posting {
		p := posting("a", connector.Open)
		p.Mark, p.Ref.ID = document.Mark(target, deal, "invoice", 2), id
		return p
	}
	for what, x := range map[string]struct {
		end   Outcome
		books []*connector.Posting
		links int
	}{
		"posted": {Posted, []*connector.Posting{anew("2")}, 2}, "unchanged": {Unchanged, []*connector.Posting{anew("2")}, 2},
		"nothing": {Posted, nil, 1}, "twice": {Posted, []*connector.Posting{anew("2"), anew("3")}, 1}, "discarded": {Discarded, []*connector.Posting{anew("2")}, 1},
	} {
		v, m := restored(won(1, "a"))
		v.Heads[0].Past.Ended = x.end
		old := linked(v, "a")
		ch, eff := found(t, v, m, x.books...)
		if len(eff.Send)+len(ch.Opened) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != x.end || len(v.Links[old.Key]) != x.links || old.Live() != (x.links == 1) {
			t.Errorf("%s: sent %v, opened %v, ended %v, links %d", what, eff.Send, ch.Opened, ch.Ended, len(v.Links[old.Key]))
		}
	}
}

// A merge handed a document over as number 1 in one life, and in a later one, which
// had not heard of it, the record's own document took that number: what the second
// restore forgot is found by its mark all the same, and gets a number of its own.
func TestANumberThatWasGivenOutTwiceIsSearchedAllTheSame(t *testing.T) {
	merged := posting("m", connector.Open)
	merged.Mark, merged.Ref.ID = document.Mark(target, "hubspot/7/deal/29", "invoice", 1), "77"
	own := posting("a", connector.Open)
	own.Ref.ID = "78"
	for what, x := range map[string]struct {
		state    connector.Status
		link     link.State
		books    []*connector.Posting
		sends    int
		standing int
	}{
		"the merged one is void":      {connector.Voided, link.Void, []*connector.Posting{merged, own}, 0, 1},
		"nothing of its own is there": {connector.Voided, link.Void, []*connector.Posting{merged}, 1, 0},
		"both stand":                  {connector.Open, link.Primary, []*connector.Posting{merged, own}, 0, 2},
	} {
		v, m := restored(won(1, "a"))
		l := linked(v, "m")
		l.OtherRef, l.State, merged.Status = merged.Ref.String(), x.link, x.state
		ch, eff := found(t, v, m, x.books...)
		standing := 0
		for _, l := range v.Links[l.Key] {
			if l.Live() {
				standing++
			}
		}
		asked := len(ch.Opened) == 1
		if len(eff.Send) != x.sends || standing != x.standing || asked != (x.standing == 2) {
			t.Errorf("%s: sent %v, %d stand, opened %+v", what, eff.Send, standing, ch.Opened)
		}
	}
}

// A fact that a document was made does not bring it back where it is over, or another
// record's, by what this database knows.
func TestAnOlderFactBringsNothingBack(t *testing.T) {
	for state, want := range map[link.State]link.State{
		link.Void: link.Void, link.Credited: link.Credited, link.Gone: link.Gone, link.Alias: link.Alias, link.Held: link.Primary, link.Primary: link.Primary,
	} {
		l := linked(view(won(1, "a")), "a")
		l.State = state
		if state == link.Alias {
			l.AliasOf = "hubspot/7/deal/8"
		}
		made := &Confirmed{Key: l.Key, N: 1, OtherRef: l.OtherRef, Version: "3", State: link.Primary}
		if got := Relink(l, target, made); got.State != want || got.AliasOf != l.AliasOf {
			t.Errorf("%s became %s of %q", state, got.State, got.AliasOf)
		}
		made.OtherRef = "quickbooks/9/invoice/77"
		if got := Relink(l, target, made); got.State != link.Primary || got.OtherRef != made.OtherRef {
			t.Errorf("%s: the fact of another document is not taken: %+v", state, got)
		}
	}
}

// A marker that says that its invoice is void stands: it is written once, also where a
// link took it for void, and not again and again.
func TestAMarkerOfAVoidInvoiceStands(t *testing.T) {
	v, m := restored(won(1, "a"))
	v.Heads[0].Slot.Rendering.Parts = []document.Part{{Name: "marker", Kind: document.MarkerKind, Mode: document.Own, Desired: document.Issued, Subject: deal, Marker: &document.Marker{Record: deal, Number: "1001", Status: "void"}}}
	l := &link.Link{Key: link.Key{SourceRef: deal, Kind: document.MarkerKind, Part: "marker"}, N: 1, State: link.Void, OtherTarget: target, OtherRef: "quickbooks/9/invoice/1"}
	v.Links[l.Key] = []*link.Link{l}
	marker := posting("", connector.Voided)
	marker.Kind = document.MarkerKind
	ch, eff := found(t, v, m, marker)
	if len(ch.Opened) != 0 || len(eff.Send) != 1 {
		t.Fatalf("opened %+v, sent %v", ch.Opened, eff.Send)
	}
	v.Heads[0].Past.Recall = RecallDone // as the tables have it by then
	ch, eff = Step(v, m, Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{{Posting: marker}}}}})
	if len(eff.Send) != 0 || len(ch.Ended) != 1 || l.State != link.Primary || l.Base == nil {
		t.Errorf("sent %v, ended %v, link %+v", eff.Send, ch.Ended, l)
	}
}
