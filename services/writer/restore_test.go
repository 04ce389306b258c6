package writer

import (
	"slices"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/link"
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
	for what, x := range map[string]struct {
		fact trail.Fact
		want link.State // "": none
		rev  int64
	}{
		"posted":        {trail.Fact{Type: "op.settled", Outcome: "posted", Rev: 4, Subject: "hubspot/1/deal/7", Posting: posting}, link.Primary, 4},
		"voided":        {trail.Fact{Type: "op.settled", Outcome: "posted", Rev: 5, Subject: "hubspot/1/deal/7", Posting: &void}, link.Void, 5},
		"matched":       {trail.Fact{Type: "link.created", Outcome: "matched", Rev: 4, Subject: "hubspot/1/deal/8", Posting: posting}, link.Primary, 0},
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
