package writer

import (
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/writer/protocol"
)

// A turn that takes the answers of a full flight may send as many again: nothing
// else would wake the next one.
func TestATurnMaySendWhatItsAnswersMadeRoomFor(t *testing.T) {
	l := newLimits(connector.Claims{MaxInFlight: 3, Limits: []connector.Limit{{Requests: 100, Window: time.Minute}}}, 100)
	m := protocol.NewMemory()
	m.Flying["a"], m.Flying["b"], m.Looking["c"] = true, true, time.Second
	for _, step := range []struct {
		name string
		in   protocol.Inputs
		want int
	}{
		{"nothing is answered", protocol.Inputs{}, 0},
		{"a call is", protocol.Inputs{Answers: []protocol.Answer{{Call: "a"}}}, 1},
		{"all are", protocol.Inputs{Answers: []protocol.Answer{{Call: "a"}, {Call: "b"}}, Looks: []protocol.LookAnswer{{Key: "c"}}}, 3},
		{"of which nobody asked", protocol.Inputs{Answers: []protocol.Answer{{Call: "z"}}, Looks: []protocol.LookAnswer{{Key: "z"}}}, 0},
	} {
		if got := l.most(time.Unix(1_800_000_000, 0), underWay(m, step.in)).all; got != step.want {
			t.Errorf("%s: %d may leave, want %d", step.name, got, step.want)
		}
	}
}

// Bulk leaves realtime's floor alone although nobody has used it for long: the
// next won deal finds room in the window.
func TestBulkLeavesRoomForTheNextWonDeal(t *testing.T) {
	l := newLimits(connector.Claims{Limits: []connector.Limit{{Requests: 500, Window: time.Minute}}}, 80)
	now := time.Unix(1_800_000_000, 0)
	for {
		n := l.most(now, 0).bulk
		if n == 0 {
			break
		}
		l.all.Spend(now, n)
		l.bulk.Spend(now, n)
	}
	if b := l.most(now, 0); b.realtime != 100 {
		t.Errorf("%d requests are left to realtime, want a quarter of 400", b.realtime)
	}
}
