package admission

import (
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
)

func read(no int64, hash string) Read {
	return Read{No: no, Record: connector.Record{Hash: hash, Version: "v" + hash}, Cause: event.Change}
}

func TestSameContentIsOneRevision(t *testing.T) {
	d := Decide(Object{}, read(1, "a"))
	if d.Verdict != Admit || d.Object.Rev != 1 || d.Type != event.Put {
		t.Fatalf("first read: %+v", d)
	}
	if again := Decide(d.Object, read(2, "a")); again.Verdict != Duplicate || again.Object.Rev != 1 {
		t.Fatalf("repeat: %+v", again)
	}
}

func TestBackToTheOldValueIsARevision(t *testing.T) {
	o := Object{}
	for i, hash := range []string{"a", "b", "a"} {
		d := Decide(o, read(int64(i+1), hash))
		if d.Verdict != Admit || d.Object.Rev != int64(i+1) {
			t.Fatalf("read %d: %+v", i, d)
		}
		o = d.Object
	}
	drill.Injected(t, 1, 89)
}

// A read that started before another one was admitted, and brings something
// else, saw the past.
func TestALateReadIsNotAdmitted(t *testing.T) {
	o := Decide(Object{}, read(5, "b")).Object
	if d := Decide(o, read(4, "a")); d.Verdict != Stale || d.Object != o {
		t.Fatalf("late read: %+v", d)
	}
}

// A read that started before the merge of its customer was found may have seen what
// was before it; one that started later is believed.
func TestAReadFromBeforeItsCustomersMergeIsNotAdmitted(t *testing.T) {
	for no, want := range map[int64]Verdict{5: Stale, 6: Stale, 7: Admit} {
		r := read(no, "a")
		r.Merged = 6
		if d := Decide(Object{}, r); d.Verdict != want {
			t.Errorf("read %d, and the merge was found after read 6: %s, not %s", no, d.Verdict, want)
		}
	}
}

// A duplicate moves the read number as well: else A(1), A(3), then B(2) would
// bring back a state that read 3 had already seen gone.
func TestADuplicateMovesTheReadNumber(t *testing.T) {
	o := Decide(Object{}, read(1, "a")).Object
	o = Decide(o, read(3, "a")).Object
	if d := Decide(o, read(2, "b")); d.Verdict != Stale {
		t.Fatalf("a read older than a duplicate was taken: %+v", d)
	}
}

func TestLinkAsksForARevisionWithoutAChange(t *testing.T) {
	o := Decide(Object{}, read(1, "a")).Object
	r := read(2, "a")
	r.Cause = event.Linked
	if d := Decide(o, r); d.Verdict != Admit || d.Object.Rev != 2 {
		t.Fatalf("%+v", d)
	}
}

func TestNewsOfAMergeIsARevision(t *testing.T) {
	o := Object{Rev: 3, Hash: "a", ReadNo: 5}
	r := Read{No: 6, Record: connector.Record{Hash: "a"}, Cause: event.Change, Merges: true}
	if d := Decide(o, r); d.Verdict != Admit || d.Object.Rev != 4 {
		t.Errorf("a record that says what it said, and was merged: %+v", d)
	}
	r.Record.Deleted = true
	if d := Decide(Object{}, r); d.Verdict != Admit || d.Type != event.Delete {
		t.Errorf("one that was merged and deleted before anybody read it: %+v", d)
	}
}

func TestDeletion(t *testing.T) {
	gone := Read{No: 9, Record: connector.Record{Deleted: true, Problem: "no customer"}, Cause: event.Change}
	if d := Decide(Object{}, gone); d.Verdict != Duplicate {
		t.Fatalf("a record never seen alive made %+v", d)
	}
	o := Decide(Object{}, read(1, "a")).Object
	d := Decide(o, gone)
	if d.Verdict != Admit || d.Type != event.Delete || !d.Object.Deleted {
		t.Fatalf("%+v", d)
	}
	if again := Decide(d.Object, gone); again.Verdict != Duplicate {
		t.Fatalf("deleted twice: %+v", again)
	}
}

// After a restore a record that is not known may have been deleted in the life that is
// lost, and what was made of it is undone. But that its source never heard of it says
// nothing: a caller may have pushed it.
func TestWhatARestoreForgotIsDeletedWhereTheSourceSaysSo(t *testing.T) {
	for absent, want := range map[bool]Verdict{false: Admit, true: Duplicate} {
		r := Read{No: 1, Record: connector.Record{Deleted: true, Absent: absent}, Cause: event.Reissue, Floor: FloorFor(1)}
		if d := Decide(Object{}, r); d.Verdict != want {
			t.Errorf("absent %v: %+v", absent, d)
		}
	}
}

func TestUnusableAndMerged(t *testing.T) {
	r := read(1, "a")
	r.Record.Problem = "two companies"
	if d := Decide(Object{}, r); d.Verdict != Unusable || d.Object.Rev != 0 {
		t.Fatalf("%+v", d)
	}
	r = read(1, "a")
	r.Record.MergedFrom = []event.Ref{{System: "hubspot", Account: "1", Type: "deal", ID: "2"}}
	if d := Decide(Object{}, r); d.Type != event.Merge {
		t.Fatalf("%+v", d)
	}
}

// Two lives share no revision, also when the second begins right after the first.
func TestLivesShareNoRevision(t *testing.T) {
	now := int64(1_796_000_000_123_456)
	for _, later := range []int64{1, 999, 1_000_000, 3_600_000_000} {
		first, second := FloorFor(now), FloorFor(now+later)
		if second-first < later { // a revision in each microsecond would not do
			t.Errorf("%d µs later revisions go on only %d higher", later, second-first)
		}
	}
	if century := FloorFor(now + 100*365*24*3600*1_000_000); century >= 1<<53 {
		t.Errorf("in a century a revision is %d: not exact as a number of JSON", century)
	}
}
