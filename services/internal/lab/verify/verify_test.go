package verify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

const (
	books    = "quickbooks/1"
	portal   = "hubspot/2"
	customer = portal + "/company/7"
	deal     = portal + "/deal/10"
	second   = portal + "/deal/11"
	topic    = "tieout.trail.v1"
)

// healthy is a state in which every promise was kept: two deals of a customer,
// each one invoice, the second of them changed once.
func healthy() *State {
	s := &State{
		Running: true,
		Accounts: map[string]*Account{
			books: {Ours: map[int64]bool{1: true, 2: true, 3: true}, Objects: []*Object{
				invoice("1", document.Mark(books, deal, "invoice", 1), 1, "119.00", "19.00"),
				invoice("2", document.Mark(books, second, "invoice", 1), 2, "50.00", "0"),
			}},
			portal: {Ours: map[int64]bool{}, Objects: []*Object{
				record("deal", "10", map[string]any{"dealname": "One", "tieout_invoice_number": "1001"}),
				record("deal", "11", map[string]any{"dealname": "Two", "tieout_invoice_number": "1002"}),
				record("company", "7", map[string]any{"name": "Kilkenny Marine"}),
			}},
		},
		Ingest: Ingest{
			Objects: map[string]SourceObject{deal: {Rev: 1}, second: {Rev: 2}, customer: {Rev: 1}}, Aliases: map[string]string{}, Raised: map[string]bool{},
			Newest: map[string]*event.Event{
				deal: {Data: []byte(`{"dealname":"One"}`)}, second: {Data: []byte(`{"dealname":"Two"}`)}, customer: {Data: []byte(`{"name":"Kilkenny Marine"}`)},
			},
		},
		Writer: Writer{Slots: map[Place]Slot{}, Lanes: map[Place]Lane{}, Paused: map[string]string{}, Wants: map[string]Want{
			deal:   {Target: books, Rev: 1, Parts: map[string]WantPart{"invoice": {document.Issued, money.Amount{Minor: 10000, Currency: "EUR"}}}},
			second: {Target: books, Rev: 2, Parts: map[string]WantPart{"invoice": {document.Issued, money.Amount{Minor: 6000, Currency: "EUR"}}}},
		}},
		Audit:    Audit{Streams: map[Stream]Range{{"writer/a", 1}: {5, 1, 5}}, Sent: map[string]int64{}, Settled: map[string]int64{}},
		Services: map[string]*Service{"writer": {Streams: map[Stream]int64{{"writer/a", 1}: 5}, Offsets: map[Partition]Offset{{topic, 0}: {Next: 9, TopicID: "x", Group: 9}}}},
		Logs:     map[Partition]Log{{topic, 0}: {Start: 0, End: 9, TopicID: "x"}},
	}
	s.Accounts[books].Objects[1].Versions = append(s.Accounts[books].Objects[1].Versions, invoice("2", document.Mark(books, second, "invoice", 1), 3, "60.00", "0").Versions[0])
	s.slot(customer, 1, customer, 1, "unchanged")
	s.done("op1", s.slot(customer, 2, deal, 1, "posted"), deal, 1, "create", "1")
	s.done("op2", s.slot(customer, 3, second, 1, "posted"), second, 1, "create", "2")
	s.done("op3", s.slot(customer, 4, second, 2, "posted"), second, 2, "update", "2")
	for i, subject := range []string{deal, second} {
		other := books + "/invoice/" + []string{"1", "2"}[i]
		s.Writer.Links = append(s.Writer.Links, Link{SourceRef: subject, Kind: "INVOICE", Part: "invoice", N: 1, Target: books, OtherRef: other, State: "primary", Number: []string{"1001", "1002"}[i]})
		s.Ingest.Events = append(s.Ingest.Events, Event{Target: portal, Lane: "c", Seq: int64(i + 1), ID: "back" + other, Ref: other, Rev: 1, Outcome: "posted", Published: true, Ended: true})
		s.Writer.Slots[Place{portal, "c", int64(i + 1)}] = Slot{State: "ended", Outcome: "posted", EventID: "back" + other}
	}
	s.Writer.Lanes[Place{Target: books, Lane: customer}] = Lane{Next: 5, State: "ready"}
	return s
}

func invoice(id, mark string, request int64, total, tax string) *Object {
	return &Object{Type: "invoice", ID: id, Versions: []Version{{Request: request, Data: map[string]any{
		"PrivateNote": mark + " · note", "TotalAmt": json.Number(total), "TxnTaxDetail": map[string]any{"TotalTax": json.Number(tax)}, "CurrencyRef": map[string]any{"value": "EUR"},
	}}}}
}

func record(typ, id string, properties map[string]any) *Object {
	return &Object{Type: typ, ID: id, Versions: []Version{{Request: 1, Data: map[string]any{"properties": properties}}}}
}

func (s *State) slot(lane string, seq int64, ref string, rev int64, outcome string) Place {
	p := Place{books, lane, seq}
	id := lane + string(rune('0'+seq))
	s.Writer.Slots[p] = Slot{State: "ended", Outcome: outcome, EventID: id, Subject: ref}
	s.Ingest.Events = append(s.Ingest.Events, Event{Target: books, Lane: lane, Seq: seq, ID: id, Ref: ref, Rev: rev, Outcome: outcome, Published: true, Ended: true})
	return p
}

func (s *State) done(id string, p Place, subject string, rev int64, effect, invoice string) {
	s.Writer.Ops = append(s.Writer.Ops, Op{
		ID: id, Target: p.Target, Lane: p.Lane, Seq: p.Seq, Part: "invoice", N: 1, Kind: "INVOICE", Effect: effect, Subject: subject, Rev: rev, State: "done",
		TheirID: books + "/invoice/" + invoice,
	})
	s.Audit.Sent[id], s.Audit.Settled[id] = 1, 1
}

func TestNothingIsSaidOfAHealthyState(t *testing.T) {
	for _, r := range Check(healthy()) {
		if len(r.Violations) > 0 || len(r.Explained) > 0 {
			t.Errorf("%s: %v, explained %v", r.Invariant, r.Violations, r.Explained)
		}
	}
}

// Each broken promise is named, under its invariant and, where the break says
// so, under no other.
func TestEachViolationIsNamed(t *testing.T) {
	event := func(s *State, i int) *Event { return &s.Ingest.Events[i] }
	for _, c := range []struct {
		name, invariant, says string
		plant                 func(s *State)
	}{
		{"a deal is billed twice", "I1", "double: mark", func(s *State) {
			s.Accounts[books].Objects = append(s.Accounts[books].Objects, invoice("3", document.Mark(books, deal, "invoice", 1), 9, "119.00", "19.00"))
		}},
		{"an update landed twice", "I1", "written 3 times by us", func(s *State) {
			o := s.Accounts[books].Objects[1]
			s.Accounts[books].Ours[4] = true
			o.Versions = append(o.Versions, Version{Request: 4, Data: o.Last().Data})
		}},
		{"an op is done and was not", "I1", "written 1 times by us", func(s *State) { o := s.Accounts[books].Objects[1]; o.Versions = o.Versions[1:] }},
		{"the books never had it", "I1", "the books never had it", func(s *State) { s.Accounts[books].Objects = s.Accounts[books].Objects[1:] }},
		{"a record was never admitted", "I2", "never admitted", func(s *State) { delete(s.Ingest.Objects, deal) }},
		{"a record has no event", "I2", "no event", func(s *State) { delete(s.Ingest.Newest, customer) }},
		{"the last change was not seen", "I2", "dealname is Other there and One here", func(s *State) {
			s.Accounts[portal].Objects[0].Versions[0].Data["properties"].(map[string]any)["dealname"] = "Other"
		}},
		{"a revision never reached the writer", "I2", "never reached the writer", func(s *State) {
			*event(s, 1) = Event{Target: books, Lane: customer, Seq: 9, ID: "gone", Ref: deal, Rev: 1, Published: true}
		}},
		{"a revision is stuck", "I2", "neither ended nor", func(s *State) {
			event(s, 3).Ended = false
			s.Writer.Slots[Place{books, customer, 4}] = Slot{State: "queued", EventID: event(s, 3).ID}
		}},
		{"ingest was not told of an end", "I2", "never told", func(s *State) { event(s, 3).Ended = false }},
		{"another event took the slot", "I2", "ingest gave it to", func(s *State) {
			p := Place{books, customer, 4}
			x := s.Writer.Slots[p]
			x.EventID = "other"
			s.Writer.Slots[p] = x
		}},
		{"another event took the slot, and ours has no other", "I2", "ingest gave it to", func(s *State) {
			p := Place{books, customer, 4}
			x := s.Writer.Slots[p]
			x.EventID, s.Ingest.SetBack, event(s, 3).Outcome, event(s, 3).Rev = "other", true, "moved", 99
			s.Writer.Slots[p] = x
		}},
		{"a later slot was first", "I3", "before slot 2", func(s *State) {
			s.Accounts[books].Objects[0].Versions[0].Request = 5
			s.Accounts[books].Ours[5] = true
		}},
		{"a fact is missing", "I4", "4 facts from 1 to 5", func(s *State) { s.Audit.Streams[Stream{"writer/a", 1}] = Range{4, 1, 5} }},
		{"the first fact is missing", "I4", "4 facts from 2 to 5", func(s *State) { s.Audit.Streams[Stream{"writer/a", 1}] = Range{4, 2, 5} }},
		{"the last fact is missing", "I4", "told 5 facts, the audit has 4", func(s *State) { s.Audit.Streams[Stream{"writer/a", 1}] = Range{4, 1, 4} }},
		{"an intent is missing", "I4", "no intent", func(s *State) { s.Audit.Sent["op3"] = 0 }},
		{"an outcome stands twice", "I4", "2 outcomes", func(s *State) { s.Audit.Settled["op3"] = 2 }},
		{"a document has no link", "I5", "no link leads to it", func(s *State) { s.Writer.Links = s.Writer.Links[1:] }},
		{"a link leads to nothing", "I5", "never had", func(s *State) { s.Writer.Links[0].OtherRef = books + "/invoice/99" }},
		{"a link leads to another's document", "I5", "never bore mark", func(s *State) { s.Writer.Links[0].OtherRef = books + "/invoice/2" }},
		{"we deleted a document", "I5", "was deleted", func(s *State) { s.Accounts[books].Objects[0].Deleted = true }},
		{"the deal shows another number", "I5", `shows invoice number "7"`, func(s *State) {
			s.Accounts[portal].Objects[0].Versions[0].Data["properties"].(map[string]any)["tieout_invoice_number"] = "7"
		}},
		{"a cent is missing", "I6", "119.99", func(s *State) { s.Accounts[books].Objects[0].Versions[0].Data["TotalAmt"] = json.Number("138.99") }},
		{"nothing was billed", "I6", "nothing is linked", func(s *State) { s.Writer.Links = s.Writer.Links[1:] }},
		{"a lost deal is still billed", "I6", "shall be void", func(s *State) { s.Writer.Wants[deal].Parts["invoice"] = WantPart{Desired: document.Voided} }},
		{"a row beyond the log", "I7", "stands at 12", func(s *State) { s.Services["writer"].Offsets[Partition{topic, 0}] = Offset{Next: 12, TopicID: "x"} }},
		{"a row behind its group", "I7", "told Kafka 9", func(s *State) {
			s.Services["writer"].Offsets[Partition{topic, 0}] = Offset{Next: 5, TopicID: "x", Group: 9}
		}},
		{"a topic was made anew", "I7", "another topic", func(s *State) { s.Logs[Partition{topic, 0}] = Log{End: 9, TopicID: "y"} }},
		{"the broker is silent", "I7", "does not answer", func(s *State) { s.Logs = nil }},
		{"records are unread", "I8", "4 records of", func(s *State) { s.Logs[Partition{topic, 0}] = Log{End: 13, TopicID: "x"} }},
		{"a slot waits", "I8", "1 slots are to be worked off", func(s *State) { s.Writer.Slots[Place{books, customer, 5}] = Slot{State: "queued"} }},
		{"a call is open", "I8", "1 calls", func(s *State) { s.Writer.Unsettled = 1 }},
		{"a message is unsent", "I8", "1 messages of writer", func(s *State) { s.Services["writer"].Unpublished = 1 }},
		{"a target is paused", "I8", "is paused", func(s *State) { s.Writer.Paused[books] = "the vendor is away" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := healthy()
			c.plant(s)
			named := false
			for _, r := range Check(s) {
				named = named || r.Invariant == c.invariant && slices.ContainsFunc(r.Violations, func(v string) bool { return strings.Contains(v, c.says) })
			}
			if !named {
				t.Errorf("nobody says %q under %s: %+v", c.says, c.invariant, Check(s))
			}
		})
	}
}

// What a person did in the books, or was asked about, is explained and no
// violation.
// What a stopped stack lacks, and nothing of which is under way, is lost.
func TestAStoppedStackIsForgivenNothingElse(t *testing.T) {
	s := healthy()
	s.Running = false
	s.Services["writer"].Streams[Stream{"writer/a", 1}] = 6
	if n := Broken(Check(s)); n != 1 {
		t.Errorf("%d violations for a fact that nobody has: %+v", n, Check(s))
	}
}

func TestWhatPeopleDoIsExplained(t *testing.T) {
	for name, do := range map[string]func(s *State){
		"a person voids an invoice": func(s *State) {
			o := s.Accounts[books].Objects[0]
			v := invoice("1", "", 8, "0", "0").Versions[0]
			v.Data["PrivateNote"] = "Voided - " + document.Mark(books, deal, "invoice", 1)
			o.Versions = append(o.Versions, v)
		},
		"a person deletes an invoice": func(s *State) {
			o := s.Accounts[books].Objects[0]
			o.Versions, o.Deleted = append(o.Versions, Version{Request: 8, Data: o.Last().Data}), true
		},
		"a person takes the mark out": func(s *State) {
			o := s.Accounts[books].Objects[0]
			v := invoice("1", "paid by cheque", 8, "119.00", "19.00").Versions[0]
			o.Versions = append(o.Versions, v)
		},
		"a lost deal of a closed period is credited": func(s *State) {
			s.Writer.Wants[deal].Parts["invoice"] = WantPart{Desired: document.Voided}
			s.Writer.Links[0].State = "credited"
			note := invoice("9", document.Mark(books, deal, "credit:invoice", 1), 9, "119.00", "19.00")
			note.Type = "credit_note"
			s.Accounts[books].Objects = append(s.Accounts[books].Objects, note)
			s.Writer.Links = append(s.Writer.Links, Link{SourceRef: deal, Kind: "CREDIT_NOTE", Part: "credit:invoice", N: 1, Target: books, OtherRef: books + "/credit_note/9", State: "primary"})
		},
		"a record cannot be admitted": func(s *State) { delete(s.Ingest.Objects, deal); s.Ingest.Raised[deal] = true },
		"a company was merged away":   func(s *State) { delete(s.Ingest.Objects, customer); s.Ingest.Aliases[customer] = "another" },
		"a lane is parked": func(s *State) {
			s.Ingest.Events[3].Ended = false
			s.Writer.Slots[Place{books, customer, 4}] = Slot{State: "queued", EventID: s.Ingest.Events[3].ID}
			s.Writer.Lanes[Place{Target: books, Lane: customer}] = Lane{Next: 4, State: "parked", Exception: "w-1"}
		},
		"a place was given twice, when a database was set back": func(s *State) {
			e := s.Ingest.Events[3]
			s.Ingest.SetBack, s.Ingest.Events[3].ID, s.Ingest.Events[3].Outcome = true, "displaced", "moved"
			s.Ingest.Events = append(s.Ingest.Events, Event{Target: books, Lane: customer, Seq: 5, ID: "behind", Ref: e.Ref, Rev: e.Rev, Outcome: "unchanged", Published: true, Ended: true})
			s.Writer.Slots[Place{books, customer, 5}] = Slot{State: "ended", Outcome: "unchanged", EventID: "behind", Subject: e.Ref}
			s.Writer.Lanes[Place{Target: books, Lane: customer}] = Lane{Next: 6, State: "ready"}
		},
		"a stopped stack has messages to send": func(s *State) { s.Running, s.Services["writer"].Unpublished = false, 3 },
		"a stopped stack has facts to read": func(s *State) {
			s.Running, s.Logs[Partition{topic, 0}] = false, Log{End: 13, TopicID: "x"}
			s.Services["writer"].Streams[Stream{"writer/a", 1}] = 6
			s.Ingest.Events[3].Ended = false
		},
	} {
		s := healthy()
		do(s)
		for _, r := range Check(s) {
			if len(r.Violations) > 0 {
				t.Errorf("%s: %s says %v", name, r.Invariant, r.Violations)
			}
		}
	}
}
