package protocol

import (
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/link"
)

var (
	everyChange = []change{changeAmount, changeNote, changeTerms, changeDate, changeParty, changeTax, changeLost, changeDeleted}
	everyCell   = []cell{cellOpen, cellSent, cellPartly, cellClosed, cellLocked, cellVoid}
)

// Every cell of the life cycle is decided, and what a person must do says how.
func TestEveryCellIsDecided(t *testing.T) {
	want := map[cell]map[change]string{
		cellOpen:   {changeAmount: "put", changeNote: "put", changeTerms: "put", changeDate: "put", changeParty: "void", changeTax: "tax", changeLost: "void", changeDeleted: "conflict"},
		cellSent:   {changeAmount: "unsupported", changeNote: "unsupported", changeTerms: "unsupported", changeDate: "unsupported", changeParty: "unsupported", changeTax: "unsupported", changeLost: "unsupported", changeDeleted: "unsupported"},
		cellPartly: {changeAmount: "unsupported", changeNote: "unsupported", changeTerms: "unsupported", changeDate: "leave", changeParty: "unsupported", changeTax: "unsupported", changeLost: "unsupported", changeDeleted: "unsupported"},
		cellClosed: {changeAmount: "unsupported", changeNote: "unsupported", changeTerms: "leave", changeDate: "leave", changeParty: "unsupported", changeTax: "unsupported", changeLost: "unsupported", changeDeleted: "unsupported"},
		cellLocked: {changeAmount: "period", changeNote: "period", changeTerms: "leave", changeDate: "leave", changeParty: "period", changeTax: "period", changeLost: "period", changeDeleted: "period"},
		cellVoid:   {changeAmount: "conflict", changeNote: "leave", changeTerms: "leave", changeDate: "leave", changeParty: "leave", changeTax: "leave", changeLost: "leave", changeDeleted: "leave"},
	}
	for _, at := range everyCell {
		for _, c := range everyChange {
			r := rule(c, at)
			got := map[duty]string{leave: "leave", put: "put", void: "void", person: string(r.kind)}[r.do]
			if got != want[at][c] {
				t.Errorf("%s in cell %s: %s, want %s", c, at, got, want[at][c])
			}
			if (r.do == person) != (r.fix != "") {
				t.Errorf("%s in cell %s: %v with fix %q", c, at, r.do, r.fix)
			}
			if r.do == put && at != cellOpen || r.do == void && at != cellOpen {
				t.Errorf("%s in cell %s changes a document in place", c, at)
			}
		}
	}
}

func TestChangesAreSortedIntoRows(t *testing.T) {
	base := map[string]string{"customer": "c1", "currency": "EUR", "issue_date": "2026-11-01", "due_date": "2026-12-01", "note": "n", "lines": "1", "line.1.net": "10", "line.1.tax": "S"}
	for key, want := range map[string]change{
		"customer": changeParty, "currency": changeParty, "issue_date": changeDate, "due_date": changeTerms, "note": changeNote,
		"line.1.net": changeAmount, "lines": changeAmount, "line.1.tax": changeTax, "line.2.item": changeAmount,
	} {
		got := changesOf(base, map[string]string{key: "other"})
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", key, got, want)
		}
	}
	if got := changesOf(base, base); len(got) != 0 {
		t.Errorf("no difference is %v", got)
	}
	if r, why := judge([]change{changeNote, changeTax, changeParty}, cellOpen, posting("a", connector.Open)); r.do != person || why != changeTax {
		t.Errorf("the strictest ruling counts: %v %s", r, why)
	}
}

// An open invoice for another customer is voided, and then issued anew.
func TestAnOpenInvoiceOfAnotherCustomerIsIssuedAnew(t *testing.T) {
	v, m := view(won(2, "a")), NewMemory()
	l := linked(v, "a")
	l.Base["customer"] = "quickbooks/9/customer/1"
	v.Encode = func(d connector.Draft) (connector.Encoded, error) {
		return connector.Encoded{Body: []byte(d.Mark), Fields: map[string]string{"line.1.net": "a", "customer": "quickbooks/9/customer/2"}}, nil
	}
	_, eff := Step(v, m, Inputs{})
	cur := posting("a", connector.Open)
	cur.Fields = l.Base
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
	if len(eff.Send) != 1 || ch.Ops[0].Effect != connector.Void || ch.Ops[0].N != 1 {
		t.Fatalf("sent %v, ops %+v", eff.Send, ch.Ops)
	}
	gone := *cur
	gone.Status = connector.Voided
	ch, eff = Step(v, m, answer(eff.Send[0], connector.Outcome{Posting: &gone}))
	if len(eff.Send) != 1 || len(ch.Ended) != 0 {
		t.Fatalf("after the void: sent %v, ended %v", eff.Send, ch.Ended)
	}
	if o := ch.Ops[len(ch.Ops)-1]; o.Effect != connector.Create || o.N != 2 {
		t.Fatalf("after the void: op %+v", o)
	}
}

// The tax status of an open invoice changes by a reissue that a person agreed to:
// it is voided, and the next one bears the new code. A second question needs a
// second agreement.
func TestAnotherTaxStatusIsIssuedAnewOnceAPersonAgrees(t *testing.T) {
	v, m := view(won(2, "a")), NewMemory()
	l := linked(v, "a")
	l.Base["line.1.tax"] = "standard"
	v.Encode = func(d connector.Draft) (connector.Encoded, error) {
		return connector.Encoded{Body: []byte(d.Mark), Fields: map[string]string{"line.1.net": "a", "line.1.tax": "reduced"}}, nil
	}
	cur := posting("a", connector.Open)
	cur.Fields = l.Base
	_, eff := Step(v, m, Inputs{})
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Tax || ch.Opened[0].Field != FieldTaxStatus {
		t.Fatalf("sent %v, opened %+v", eff.Send, ch.Opened)
	}
	c := Command{ID: "c1", Exception: v.Heads[0].Exception, Lane: v.Heads[0].Lane, Seq: v.Heads[0].Slot.Seq, Action: ReissueIt, Actor: "ann", Reason: "the customer is exempt", Field: FieldTaxStatus}
	ch, eff = Step(v, m, Inputs{Commands: []Command{c}})
	if len(ch.Commands) != 0 || len(eff.Looks) != 1 {
		t.Fatalf("the document is read first: commands %v, looks %v", ch.Commands, eff.Looks)
	}
	ch, eff = Step(v, m, Inputs{Commands: []Command{c}, Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
	if len(ch.Commands) != 1 || len(ch.Refused) != 0 || len(eff.Looks) != 1 {
		t.Fatalf("agreed: %v, refused %v, looks %v", ch.Commands, ch.Refused, eff.Looks)
	}
	ch, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
	if len(eff.Send) != 1 || ch.Ops[0].Effect != connector.Void {
		t.Fatalf("sent %v, ops %+v", eff.Send, ch.Ops)
	}
	gone := *cur
	gone.Status = connector.Voided
	ch, eff = Step(v, m, answer(eff.Send[0], connector.Outcome{Posting: &gone}))
	if o := ch.Ops[len(ch.Ops)-1]; len(eff.Send) != 1 || o.Effect != connector.Create || o.N != 2 || o.Fields["line.1.tax"] != "reduced" {
		t.Fatalf("after the void: sent %v, op %+v", eff.Send, o)
	}
	m.Agreed[v.Heads[0].place()] = true
	turn := &turn{v: v, m: m}
	turn.park(v.Heads[0], exception.Conflict, "", "something else", nil)
	if len(m.Agreed) != 0 {
		t.Error("an agreement outlives the next question")
	}
}

// What was sent, paid or closed is not taken for one whose memo alone differs by the
// mark of a record that was merged into it.
func TestAnAmountIsNoMark(t *testing.T) {
	for status, kind := range map[connector.Status]exception.Kind{connector.Partly: exception.Unsupported, connector.Closed: exception.Unsupported} {
		v, m := view(won(2, "b")), NewMemory()
		l := linked(v, "a")
		note := document.Mark(v.Target, deal, "invoice", 1) + " · Deal"
		l.Base["note"] = note
		v.Encode = func(d connector.Draft) (connector.Encoded, error) {
			return connector.Encoded{Body: []byte(d.Mark), Fields: map[string]string{"line.1.net": "b", "note": note}}, nil
		}
		cur := posting("a", status)
		cur.Fields = l.Base
		_, eff := Step(v, m, Inputs{})
		ch, _ := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
		if len(ch.Opened) != 1 || ch.Opened[0].Kind != kind || len(ch.Ended) != 0 {
			t.Errorf("%s: opened %+v, ended %+v", status, ch.Opened, ch.Ended)
		}
	}
}

// A document that stands as it should is not issued anew.
func TestAReissueOfWhatStandsIsRefused(t *testing.T) {
	v, m := view(won(2, "b")), NewMemory()
	l := linked(v, "a")
	cur := posting("x", connector.Open) // changed by a person
	_, eff := Step(v, m, Inputs{})
	ch, _ := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Conflict {
		t.Fatalf("opened %+v", ch.Opened)
	}
	c := Command{ID: "c1", Exception: v.Heads[0].Exception, Lane: v.Heads[0].Lane, Seq: v.Heads[0].Slot.Seq, Action: ReissueIt, Actor: "ann", Reason: "because"}
	Step(v, m, Inputs{Commands: []Command{c}})
	ch, eff = Step(v, m, Inputs{Commands: []Command{c}, Looks: []LookAnswer{{Key: reissueKey(l.OtherRef), Postings: []connector.Posting{*cur}}}})
	if len(ch.Refused) != 1 || ch.Refused[0].Why != itStands || len(eff.Send) != 0 || len(m.Agreed) != 0 {
		t.Fatalf("refused %v, sent %v", ch.Refused, eff.Send)
	}
}

// closed answers the look for the lock date.
func closed(through string) LookAnswer { return LookAnswer{Key: lockKey, LockedThrough: through} }

func TestAnInvoiceDatedInAClosedPeriodIsNeverSent(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	v.Claims.LockDates = true
	v.Heads[0].Slot.Rendering.Parts[0].Invoice.IssueDate = "2026-09-30"
	_, eff := Step(v, m, Inputs{})
	if len(eff.Looks) != 1 || !eff.Looks[0].Lock || len(eff.Send) != 0 {
		t.Fatalf("looks %v, sends %v", eff.Looks, eff.Send)
	}
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{closed("2026-09-30")}})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period || ch.Opened[0].Field != "issue_date" {
		t.Fatalf("sends %v, opened %+v", eff.Send, ch.Opened)
	}
	drill.Injected(t, 1, 72)
}

// A period that was closed after its date was read: the date is read anew, and only
// then a person is asked, by the cell that the document is in.
func TestAPeriodClosedMeanwhileIsReadAnew(t *testing.T) {
	v, m := view(won(1, "a")), NewMemory()
	v.Claims.LockDates = true
	v.Heads[0].Slot.Rendering.Parts[0].Invoice.IssueDate = "2026-09-30"
	Step(v, m, Inputs{})
	_, eff := Step(v, m, Inputs{Looks: []LookAnswer{closed("")}})
	if len(eff.Send) != 1 {
		t.Fatalf("sends %v", eff.Send)
	}
	v.Mono += 30 * time.Second
	refusal := connector.Outcome{Err: &fault.Error{Kind: fault.Rejected, Code: "6210", Field: "period", Text: "closed"}}
	ch, eff := Step(v, m, answer(eff.Send[0], refusal))
	if len(ch.Opened) != 0 || len(eff.Looks) != 1 || !eff.Looks[0].Lock {
		t.Fatalf("opened %v, looks %v", ch.Opened, eff.Looks)
	}
	again, eff := Step(v, m, Inputs{Looks: []LookAnswer{closed("")}}) // it says that the day is open
	if len(eff.Send) != 1 {
		t.Fatalf("sends %v, opened %v", eff.Send, again.Opened)
	}
	ch, _ = Step(v, m, answer(eff.Send[0], refusal))
	if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period {
		t.Fatalf("opened %v: the books are believed at the second time", ch.Opened)
	}
}

// A document in a closed period is left alone, whatever its status says.
func TestALockedDocumentIsLeftAlone(t *testing.T) {
	v, m := view(won(2, "b")), NewMemory()
	v.Claims.LockDates = true
	linked(v, "a")
	found := posting("a", connector.Open)
	found.IssueDate = "2026-09-01"
	Step(v, m, Inputs{})
	_, eff := Step(v, m, Inputs{Looks: []LookAnswer{closed("2026-09-30")}})
	if len(eff.Looks) != 1 {
		t.Fatalf("looks %v", eff.Looks)
	}
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*found}}}})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period {
		t.Fatalf("sends %v, opened %+v", eff.Send, ch.Opened)
	}
}

func TestADeletedRecordNeverVoidsByItself(t *testing.T) {
	h := won(2, "")
	h.Slot.Rendering.Parts[0] = document.Part{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Voided, VoidCause: document.Deleted, Subject: deal}
	v, m := view(h), NewMemory()
	linked(v, "a")
	_, eff := Step(v, m, Inputs{})
	ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*posting("a", connector.Open)}}}})
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Conflict {
		t.Fatalf("sends %v, opened %+v", eff.Send, ch.Opened)
	}
}

// What arrived before the cut-off is looked for and linked, and never made.
func TestMatchOnlyNeverCreates(t *testing.T) {
	for name, found := range map[string][]connector.Posting{"nothing there": nil, "there": {*posting("a", connector.Closed)}} {
		v, m := view(won(1, "a")), NewMemory()
		v.Heads[0].Slot.Rendering.MatchOnly = true
		v.Claims.Match = map[document.Kind][]string{document.InvoiceKind: {connector.ByMark}}
		_, eff := Step(v, m, Inputs{})
		if len(eff.Looks) != 1 || len(eff.Send) != 0 {
			t.Fatalf("%s: looks %v, sends %v", name, eff.Looks, eff.Send)
		}
		ch, eff := Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: found}}})
		if len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Unchanged || len(ch.Links) != len(found) {
			t.Fatalf("%s: sends %v, ended %v, links %v", name, eff.Send, ch.Ended, ch.Links)
		}
	}
}

// A batch that is too large is taken apart, and nothing of it counts as refused.
func TestATooLargeBatchLeavesAgainInHalves(t *testing.T) {
	v, m := bulk(4), NewMemory()
	_, eff := Step(v, m, Inputs{})
	if len(eff.Send) != 1 || len(eff.Send[0].Items) != 4 {
		t.Fatalf("sent %v", eff.Send)
	}
	whole := eff.Send[0]
	too := make([]connector.Outcome, 4)
	for i := range too {
		too[i].Err = &fault.Error{Kind: fault.Rejected, Code: "1040", Field: fault.FieldBatch}
	}
	ch, eff := Step(v, m, Inputs{Answers: []Answer{{Call: whole.ID, Outcomes: too}}})
	if len(ch.Opened) != 0 || len(eff.Send) != 2 || len(eff.Send[0].Items) != 2 || m.BatchMost != 2 {
		t.Fatalf("opened %v, sent %d calls, most %d", ch.Opened, len(eff.Send), m.BatchMost)
	}
}

// An invoice that goes to another customer is voided and made anew. Where the void is
// refused since the invoice is void by then, the new one is made all the same.
func TestWhatIsVoidAtTheSameMomentIsMadeAnew(t *testing.T) {
	v, m := view(won(2, "a")), NewMemory()
	l := linked(v, "a")
	l.Base["customer"] = "1"
	v.Encode = func(connector.Draft) (connector.Encoded, error) {
		return connector.Encoded{Fields: map[string]string{"line.1.net": "a", "customer": "2"}}, nil
	}
	see := func(in Inputs, status connector.Status) Effects {
		_, eff := Step(v, m, in)
		if len(eff.Looks) != 1 {
			t.Fatalf("looks %v, sends %v", eff.Looks, eff.Send)
		}
		cur := posting("a", status)
		cur.Fields = map[string]string{"line.1.net": "a", "customer": "1"}
		_, eff = Step(v, m, Inputs{Looks: []LookAnswer{{Key: eff.Looks[0].Key, Postings: []connector.Posting{*cur}}}})
		return eff
	}
	eff := see(Inputs{}, connector.Open)
	if len(eff.Send) != 1 || eff.Send[0].Items[0].Effect != connector.Void {
		t.Fatalf("sent %v", eff.Send)
	}
	refused := Inputs{Answers: []Answer{{Call: eff.Send[0].ID, Outcomes: []connector.Outcome{{Err: fault.New(fault.Conflict, "the version moved")}}}}}
	eff = see(refused, connector.Voided)
	if len(eff.Send) != 1 || eff.Send[0].Items[0].Effect != connector.Create || l.State != link.Void {
		t.Fatalf("sent %v, the link is %s", eff.Send, l.State)
	}
}
