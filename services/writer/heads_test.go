package writer

import (
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/money"
)

// Heads say where a lane's first gap is: what ingest sends again lies behind it. The
// first slot of all may be the one that was lost.
func TestHeadsEndAtTheFirstGap(t *testing.T) {
	d := newDesk(t)
	for lane, stored := range map[string][]int64{"a": {1, 2, 4}, "b": {2, 3}, "c": {1}, "d": {1, 2, 3, 6, 7}, "e": {3}} {
		for _, seq := range stored {
			d.queue("crm/1/company/"+lane, seq, "crm/1/deal/"+lane, money.Amount{Minor: seq, Currency: "EUR"})
		}
	}
	d.exec(`UPDATE lane SET next = 3 WHERE lane = 'crm/1/company/d'`)
	d.exec(`UPDATE lane SET next = 3 WHERE lane = 'crm/1/company/e'`) // those before it were cleared away
	req, want := &controlv1.SlotHeadsRequest{}, map[string]int64{"a": 2, "b": 0, "c": 1, "d": 3, "e": 3, "unknown": 0}
	for lane := range want {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Target: "books/1", Lane: "crm/1/company/" + lane})
	}
	res, err := d.server.SlotHeads(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, h := range res.GetLanes() {
		got[h.GetLane()[len("crm/1/company/"):]] = h.GetSeq()
	}
	for lane, seq := range want {
		if got[lane] != seq {
			t.Errorf("lane %s ends at %d, not at %d", lane, got[lane], seq)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d of %d lanes are told", len(got), len(want))
	}
}
