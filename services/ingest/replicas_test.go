package ingest

import (
	"testing"

	"tieout.dev/services/internal/connector"
)

// Of two replicas one polls, and each takes half of the share; when the one that
// polls ends, the other polls at once and has the whole.
func TestOneReplicaPolls(t *testing.T) {
	w := open(t)
	deps := w.in.deps
	deps.Instance = "two"
	deps.Connections = map[string]*connector.Connection{"crm": w.in.sources[0].conn}
	two, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	count := func(replicas ...*Ingest) {
		t.Helper()
		for _, in := range replicas {
			in.sources[0].share = newShare([]connector.Limit{{Requests: 100, Window: 10}})
			if err := in.countReplicas(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	is := func(in *Ingest, polls bool, left int) {
		t.Helper()
		n, _ := in.sources[0].share.all.Available(in.deps.Now())
		if asked := len(in.sources[0].ask) > 0; in.polls.Load() != polls || asked != polls || n != left {
			t.Errorf("%s polls: %v, is asked to: %v, may send %d; want %v, %d", in.deps.Instance, in.polls.Load(), asked, n, polls, left)
		}
	}
	count(w.in, two, w.in)
	is(w.in, true, 35)
	is(two, false, 35)
	w.in.leave(t.Context())
	count(two)
	is(two, true, 70)
}
