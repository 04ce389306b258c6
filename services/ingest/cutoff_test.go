package ingest

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

var began = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

// What may only be matched, what a person asks for, and what a backfill that
// creates nothing leaves to the poll, so that what is won meanwhile is billed.
func TestWhoMayCreate(t *testing.T) {
	early, late := began.AddDate(0, -1, 0), began.AddDate(0, 0, 1)
	none, week := wish{}, wish{backfill: true, from: began.AddDate(0, 0, -7)}
	only, repair := wish{matchOnly: true}, wish{targets: []string{"books"}}
	cutEarly, cutLate := began.AddDate(-1, 0, 0), late.AddDate(0, 0, 1)
	held, billed := &last{slotNo: 1, matchOnly: true}, &last{slotNo: 1}
	for _, c := range []struct {
		name           string
		cut            time.Time
		wish           wish
		last           *last
		still          bool
		made, won      time.Time
		only, left, up bool // matched only; left to the poll; a known revision gets a slot
	}{
		{"won before the route ran", began, none, nil, false, early, early, true, false, false},
		{"won since", began, none, nil, false, early, late, false, false, false},
		{"made since, dated back", began, none, nil, false, late, early, false, false, false},
		{"not won", began, none, nil, false, early, time.Time{}, false, false, false},
		{"matched only, and its date is edited", began, none, held, true, early, late, true, false, false},
		{"matched only, lost, and won again", began, none, held, false, early, late, false, false, false},
		{"asked for once, and mended", began, none, billed, true, early, early, false, false, false},
		{"match-only: won before", began, only, nil, false, early, early, true, false, false},
		{"match-only: won since", began, only, nil, false, early, late, true, true, false},
		{"match-only: made since, dated back", began, only, nil, false, late, early, true, true, false},
		{"match-only: not won", began, only, nil, false, early, time.Time{}, true, false, false},
		{"match-only: after an early cut-off, before the route ran", cutEarly, only, nil, false, early, early, true, false, false},
		{"match-only: before a late cut-off", cutLate, only, nil, false, early, late, true, false, false},
		{"match-only: asked for before", began, only, billed, true, early, early, true, true, false},
		{"match-only: matched only before", began, only, held, true, early, late, true, false, false},
		{"since a week: older", began, week, nil, false, early, early, true, false, false},
		{"since a week: younger", began, week, nil, false, early, began.AddDate(0, 0, -3), false, false, false},
		{"since a week: won since", began, week, nil, false, early, late, false, false, false},
		{"since a week: matched only before, older", began, week, held, true, early, early, true, false, false},
		{"since a week: matched only before, younger", began, week, held, true, early, began.AddDate(0, 0, -3), false, false, true},
		{"since a week: asked for before", began, week, billed, true, early, began.AddDate(0, 0, -3), false, false, false},
		{"repair: matched only before", began, repair, held, true, early, early, false, false, true},
		{"repair in other books", began, wish{targets: []string{"others"}}, held, true, early, early, true, false, false},
	} {
		r := &connector.Record{CreatedAt: c.made, QualifiedAt: c.won}
		x := terms{route: registry.Route{Target: "books"}, started: began, cut: c.cut, wish: c.wish, last: c.last, still: c.still}
		if got := x.matchOnly(r); got != c.only {
			t.Errorf("%s: matched only %v", c.name, got)
		}
		if got := x.theirs(r); got != c.left {
			t.Errorf("%s: left to the poll %v", c.name, got)
		}
		if got := x.lifted(r); got != c.up {
			t.Errorf("%s: another slot %v", c.name, got)
		}
	}
}

// old puts a deal that was won before the service first ran.
func (p *portal) old(id, content string, won time.Time) {
	p.put(id, content, customer)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.records[id]
	r.CreatedAt, r.QualifiedAt = won, won
	p.records[id] = r
}

func (w *world) backfill(r *controlv1.StartBackfillRequest) *controlv1.Run {
	w.t.Helper()
	r.Connection, r.Type = "crm", "deal"
	started, err := w.in.Server().StartBackfill(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	var out *controlv1.Run
	w.until("the backfill is done", func() bool {
		list, err := w.in.Server().ListRuns(w.t.Context(), &controlv1.ListRunsRequest{Id: started.GetItems()[0].GetId()})
		if err != nil {
			w.t.Fatal(err)
		}
		out = list.GetItems()[0]
		return out.GetState() == "done"
	})
	return out
}

// placed are the events of a deal in the order of its slots, as rev/slot and
// whether each may only match.
func (w *world) placed(id string) (out []string) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		events, err := eventsOf(tx, `SELECT body FROM event WHERE ref = $1 ORDER BY seq`, dealRef(id).String())
		for _, e := range events {
			out = append(out, fmt.Sprintf("%d/%d %v", e.Rev, e.SlotNo, e.MatchOnly))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) hasPlaced(what, id string, want ...string) {
	w.t.Helper()
	if got := w.placed(id); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s: deal %s has the slots %v, not %v", what, id, got, want)
	}
}

// First match, then bill: what was matched only is billed once a backfill names
// an earlier start, and what is older still is not; nothing is billed twice.
func TestABackfillBillsWhatWasMatchedOnly(t *testing.T) {
	w := open(t)
	w.portal.quiet = true // the backfill comes first
	w.portal.old("1", "a", time.Now().AddDate(0, -1, 0))
	w.portal.old("2", "a", time.Now().AddDate(-2, 0, 0))
	w.run()
	if r := w.backfill(&controlv1.StartBackfillRequest{MatchOnly: true}); r.GetAdmitted() != 2 {
		t.Fatalf("%v", r)
	}
	from := &controlv1.StartBackfillRequest{From: timestamppb.New(time.Now().AddDate(-1, 0, 0))}
	if r := w.backfill(from); r.GetAdmitted() != 1 || r.GetDuplicates() != 1 {
		t.Errorf("the second run: %v", r)
	}
	if r := w.backfill(from); r.GetAdmitted() != 0 || r.GetDuplicates() != 2 {
		t.Errorf("the third run: %v", r)
	}
	w.hasPlaced("billed once", "1", "1/1 true", "1/2 false")
	w.hasPlaced("too old", "2", "1/1 true")
	// what was asked for stays so when it is mended; the other is not lifted by a change
	w.portal.old("1", "b", time.Now().AddDate(0, -1, 0))
	w.portal.old("2", "b", time.Now())
	w.deliver("secret", "1 2")
	w.until("both changes are known", func() bool { return len(w.placed("1")) == 3 && len(w.placed("2")) == 2 })
	w.hasPlaced("mended", "1", "1/1 true", "1/2 false", "2/1 false")
	w.hasPlaced("changed", "2", "1/1 true", "2/1 true")
}

// A repair asks for the document in the books that its break is about; a plain
// reading of the same record asks for nothing.
func TestARepairLiftsTheCutOff(t *testing.T) {
	w := open(t)
	w.portal.old("1", "a", time.Now().AddDate(0, -1, 0))
	w.run()
	w.until("it is known", func() bool { return len(w.placed("1")) == 1 })
	for _, target := range []string{"", "quickbooks/other", "quickbooks/9", "quickbooks/9"} {
		if _, err := w.in.Server().Recheck(t.Context(), &controlv1.RecheckRequest{Ref: dealRef("1").String(), Target: target}); err != nil {
			t.Fatal(err)
		}
		w.until("it is read", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
		if want := map[string]int{"quickbooks/9": 2}[target]; len(w.placed("1")) != max(1, want) {
			t.Errorf("after a repair in %q: %v", target, w.placed("1"))
		}
	}
	w.hasPlaced("repaired", "1", "1/1 true", "1/2 false")
}

// A deal won since the route runs, which the backfill is the first to come
// across, is read as the poll reads it.
func TestAMatchOnlyBackfillLeavesWhatIsWonMeanwhile(t *testing.T) {
	w := open(t)
	w.portal.quiet = true
	w.portal.old("1", "a", time.Now().Add(time.Minute))
	w.portal.old("2", "a", time.Now().AddDate(0, 0, -1))
	w.run()
	if r := w.backfill(&controlv1.StartBackfillRequest{MatchOnly: true}); r.GetAdmitted() != 1 || r.GetDuplicates() != 1 {
		t.Errorf("%v", r)
	}
	w.until("the poll's is read", func() bool { return len(w.placed("1")) == 1 })
	w.hasPlaced("won meanwhile", "1", "1/1 false")
	w.hasPlaced("won before", "2", "1/1 true")
}
