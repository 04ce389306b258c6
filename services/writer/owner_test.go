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

// Where realtime's floor is all that is left, the next turn comes when bulk may
// send again: no answer is awaited that would wake it.
func TestATurnComesWhenBulkMaySendAgain(t *testing.T) {
	l := newLimits(connector.Claims{Limits: []connector.Limit{{Requests: 10, Window: time.Second}, {Requests: 500, Window: time.Minute}}}, 85)
	l.bulkWaits = true
	now := time.Unix(1_800_000_000, 0)
	sent := 0
	for start := now; now.Sub(start) < time.Minute; {
		b := l.most(now, 0)
		l.all.Spend(now, b.bulk)
		l.bulk.Spend(now, b.bulk)
		if sent += b.bulk; b.bulk == 0 && b.free == 0 {
			t.Fatalf("after %s nothing leaves and nothing wakes the owner", now.Sub(start))
		}
		if b.bulk == 0 {
			now = now.Add(b.free)
		}
	}
	if sent < 319 { // 425 less realtime's 106
		t.Errorf("%d left in a minute", sent)
	}
}

// Shared calls leave evenly: each finds many lanes ready, where all at once
// would carry few documents each and leave none for the rest of the minute.
func TestSharedCallsLeaveEvenly(t *testing.T) {
	l := newLimits(connector.Claims{BatchLimits: []connector.Limit{{Requests: 40, Window: time.Minute}}}, 85)
	l.bulkWaits = true
	shared := &protocol.Call{Items: make([]connector.Item, 2)}
	start := time.Unix(1_800_000_000, 0)
	var last time.Time
	for now, n := start, 0; n < 68; {
		b := l.most(now, 0)
		switch {
		case b.batches == 0 && b.free == 0:
			t.Fatalf("after %d nothing leaves and nothing wakes the owner", n)
		case b.batches == 0:
			now = now.Add(b.free)
			continue
		case n > 0 && now.Sub(last) < time.Minute/34:
			t.Fatalf("one left %s after the one before", now.Sub(last))
		}
		l.spend(now, protocol.Effects{Send: []*protocol.Call{shared}})
		last, n = now, n+1
	}
	if took := last.Sub(start); took > 2*time.Minute {
		t.Errorf("two minutes' calls took %s", took)
	}
}
