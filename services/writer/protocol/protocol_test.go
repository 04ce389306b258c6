package protocol

import (
	"reflect"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

const (
	target = "quickbooks/9"
	deal   = "hubspot/1/deal/7"
	lane   = "hubspot/1/company/5"
)

// won is a head whose invoice is wanted at a version of its content.
func won(rev int64, content string) *Head {
	p := document.Part{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Issued, Subject: deal, Invoice: &document.Invoice{Note: content}}
	return &Head{Lane: lane, State: Ready, AfterMet: true, Slot: &Slot{
		Lane: lane, Seq: rev, Subject: deal, Rev: rev, Class: event.Realtime, Rendering: &document.Rendering{Verdict: document.Documents, Parts: []document.Part{p}, Type: event.Put},
	}}
}

func view(heads ...*Head) *View {
	return &View{
		Now: 1_000_000, Tenant: "acme", Target: target, Budget: 10, RealtimeMost: 10, BulkMost: 10, Batches: 10, Heads: heads, Ops: map[string]*Op{}, Links: map[link.Key][]*link.Link{}, Own: map[string][]*link.Link{}, Owners: map[string]link.Key{},
		Claims: connector.Claims{Ambiguity: map[document.Kind]connector.Ambiguity{document.InvoiceKind: connector.Searchable}, Guard: time.Second, LongestRequest: 3 * time.Second, SearchLag: time.Second},
		Encode: func(d connector.Draft) (connector.Encoded, error) {
			note := ""
			if d.Part.Invoice != nil {
				note = d.Part.Invoice.Note
			}
			return connector.Encoded{Body: []byte(note + d.Mark), Fields: map[string]string{"line.1.net": note}}, nil
		},
		Symbol: func(string, string, string) (string, bool) { return "", false },
	}
}

func posting(note string, status connector.Status) *connector.Posting {
	return &connector.Posting{
		Ref: event.Ref{System: "quickbooks", Account: "9", Type: "invoice", ID: "1"}, Kind: document.InvoiceKind, Version: "0", Status: status, Active: true, Number: "1001",
		Mark: document.Mark(target, deal, "invoice", 1), Fields: map[string]string{"line.1.net": note},
	}
}

// sent plays the first turn of a new invoice and returns its call.
func sent(t *testing.T, v *View, m *Memory) *Call {
	t.Helper()
	ch, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 1 || len(ch.Ops) != 1 || len(ch.Calls) != 1 || ch.Ops[0].State != Sent {
		t.Fatalf("sent %v, ops %v", eff.Send, ch.Ops)
	}
	return eff.Send[0]
}

func answer(c *Call, out connector.Outcome) Inputs {
	return Inputs{Answers: []Answer{{Call: c.ID, Outcomes: []connector.Outcome{out}}}}
}

func TestACreateIsSettledAndItsSlotEnds(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	c := sent(t, v, m)
	ch, eff := Step(v, m, answer(c, connector.Outcome{Posting: posting("a", connector.Open)}))
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Posted || len(ch.Links) != 1 || ch.Links[0].State != link.Primary || len(eff.Send) != 0 {
		t.Fatalf("ended %v, links %v, sent again %v", ch.Ended, ch.Links, eff.Send)
	}
}

// A marker whose record is gone, or was pushed and never there, has nobody to tell: its
// slot ends without an exception. Any other refusal is a person's.
func TestAMarkerOfARecordThatIsGoneEnds(t *testing.T) {
	for kind, asked := range map[fault.Kind]int{fault.NotFound: 0, fault.Rejected: 1} {
		h := won(1, "a")
		h.Slot.Rendering.Parts = []document.Part{{Name: "marker", Kind: document.MarkerKind, Mode: document.Own, Desired: document.Issued, Subject: deal, Marker: &document.Marker{Record: deal, Number: "1001"}}}
		v, m := view(h), NewMemory()
		c := sent(t, v, m)
		ch, eff := Step(v, m, answer(c, connector.Outcome{Err: fault.New(kind, "no such deal")}))
		if len(ch.Opened) != asked || len(ch.Ended) != 1-asked || len(eff.Send) != 0 || asked == 0 && ch.Ended[0].Outcome != Unchanged {
			t.Errorf("%s: opened %v, ended %v, sent %v", kind, ch.Opened, ch.Ended, eff.Send)
		}
	}
}

// A lost answer is looked into after the quarantine and not before; what is
// found is done, and nothing was sent twice.
func TestALostAnswerIsFound(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	c := sent(t, v, m)
	_, eff := Step(v, m, answer(c, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	if len(eff.Send)+len(eff.Looks) != 0 || c.State != CallDoubt {
		t.Fatalf("before the quarantine: sent %v, looked %v", eff.Send, eff.Looks)
	}
	v.Mono = v.Claims.Q()
	_, eff = Step(v, m, Inputs{})
	if len(eff.Looks) != 1 || len(eff.Send) != 0 || eff.Looks[0].Probe == nil || eff.Looks[0].Probe.Mark != c.Items[0].Mark {
		t.Fatalf("after the quarantine: looks %+v, sent %v", eff.Looks, eff.Send)
	}
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*posting("a", connector.Open)}}}})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Posted || len(eff.Send) != 0 {
		t.Fatalf("ended %v, sent %v", ch.Ended, eff.Send)
	}
}

// What is not there after the quarantine is sent once more, under another key.
func TestAnAbsentOneIsSentAgain(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	first := sent(t, v, m)
	Step(v, m, answer(first, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	v.Mono = v.Claims.Q()
	_, eff := Step(v, m, Inputs{})
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key}}})
	if len(eff.Send) != 1 || eff.Send[0].ID == first.ID || eff.Send[0].Items[0].OpID != first.Items[0].OpID {
		t.Fatalf("sent %+v, first %+v", eff.Send, first)
	}
}

// A new owner believes nothing: a call that it did not send is in doubt, and
// its quarantine starts now.
func TestAnInheritedCallIsInDoubt(t *testing.T) {
	v := view(won(1, "a"))
	sent(t, v, NewMemory())
	v.Heads[0].State, v.Mono = Running, time.Hour
	m := NewMemory()
	_, eff := Step(v, m, Inputs{})
	if len(eff.Looks)+len(eff.Send) != 0 || eff.WakeAt != time.Hour+v.Claims.Q() {
		t.Fatalf("looks %v, sent %v, wakes at %v", eff.Looks, eff.Send, eff.WakeAt)
	}
}

func linked(v *View, note string) *link.Link {
	l := &link.Link{Key: link.Key{SourceRef: deal, Kind: document.InvoiceKind, Part: "invoice"}, N: 1, OtherTarget: target, OtherRef: "quickbooks/9/invoice/1", State: link.Primary, Base: map[string]string{"line.1.net": note}, OtherVersion: "0"}
	v.Links[l.Key] = []*link.Link{l}
	v.Own[deal] = []*link.Link{l}
	return l
}

func TestUnchangedSendsNothing(t *testing.T) {
	v := view(won(2, "a"))
	linked(v, "a")
	ch, eff := Step(v, NewMemory(), Inputs{})
	if len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged || len(eff.Send)+len(eff.Looks) != 0 {
		t.Fatalf("ended %v, sent %v, looked %v", ch.Ended, eff.Send, eff.Looks)
	}
}

// A change reads the books first; what it finds decides.
func TestAChangeReadsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		found connector.Posting
		err   error
		sends int
		parks string
	}{
		"as we left it":     {found: *posting("a", connector.Open), sends: 1},
		"edited by hand":    {found: *posting("mine", connector.Open), parks: "conflict"},
		"partly paid":       {found: *posting("a", connector.Partly), parks: "unsupported"},
		"closed":            {found: *posting("a", connector.Closed), parks: "unsupported"},
		"voided by hand":    {found: *posting("a", connector.Voided), parks: "conflict"},
		"deleted by a hand": {err: fault.New(fault.NotFound, "gone"), parks: "conflict"},
	} {
		v, m := view(won(2, "b")), NewMemory()
		linked(v, "a")
		_, eff := Step(v, m, Inputs{})
		if len(eff.Looks) != 1 || len(eff.Send) != 0 {
			t.Fatalf("%s: looks %v, sent %v", name, eff.Looks, eff.Send)
		}
		look := LookAnswer{Key: eff.Looks[0].Key, Err: c.err}
		if c.err == nil {
			look.Postings = []connector.Posting{c.found}
		}
		ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{look}})
		parked := ""
		if len(ch.Opened) == 1 {
			parked = string(ch.Opened[0].Kind)
		}
		if len(eff.Send) != c.sends || parked != c.parks {
			t.Errorf("%s: sent %d, parked %q", name, len(eff.Send), parked)
		}
	}
}

func TestWonAgainAfterAVoidIsAnotherDocument(t *testing.T) {
	v := view(won(3, "a"))
	linked(v, "a").State = link.Void
	ch, eff := Step(v, NewMemory(), Inputs{})
	if len(eff.Send) != 1 || ch.Ops[0].N != 2 || ch.Ops[0].Effect != connector.Create {
		t.Fatalf("sent %v, ops %+v", eff.Send, ch.Ops)
	}
}

// A refusal holds the lane in front of a person; retry sends under another key.
func TestARefusalParksAndRetryGoesOn(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	c := sent(t, v, m)
	ch, _ := Step(v, m, answer(c, connector.Outcome{Err: &fault.Error{Kind: fault.Rejected, Code: "6210", Field: "period", Text: "closed"}}))
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != "period" || ch.Opened[0].Fix == "" || v.Heads[0].State != Parked {
		t.Fatalf("opened %+v, lane %s", ch.Opened, v.Heads[0].State)
	}
	_, eff := Step(v, m, Inputs{Commands: []Command{{ID: "c", Exception: ch.Opened[0].ID, Lane: lane, Seq: 1, Action: "retry", Reason: "opened", Actor: "ann"}}})
	if len(eff.Send) != 1 || eff.Send[0].ID == c.ID {
		t.Fatalf("sent %v", eff.Send)
	}
}

func TestDiscardWaitsForADoubt(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	c := sent(t, v, m)
	Step(v, m, answer(c, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	v.Heads[0].State, v.Heads[0].Exception = Parked, "w-1"
	ch, _ := Step(v, m, Inputs{Commands: []Command{{ID: "c", Exception: "w-1", Lane: lane, Seq: 1, Action: "discard", Reason: "x", Actor: "ann"}}})
	if len(ch.Ended) != 0 {
		t.Fatalf("a slot with an op in doubt ended %v", ch.Ended)
	}
}

// While another lane has an op of the subject under way, nothing of it leaves.
func TestSubjectHold(t *testing.T) {
	h := won(2, "b")
	h.Lane, h.Slot.Lane = "hubspot/1/company/6", "hubspot/1/company/6"
	v, m := view(won(1, "a")), NewMemory()
	sent(t, v, m)
	v.Heads = append(v.Heads, h)
	if _, eff := Step(v, m, Inputs{}); len(eff.Send) != 0 {
		t.Fatalf("sent %v", eff.Send)
	}
}

// Three answers about the connection in a row pause the target with one
// exception, and a success resumes it.
func TestBreaker(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	opened := 0
	for range breakAfter {
		c := sent(t, v, m)
		ch, _ := Step(v, m, answer(c, connector.Outcome{Err: fault.New(fault.Transient, "refused")}))
		opened += len(ch.Opened)
		v.Calls, m.Flying = nil, map[string]bool{}
		v.Heads[0].State = Ready
		for _, op := range v.Ops {
			op.State = Refused
		}
		if v.Paused {
			break
		}
	}
	if !v.Paused || opened != 1 {
		t.Fatalf("paused %v with %d exceptions", v.Paused, opened)
	}
	if _, eff := Step(v, m, Inputs{}); len(eff.Send) != 0 {
		t.Fatal("a paused target sends before its probe is due")
	}
	v.Mono = firstProbe
	_, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 1 {
		t.Fatalf("%d requests leave as a probe", len(eff.Send))
	}
	ch, _ := Step(v, m, answer(eff.Send[0], connector.Outcome{Posting: posting("a", connector.Open)}))
	if v.Paused || ch.Pause == nil || *ch.Pause || len(ch.Acted) == 0 {
		t.Fatalf("paused %v, changes %+v", v.Paused, ch)
	}
}

// Who asks for a rest gets it, also by an answer about a call that is settled by
// now or that nobody knows any more.
func TestARestIsKeptWhateverTheCall(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	_, eff := Step(v, m, Inputs{Answers: []Answer{{Call: "forgotten", Outcomes: []connector.Outcome{{Err: &fault.Error{Kind: fault.RateLimited, RetryAfter: time.Minute}}}}}})
	if len(eff.Send)+len(eff.Looks) != 0 || m.HoldUntil != v.Mono+time.Minute {
		t.Errorf("%d requests leave, and the target rests until %s", len(eff.Send)+len(eff.Looks), m.HoldUntil)
	}
}

// A person's retry brings the next probe forward, and adds none to one that is
// under way.
func TestARetryAddsNoSecondProbe(t *testing.T) {
	for probe, want := range map[string]time.Duration{"": 0, "under way": firstProbe} {
		v, m := view(won(1, "a")), NewMemory()
		v.Paused, v.Alert, v.Budget = true, "alert", 0
		m.Backoff, m.ProbeAt, m.Probe = firstProbe, firstProbe, probe
		ch, _ := Step(v, m, Inputs{Commands: []Command{{ID: "c", Exception: "alert", Action: Retry}}})
		if len(ch.Commands) != 1 || m.ProbeAt != want {
			t.Errorf("probe %q: the next one is due after %s, want %s", probe, m.ProbeAt, want)
		}
	}
}

// Equal inputs give equal outputs.
func TestStepIsDeterministic(t *testing.T) {
	play := func() (Changes, Effects) { return Step(view(won(1, "a")), NewMemory(), Inputs{}) }
	a, b := play()
	for range 20 {
		c, d := play()
		if !reflect.DeepEqual(a, c) || !reflect.DeepEqual(b, d) {
			t.Fatal("two turns differ")
		}
	}
}

// Two revisions of a record in two lanes, seen by one turn: a document that the
// older one made in this turn is voided by the newer one, which no longer names
// its part.
func TestAPartMadeInThisTurnIsVoidedByTheNextRevision(t *testing.T) {
	older, newer := won(1, "a"), won(2, "a")
	newer.Lane, newer.Slot.Lane = "hubspot/1/company/6", "hubspot/1/company/6"
	newer.Slot.Rendering.Parts = nil
	v, m := view(older), NewMemory()
	v.Own[deal] = nil // read, and nothing was there
	c := sent(t, v, m)
	v.Heads = append(v.Heads, newer)
	ch, eff := Step(v, m, answer(c, connector.Outcome{Posting: posting("a", connector.Open)}))
	if len(ch.Ended) != 1 || ch.Ended[0].Lane != lane || len(eff.Looks) != 1 {
		t.Fatalf("ended %v, looks %v: the newer revision must read the document that it is to void", ch.Ended, eff.Looks)
	}
}

// A newer revision that ends without a request overtakes the older one of
// another lane in the same turn.
func TestARevisionThatEndsInThisTurnOvertakes(t *testing.T) {
	newer, older := won(3, "a"), won(2, "b")
	older.Lane, older.Slot.Lane = "hubspot/1/company/6", "hubspot/1/company/6"
	v := view(newer, older)
	linked(v, "a")
	ch, eff := Step(v, NewMemory(), Inputs{})
	want := []Ended{{Lane: lane, Seq: 3, Outcome: Unchanged}, {Lane: older.Lane, Seq: 2, Outcome: Superseded}}
	if !reflect.DeepEqual(ch.Ended, want) || len(eff.Send)+len(eff.Looks) != 0 {
		t.Fatalf("ended %+v, sent %v, looks %v", ch.Ended, eff.Send, eff.Looks)
	}
}

// A doubt is not decided by what was seen of an earlier generation of its op.
func TestALookOfAnEarlierGenerationDecidesNothing(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	first := sent(t, v, m)
	Step(v, m, answer(first, connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	v.Mono = v.Claims.Q()
	_, eff := Step(v, m, Inputs{})
	asked := eff.Looks[0]
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: asked.Key}}})
	Step(v, m, answer(eff.Send[0], connector.Outcome{Err: fault.New(fault.InDoubt, "reset")}))
	v.Mono += v.Claims.Q()
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: asked.Key}}}) // the first question, answered again and late
	if len(ch.Ops) != 0 || len(eff.Looks) != 1 || eff.Looks[0].Key == asked.Key {
		t.Fatalf("ops %v, looks %v: the second copy must be looked for by itself", ch.Ops, eff.Looks)
	}
}

// A read is as old as its question: an answer that a frozen process takes hours
// later is asked for again.
func TestAReadIsAsOldAsItsQuestion(t *testing.T) {
	v, m := view(won(2, "b")), NewMemory()
	linked(v, "a")
	_, eff := Step(v, m, Inputs{})
	if len(eff.Looks) != 1 {
		t.Fatalf("looks %v", eff.Looks)
	}
	v.Mono += time.Hour
	_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*posting("a", connector.Open)}}}})
	if len(eff.Looks) != 1 || len(eff.Send) != 0 {
		t.Fatalf("looks %v, sent %v: what was read an hour ago is written over", eff.Looks, eff.Send)
	}
}

// refusedBefore are tables that hold a refused op of the deal's invoice, at a
// place that its revision had before it was requeued.
type refusedBefore struct{ Tables }

func (refusedBefore) Invoices(string) ([]*link.Link, error) { return nil, nil }
func (refusedBefore) Links(link.Key) ([]*link.Link, error)  { return nil, nil }
func (refusedBefore) OpsFor(subject, part string) ([]*Op, error) {
	return []*Op{{ID: document.OpID("acme", target, &won(1, "a").Slot.Rendering.Parts[0], 1, "put", 1), Lane: lane, Seq: 1, State: Refused, Gen: 2}}, nil
}

// A revision that was requeued leaves as the next generation of its op: under
// the key of the call that was refused, books that remember keys would only
// repeat their refusal.
func TestARequeuedRevisionLeavesUnderAnotherKey(t *testing.T) {
	h := won(1, "a")
	h.Slot.Seq, h.Slot.Rendering.SlotNo = 4, 2
	v := view(h)
	if err := (&loader{Tables: refusedBefore{}, v: v}).parts(h.Slot); err != nil {
		t.Fatal(err)
	}
	ch, eff := Step(v, NewMemory(), Inputs{})
	if len(eff.Send) != 1 || len(ch.Ops) != 1 || ch.Ops[0].Gen != 3 || ch.Ops[0].Seq != 4 {
		t.Fatalf("sent %v, ops %+v", eff.Send, ch.Ops)
	}
}
