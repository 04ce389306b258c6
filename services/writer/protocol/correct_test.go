package protocol

import (
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
)

// closedBooks are closed over an invoice that a deal's second revision changes. The
// encoder says what the part asks for, as a connector does.
func closedBooks(h *Head) (*View, *Memory, *link.Link, *connector.Posting) {
	v, m := view(h), NewMemory()
	v.Claims.LockDates = true
	l := linked(v, "a")
	l.Base["issue_date"] = "2026-09-15"
	v.Encode = func(d connector.Draft) (connector.Encoded, error) {
		f := map[string]string{}
		switch {
		case d.Part.Invoice != nil:
			f["line.1.net"], f["issue_date"], f["due_date"] = "b", d.Part.Invoice.IssueDate, d.Part.Invoice.DueDate
		case d.Part.CreditNote != nil:
			f["line.1.net"], f["issue_date"] = d.Current.Fields["line.1.net"], d.Part.CreditNote.IssueDate
		}
		return connector.Encoded{Body: []byte(d.Mark), Fields: f}, nil
	}
	for i := range h.Slot.Rendering.Parts {
		if p := h.Slot.Rendering.Parts[i].Invoice; p != nil {
			p.IssueDate, p.DueDate = "2026-09-15", "2026-10-15"
		}
	}
	cur := posting("a", connector.Open)
	cur.Fields, cur.IssueDate = l.Base, "2026-09-15"
	return v, m, l, cur
}

// looked answers each look of a turn, until something is sent, asked or ended.
func looked(v *View, m *Memory, in Inputs, cur *connector.Posting) (Changes, Effects) {
	for {
		ch, eff := Step(v, m, in)
		if len(eff.Looks) == 0 || len(eff.Send)+len(ch.Opened)+len(ch.Ended) > 0 {
			return ch, eff
		}
		in.Looks = nil
		for _, l := range eff.Looks {
			a := LookAnswer{Key: l.Key, LockedThrough: "2026-09-30", Postings: []connector.Posting{*cur}}
			in.Looks = append(in.Looks, a)
		}
	}
}

func agree(h *Head, field string) Inputs {
	return Inputs{Commands: []Command{{ID: "c1", Exception: h.Exception, Lane: h.Lane, Seq: h.Slot.Seq, Action: ReissueIt, Actor: "ann", Reason: "agreed", Field: field}}}
}

// An amount that changes after its period was closed: once a person agreed the
// invoice is credited and issued anew, both dated the first open day, and neither
// leaves before.
func TestAnAmountInAClosedPeriodIsCorrected(t *testing.T) {
	h := won(2, "b")
	v, m, l, cur := closedBooks(h)
	ch, eff := looked(v, m, Inputs{}, cur)
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period || ch.Opened[0].Field != FieldClosed {
		t.Fatalf("sent %v, opened %+v", eff.Send, ch.Opened)
	}
	ch, eff = looked(v, m, agree(h, FieldClosed), cur)
	if len(eff.Send) != 1 {
		t.Fatalf("sent %v, opened %+v, refused %v", eff.Send, ch.Opened, ch.Refused)
	}
	o := ch.Ops[0]
	if o.Kind != document.CreditNoteKind || o.Effect != connector.Create || o.N != 1 || o.Fields["issue_date"] != "2026-10-01" || o.Fields["line.1.net"] != "a" {
		t.Fatalf("credit %+v", o)
	}
	note := posting("a", connector.Open)
	note.Kind, note.Mark, note.Ref.Type, note.Ref.ID = document.CreditNoteKind, o.Mark, "credit_note", "9"
	ch, eff = Step(v, m, answer(eff.Send[0], connector.Outcome{Posting: note}))
	if l.State != link.Credited || len(eff.Send) != 1 {
		t.Fatalf("the invoice is %s, sent %v", l.State, eff.Send)
	}
	said := false
	for _, f := range ch.Facts {
		said = said || f.Type == "link.credited" && f.Posting.Ref == cur.Ref && f.Posting.Status == connector.Credited && f.Slot == h.Slot
	}
	n := ch.Ops[len(ch.Ops)-1]
	if !said || n.Kind != document.InvoiceKind || n.N != 2 || n.Fields["issue_date"] != "2026-10-01" || n.Fields["due_date"] != "2026-10-31" || n.Fields["line.1.net"] != "b" {
		t.Fatalf("facts %+v, issued anew %+v", ch.Facts, n)
	}
}

// What was sent or paid is not taken back in full, in a closed period neither; the
// exception names both.
func TestWhatWasPaidInAClosedPeriodIsAPersonsToCorrect(t *testing.T) {
	for _, c := range []struct {
		status connector.Status
		sent   bool
		says   string
	}{{connector.Closed, false, "and paid (cell L)"}, {connector.Partly, false, "and partly paid (cell L)"}, {connector.Open, true, "and sent to the customer (cell L)"}} {
		for _, lost := range []bool{false, true} {
			h := won(2, "b")
			if lost {
				h.Slot.Rendering.Parts[0] = document.Part{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Voided, VoidCause: document.Lost, Subject: deal}
			}
			v, m, _, cur := closedBooks(h)
			cur.Status, cur.Sent = c.status, c.sent
			ch, eff := looked(v, m, Inputs{}, cur)
			if len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Period || ch.Opened[0].Field != "" || !strings.Contains(ch.Opened[0].Reason, c.says) {
				t.Fatalf("lost %t: sent %v, opened %+v", lost, eff.Send, ch.Opened)
			}
			if _, eff = looked(v, m, agree(h, FieldClosed), cur); len(eff.Send) != 0 {
				t.Errorf("lost %t: credited all the same: %v", lost, eff.Send)
			}
		}
	}
}

// A person is asked about a closed period by what the books say now: a date that was
// read a while ago may have been taken back.
func TestAPeriodThatWasOpenedAgainIsSeen(t *testing.T) {
	h := won(1, "a")
	v, m := view(h), NewMemory()
	v.Claims.LockDates = true
	h.Slot.Rendering.Parts[0].Invoice.IssueDate = "2026-09-15"
	m.Looks[lockKey] = LookAnswer{Key: lockKey, LockedThrough: "2026-09-30"}
	v.Mono = 20 * time.Second
	ch, eff := Step(v, m, Inputs{})
	if len(ch.Opened) != 0 || len(eff.Looks) != 1 || !eff.Looks[0].Lock {
		t.Fatalf("opened %+v, looks %v", ch.Opened, eff.Looks)
	}
	if _, eff = Step(v, m, Inputs{Looks: []LookAnswer{closed("")}}); len(eff.Send) != 1 {
		t.Fatalf("sent %v", eff.Send)
	}
}

// A deal that is lost after its period was closed is credited, and nothing is issued.
func TestALostDealInAClosedPeriodIsCredited(t *testing.T) {
	h := won(2, "")
	h.Slot.Rendering.Parts[0] = document.Part{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Voided, VoidCause: document.Lost, Subject: deal}
	v, m, l, cur := closedBooks(h)
	if ch, _ := looked(v, m, Inputs{}, cur); len(ch.Opened) != 1 || ch.Opened[0].Field != FieldClosed {
		t.Fatalf("opened %+v", ch.Opened)
	}
	_, eff := looked(v, m, agree(h, FieldClosed), cur)
	note := posting("a", connector.Open)
	note.Kind, note.Ref.ID = document.CreditNoteKind, "9"
	ch, eff := Step(v, m, answer(eff.Send[0], connector.Outcome{Posting: note}))
	if l.State != link.Credited || len(eff.Send) != 0 || len(ch.Ended) != 1 || ch.Ended[0].Outcome != Posted {
		t.Fatalf("the invoice is %s, sent %v, ended %v", l.State, eff.Send, ch.Ended)
	}
}

// What a person changed in a closed period is not credited over.
func TestAnEditInAClosedPeriodIsAskedAbout(t *testing.T) {
	h := won(2, "b")
	v, m, _, cur := closedBooks(h)
	looked(v, m, Inputs{}, cur)
	cur.Fields = map[string]string{"line.1.net": "x", "issue_date": "2026-09-15"}
	ch, eff := looked(v, m, agree(h, FieldClosed), cur)
	if len(eff.Send) != 0 || len(ch.Opened) != 1 || ch.Opened[0].Kind != exception.Conflict {
		t.Fatalf("sent %v, opened %+v", eff.Send, ch.Opened)
	}
}

// A credit note that a restored database forgot is found again by its mark, and the
// invoice that it takes back is not credited twice.
func TestAForgottenCreditNoteIsFoundAgain(t *testing.T) {
	v, m := restored(won(1, "a"))
	v.Claims.LockDates = true
	note := posting("a", connector.Open)
	note.Kind, note.Mark, note.Ref.ID = document.CreditNoteKind, document.Mark(v.Target, deal, document.CreditOf+"invoice", 1), "9"
	ch, eff := found(t, v, m, posting("a", connector.Open), note)
	state := map[document.Kind]link.State{}
	for _, l := range ch.Links {
		state[l.Kind] = l.State
	}
	if state[document.CreditNoteKind] != link.Primary || state[document.InvoiceKind] != link.Credited {
		t.Fatalf("links %+v", ch.Links)
	}
	if len(eff.Send) != 1 || v.Ops[eff.Send[0].Items[0].OpID].N != 2 {
		t.Fatalf("issued anew: %v", eff.Send)
	}
}
