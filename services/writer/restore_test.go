package writer

import (
	"slices"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

// What cannot be decided after a restore may be linked, and is never confirmed absent.
func TestActionsOnRecovery(t *testing.T) {
	got := acted{kind: string(exception.Recovery), lane: "l", seq: 1}.actions()
	if !slices.Equal(got, []string{protocol.Retry, protocol.LinkTo, protocol.Discard}) {
		t.Errorf("actions %v", got)
	}
}

// Only facts about documents that the books confirmed move links.
func TestFactsThatMoveLinks(t *testing.T) {
	posting := &trail.Posting{Kind: string(document.InvoiceKind), Part: "invoice", N: 2, OtherRef: "quickbooks/9/invoice/1", SourceRef: "hubspot/1/deal/7", Version: "3", Status: string(connector.Open)}
	void := *posting
	void.Status = string(connector.Voided)
	marker := void
	marker.Kind = string(document.MarkerKind)
	for what, x := range map[string]struct {
		fact trail.Fact
		want link.State // "": none
		rev  int64
	}{
		"posted":        {trail.Fact{Type: "op.settled", Outcome: "posted", Rev: 4, Subject: "hubspot/1/deal/7", Posting: posting}, link.Primary, 4},
		"voided":        {trail.Fact{Type: "op.settled", Outcome: "posted", Rev: 5, Subject: "hubspot/1/deal/7", Posting: &void}, link.Void, 5},
		"marked void":   {trail.Fact{Type: "op.settled", Outcome: "posted", Rev: 5, Subject: "hubspot/1/deal/7", Posting: &marker}, link.Primary, 5},
		"matched":       {trail.Fact{Type: "link.created", Outcome: "matched", Rev: 4, Subject: "hubspot/1/deal/8", Posting: posting}, link.Primary, 0},
		"credited":      {trail.Fact{Type: "link.credited", Rev: 4, Subject: "hubspot/1/deal/7", Posting: posting}, link.Credited, 4},
		"gone":          {trail.Fact{Type: "link.gone", Rev: 4, Subject: "hubspot/1/deal/7", Posting: posting}, link.Gone, 4},
		"refused":       {trail.Fact{Type: "op.settled", Outcome: "refused:rejected", Posting: posting}, "", 0},
		"no document":   {trail.Fact{Type: "op.settled", Outcome: "posted"}, "", 0},
		"another event": {trail.Fact{Type: "slot.ended", Posting: posting}, "", 0},
	} {
		c := confirmedBy(&x.fact)
		switch {
		case c == nil && x.want == "":
		case c == nil || c.State != x.want || c.Rev != x.rev || c.N != 2:
			t.Errorf("%s: %+v, wanted %s of revision %d", what, c, x.want, x.rev)
		}
	}
}

// Set back once more before its recovery is over, a database is asked again what
// came after the first: facts of the lost life may have been late.
func TestASecondRestoreAsksFromBeforeTheFirst(t *testing.T) {
	d := newDesk(t)
	do := func(sql string) {
		t.Helper()
		if err := d.db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(sql)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(when string, want int64) {
		t.Helper()
		if _, err := d.server.w.MarkRestored(t.Context(), "a test says so", "tester"); err != nil {
			t.Fatal(err)
		}
		if n := d.count(`SELECT last_seq FROM past_stream WHERE stream = 'writer/books'`); n != want {
			t.Errorf("%s: asked from %d on, want %d", when, n, want)
		}
	}
	do(`INSERT INTO target (target, tenant, state) VALUES ('books', 'acme', 'active')`)
	do(`INSERT INTO fact_stream (stream, incarnation, last_seq) VALUES ('writer/books', 1, 7)`)
	asked("once", 7)
	do(`UPDATE fact_stream SET last_seq = 9 WHERE stream = 'writer/books'`)
	do(`UPDATE target SET recovery_gathered = 1`)
	asked("again, while it recovers", 7)
	do(`UPDATE target SET recovery_since = 0, recovery_gathered = 0`)
	do(`UPDATE fact_stream SET last_seq = 12 WHERE stream = 'writer/books'`)
	asked("after its end", 12)
}

// What a merge that was told absorbs is not planned for itself, and nothing is
// planned while that merge is still on its way here.
func TestTheAbsorbedAreKnown(t *testing.T) {
	d := newDesk(t)
	const loser, survivor = "hubspot/1/deal/7", "hubspot/1/deal/8"
	r := &document.Rendering{EventID: "e8", Target: "books", Lane: "l", Seq: 4, Class: event.Realtime, Ref: survivor, Rev: 2, Verdict: document.Nothing, MergedFrom: []string{loser}, OccurredAt: time.Unix(1_800_000_000, 0)}
	doc, err := document.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	past := func(subject string) (out *protocol.Past) {
		t.Helper()
		if err := d.db.Write(t.Context(), func(tx *store.Tx) (err error) {
			out, err = tables{tx, "books"}.Past(&protocol.Slot{EventID: "of " + subject, Subject: subject, Lane: "l", Seq: 3, Rev: 1})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	write := func(do func(tx *store.Tx) error) {
		t.Helper()
		if err := d.db.Write(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx *store.Tx) error {
		return putTold(tx, "books", &protocol.Told{Place: protocol.Place{Lane: "l", Seq: 4}, EventID: "e8", Subject: survivor, Rev: 2, Outcome: protocol.Posted, Merge: true})
	})
	if p := past(loser); !p.Missing || p.Absorbed {
		t.Errorf("before the merge is here: %+v", p)
	}
	write(func(tx *store.Tx) error {
		_, err := d.server.w.storeSlot(tx, r, doc, "")
		return err
	})
	if p := past(loser); p.Missing || !p.Absorbed {
		t.Errorf("of the record that was merged away: %+v", p)
	}
	if p := past("hubspot/1/deal/9"); p.Missing || p.Absorbed {
		t.Errorf("of another record: %+v", p)
	}
}

// What a probe made belongs to no record: it keeps no recovery from its end.
func TestARecoveryDoesNotWaitForWhatAProbeMade(t *testing.T) {
	d := newDesk(t)
	for mark, want := range map[string]string{document.Mark("books/1", "crm/1/deal/1", "invoice", 1): "no link names it", document.ProbeMark("r", 1): ""} {
		p := &connector.Posting{Ref: event.Ref{System: "books", Account: "1", Type: "invoice", ID: "7"}, Kind: document.InvoiceKind, Mark: mark, Status: connector.Voided}
		if err := d.db.Read(t.Context(), func(tx *store.Tx) error {
			why, _, err := agree(tx, "books/1", p, false)
			if why != want {
				t.Errorf("%s: %q", mark, why)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}
