package protocol

import (
	"slices"
	"strings"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

// merging is a head whose deal was made of two others, each with an invoice.
func merging(v *View) (first, second *link.Link) {
	first, second = invoiceOf(v, "hubspot/7/deal/21", "quickbooks/9/invoice/1"), invoiceOf(v, "hubspot/7/deal/22", "quickbooks/9/invoice/2")
	r := v.Heads[0].Slot.Rendering
	r.Type, r.MergedFrom = event.Merge, []string{first.SourceRef, second.SourceRef}
	v.Merged = map[string][]*link.Link{first.SourceRef: {first}, second.SourceRef: {second}}
	v.Own[deal] = nil // read, and there is none
	return first, second
}

func invoiceOf(v *View, source, ref string) *link.Link {
	l := &link.Link{Key: link.Key{SourceRef: source, Kind: document.InvoiceKind, Part: "invoice"}, N: 1, OtherTarget: target, OtherRef: ref, State: link.Primary, Base: map[string]string{"line.1.net": "a"}, OtherVersion: "0"}
	v.Links[l.Key] = []*link.Link{l}
	return l
}

// stands is what the books answer about an invoice.
func stands(key, id string, status connector.Status) LookAnswer {
	p := posting("a", status)
	p.Ref.ID = id
	return LookAnswer{Key: key, Postings: []connector.Posting{*p}}
}

// Deals with invoices are merged: the invoices are the survivor's, none is made
// anew, and while more than one stands a person says which is owed.
func TestMergedDocuments(t *testing.T) {
	gone := func(key string) LookAnswer { return LookAnswer{Key: key, Err: fault.New(fault.NotFound, "gone")} }
	one, two := freshKey("quickbooks/9/invoice/1"), freshKey("quickbooks/9/invoice/2")
	for _, c := range []struct {
		name    string
		answers []LookAnswer
		live    int
		parks   bool
	}{
		{"both stand", []LookAnswer{stands(one, "1", connector.Open), stands(two, "2", connector.Open)}, 2, true},
		{"one was voided", []LookAnswer{stands(one, "1", connector.Open), stands(two, "2", connector.Voided)}, 1, false},
		{"one was deleted", []LookAnswer{gone(one), stands(two, "2", connector.Open)}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, m := view(won(1, "a")), NewMemory()
			first, second := merging(v)
			ch, eff := Step(v, m, Inputs{})
			if len(eff.Looks) != 1 || len(eff.Send) != 0 || len(ch.Ended) != 0 {
				t.Fatalf("before it was looked: looks %v, sent %v, ended %v", eff.Looks, eff.Send, ch.Ended)
			}
			ch, eff = Step(v, m, Inputs{Looks: c.answers})
			live := 0
			for _, l := range v.Links[link.Key{SourceRef: deal, Kind: document.InvoiceKind, Part: "invoice"}] {
				if l.Live() {
					live++
				}
			}
			if len(eff.Send) != 0 || live != c.live || (len(ch.Opened) == 1) != c.parks || (len(ch.Ended) == 1) == c.parks {
				t.Fatalf("sent %v, %d live, opened %v, ended %v", eff.Send, live, ch.Opened, ch.Ended)
			}
			if first.State == link.Primary || second.State == link.Primary {
				t.Errorf("a document is still the merged record's: %s, %s", first.State, second.State)
			}
			if c.parks && (ch.Opened[0].Kind != exception.Merge || !strings.Contains(ch.Opened[0].Reason, "invoice/1 and quickbooks/9/invoice/2")) {
				t.Errorf("opened %+v", ch.Opened[0])
			}
		})
	}
}

// A later revision asks again: the slot of the merge may be superseded by then.
func TestTwoDocumentsOfOneDealAreAskedAbout(t *testing.T) {
	v, m := view(won(2, "a")), NewMemory()
	l := linked(v, "a")
	other := *l
	other.N, other.OtherRef = 2, "quickbooks/9/invoice/2"
	v.Links[l.Key], v.Own[deal] = []*link.Link{l, &other}, []*link.Link{l, &other}
	looks := []LookAnswer{stands(freshKey(l.OtherRef), "1", connector.Open), stands(freshKey(other.OtherRef), "2", connector.Open)}
	Step(v, m, Inputs{})
	ch, eff := Step(v, m, Inputs{Looks: looks})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Merge {
		t.Fatalf("sent %v, opened %v", eff.Send, ch.Opened)
	}
}

// queuedAt are tables where slots of a merged record stand.
type queuedAt struct {
	Tables
	places []Place
}

func (q queuedAt) Places(string) ([]Place, error) { return q.places, nil }

// Slots of a merged record come first, also those that ingest does not name: what
// they make is the survivor's.
func TestAMergeWaitsForTheSlotsOfWhatWasMerged(t *testing.T) {
	r := &document.Rendering{MergedFrom: []string{deal}}
	for place, want := range map[Place]bool{{Lane: "other", Seq: 4}: false, {Lane: lane, Seq: 9}: true} {
		l := &loader{Tables: queuedAt{places: []Place{place}}}
		if met, held, err := l.after(lane, r); met != want || !held || err != nil {
			t.Errorf("while one stands at %v: met %v, held %v, %v", place, met, held, err)
		}
	}
}

// The memo of an inherited invoice bears the merged record's mark: it is written
// anew while the invoice is open, and no reason to ask where it is paid.
func TestTheMarkOfAMergedRecord(t *testing.T) {
	for status, sends := range map[connector.Status]int{connector.Open: 1, connector.Closed: 0} {
		v, m := view(won(2, "a")), NewMemory()
		l := linked(v, "a")
		l.Base["note"] = document.Mark(target, "hubspot/7/deal/21", "invoice", 1) + " · Deal"
		v.Encode = func(d connector.Draft) (connector.Encoded, error) {
			return connector.Encoded{Fields: map[string]string{"line.1.net": "a", "note": d.Mark + " · Deal"}}, nil
		}
		_, eff := Step(v, m, Inputs{})
		cur := posting("a", status)
		cur.Fields = l.Base
		ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
		if len(eff.Send) != sends || len(ch.Opened) != 0 || len(ch.Ended) != 1-sends {
			t.Errorf("%s: sent %v, opened %v, ended %v", status, eff.Send, ch.Opened, ch.Ended)
		}
	}
}

// A company's merge that a newer revision supersedes moves the customer all the same:
// what stands between the two in the lane needs it.
func TestASupersededMergeMovesTheCustomer(t *testing.T) {
	for name, met := range map[string]bool{"": true, " before what it follows has ended": false} {
		h := won(1, "a")
		company := "hubspot/7/company/30"
		h.Slot.Subject, h.AfterMet, h.NewerHere, h.Overtaken = company, met, met, !met
		h.Slot.Rendering = &document.Rendering{Verdict: document.Documents, Type: event.Merge, UpdateOnly: true, MergedFrom: []string{"hubspot/7/company/29"}}
		v := view(h)
		old := &link.Link{Key: link.Key{SourceRef: "hubspot/7/company/29", Kind: document.CustomerKind, Part: "customer"}, N: 1, OtherTarget: target, OtherRef: "quickbooks/9/customer/5", State: link.Primary}
		v.Links[old.Key] = []*link.Link{old}
		v.Merged = map[string][]*link.Link{old.SourceRef: {old}}
		ch, _ := Step(v, NewMemory(), Inputs{})
		moved := v.Links[link.Key{SourceRef: company, Kind: document.CustomerKind, Part: "customer"}]
		if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Superseded || (len(moved) == 1 && moved[0].OtherRef == old.OtherRef && old.State == link.Alias) != met {
			t.Errorf("superseded%s: ended %v, links %+v, the merged one's %s", name, ch.Ended, moved, old.State)
		}
	}
}

// An invoice of a merged record was credited: it is nobody's any more, and its credit
// note is none of the survivor's invoice.
func TestACreditNoteStaysWithWhatItCredits(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	first, second := merging(v)
	second.State = link.Credited
	note := &link.Link{Key: link.Key{SourceRef: second.SourceRef, Kind: document.CreditNoteKind, Part: document.CreditOf + "invoice"}, N: 1, OtherTarget: target, OtherRef: "quickbooks/9/credit_note/3", State: link.Primary}
	v.Links[note.Key] = []*link.Link{note}
	v.Merged[second.SourceRef] = append(v.Merged[second.SourceRef], note)
	Step(v, m, Inputs{})
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{stands(freshKey(first.OtherRef), "1", connector.Open)}})
	if note.State != link.Primary || len(eff.Looks) != 0 || len(ch.Ended) != 1 {
		t.Fatalf("the note is %s, looks %v, ended %v", note.State, eff.Looks, ch.Ended)
	}
}

// A slot of a merged record comes late, as one of a lost life: its documents are the
// survivor's by then, and are left alone.
func TestALateSlotOfAMergedRecordTouchesNothing(t *testing.T) {
	for survivor, sends := range map[string]int{"": 1, "hubspot/7/deal/22": 0} {
		v, m := view(won(2, "b")), NewMemory()
		l := linked(v, "a")
		if survivor != "" {
			l.State, l.AliasOf = link.Alias, survivor
		}
		Step(v, m, Inputs{})
		ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{stands(freshKey(l.OtherRef), "1", connector.Open)}})
		if len(eff.Send) != sends || survivor != "" && l.State != link.Alias {
			t.Errorf("merged into %q: sent %v, ended %v, the link is %s", survivor, eff.Send, ch.Ended, l.State)
		}
	}
}

// What follows slots of another lane waits for them, and moves only where they wait
// for its own.
func TestAHeadThatFollowsItsOwnLaneMoves(t *testing.T) {
	for behind, want := range map[string]Outcome{lane: Moved, "l3": ""} {
		h := won(1, "a")
		h.AfterMet, h.AfterHeld = false, true
		v := view(h)
		v.Follows = map[string][]string{lane: {"l2"}, "l2": {behind}}
		ch, eff := Step(v, NewMemory(), Inputs{})
		if got := slices.ContainsFunc(ch.Ended, func(e Ended) bool { return e.Outcome == Moved }); got != (want == Moved) || len(eff.Send) > 0 {
			t.Errorf("behind %s: ended %v, state %s, sent %v", behind, ch.Ended, h.State, eff.Send)
		}
		if want == "" && h.State != Waiting {
			t.Errorf("it is %s and follows what has not ended", h.State)
		}
	}
}

// A document that the survivor has and that is over is not handed over once more: it
// would be owed again.
func TestAMergeBringsNothingBack(t *testing.T) {
	for _, state := range []link.State{link.Credited, link.Void, link.Gone} {
		v, m := view(won(1, "a")), NewMemory()
		first, second := merging(v)
		own := *first
		own.Key.SourceRef, own.State = deal, state
		v.Links[own.Key], v.Own[deal] = []*link.Link{&own}, []*link.Link{&own}
		Step(v, m, Inputs{})
		Step(v, m, Inputs{Looks: []LookAnswer{stands(freshKey(first.OtherRef), "1", connector.Open), stands(freshKey(second.OtherRef), "2", connector.Open)}})
		if first.State != link.Alias || first.AliasOf != deal || own.State != state {
			t.Errorf("%s: the merged record's is %s of %q, the survivor's %s", state, first.State, first.AliasOf, own.State)
		}
		for _, l := range v.Links[own.Key] {
			if l.OtherRef == first.OtherRef && l.Live() {
				t.Errorf("%s: %+v is owed again", state, l)
			}
		}
	}
}
