package lab

import (
	"fmt"
	"slices"
	"strconv"

	"tieout.dev/services/internal/exception"
	"tieout.dev/services/writer/protocol"
)

// Coverage counts what schedules reached: faults, and every way of the core's
// state machines.
type Coverage struct {
	Seeds    int64            `json:"seeds"`
	Events   int64            `json:"events"`
	Turns    int64            `json:"turns"`
	Ops      int64            `json:"ops"`
	Virtual  int64            `json:"virtual_hours"`
	Faults   map[string]int64 `json:"faults"`
	Lanes    map[string]int64 `json:"lanes"`
	OpWays   map[string]int64 `json:"op_ways"`
	Outcomes map[string]int64 `json:"outcomes"`
	Kinds    map[string]int64 `json:"exceptions"`
	Exits    map[string]int64 `json:"exits"`
	Verdicts map[string]int64 `json:"verdicts"`

	minutes int64                           // of virtual time
	lanes   map[[2]protocol.LaneState]int64 // of one worker; Add spells them out
	ops     map[[2]protocol.OpState]int64
}

// NewCoverage has reached nothing.
func NewCoverage() *Coverage {
	return &Coverage{
		Faults: map[string]int64{}, Lanes: map[string]int64{}, OpWays: map[string]int64{}, Outcomes: map[string]int64{}, Kinds: map[string]int64{},
		Exits: map[string]int64{}, Verdicts: map[string]int64{}, lanes: map[[2]protocol.LaneState]int64{}, ops: map[[2]protocol.OpState]int64{},
	}
}

func (c *Coverage) lane(from, to protocol.LaneState) { c.lanes[[2]protocol.LaneState{from, to}]++ }

func (c *Coverage) op(from, to protocol.OpState) {
	c.ops[[2]protocol.OpState{from, to}]++
	if from == "" {
		c.Ops++
	}
}

// Add joins what two workers reached.
func (c *Coverage) Add(x *Coverage) {
	c.Seeds, c.Events, c.Turns, c.Ops, c.Virtual = c.Seeds+x.Seeds, c.Events+x.Events, c.Turns+x.Turns, c.Ops+x.Ops, c.Virtual+x.Virtual
	c.minutes += x.minutes
	for way, n := range x.lanes {
		c.Lanes[string(way[0])+">"+string(way[1])] += n
	}
	for way, n := range x.ops {
		c.OpWays[string(way[0])+">"+string(way[1])] += n
	}
	for _, m := range [][2]map[string]int64{{c.Faults, x.Faults}, {c.Lanes, x.Lanes}, {c.OpWays, x.OpWays}, {c.Outcomes, x.Outcomes}, {c.Kinds, x.Kinds}, {c.Exits, x.Exits}, {c.Verdicts, x.Verdicts}} {
		for k, n := range m[1] {
			m[0][k] += n
		}
	}
}

// Missing names what the core can reach and no schedule did.
func (c *Coverage) Missing() []string {
	var out []string
	need := func(what string, m map[string]int64, keys ...string) {
		for _, k := range keys {
			if m[k] == 0 {
				out = append(out, what+" "+k)
			}
		}
	}
	need("op", c.OpWays, ">sent", "sent>doubt", "sent>done", "sent>refused", "doubt>done", "doubt>refused", "refused>sent")
	need("lane", c.Lanes, "ready>running", "running>ready", "running>parked", "ready>waiting", "waiting>ready", "waiting>running", "ready>parked", "parked>ready", "waiting>waiting")
	for _, o := range []protocol.Outcome{protocol.Posted, protocol.Unchanged, protocol.Superseded, protocol.Discarded, protocol.Moved, protocol.Aside} {
		need("outcome", c.Outcomes, string(o))
	}
	for _, k := range reachable() {
		need("exception", c.Kinds, string(k))
	}
	need("exit", c.Exits, protocol.Retry, protocol.Requeue, protocol.LinkTo, protocol.ConfirmAbsent, protocol.ReissueIt, protocol.Discard, "rerender", "resumed", "superseded", "taken over", "paused", "credited")
	need("verdict", c.Verdicts, "admit", "duplicate", "stale")
	slices.Sort(out)
	return out
}

// reachable are the kinds that the core itself opens for a person.
func reachable() []exception.Kind {
	return []exception.Kind{
		exception.Amount, exception.Match, exception.Dependency, exception.Period, exception.Conflict, exception.Doubt, exception.Credential, exception.Connection,
		exception.Merge, exception.PartVanish, exception.Unsupported, exception.Tax,
	}
}

// String is one line a group, keys in order.
func (c *Coverage) String() string {
	s := fmt.Sprintf("%d schedules, %d events, %d turns, %d ops, %d virtual hours\n", c.Seeds, c.Events, c.Turns, c.Ops, c.Virtual)
	n, faults := float64(max(1, c.Seeds)), int64(0)
	for _, k := range c.Faults { // a sum: the order of the map is not seen
		faults += k
	}
	s += fmt.Sprintf("a schedule: %.0f events, %.0f turns, %.1f ops, %.1f posted, %.1f faults, %.0f virtual minutes\n",
		float64(c.Events)/n, float64(c.Turns)/n, float64(c.Ops)/n, float64(c.Outcomes[string(protocol.Posted)])/n, float64(faults)/n, float64(c.minutes)/n)
	for _, g := range []struct {
		name string
		m    map[string]int64
	}{{"faults", c.Faults}, {"lanes", c.Lanes}, {"ops", c.OpWays}, {"outcomes", c.Outcomes}, {"exceptions", c.Kinds}, {"exits", c.Exits}, {"verdicts", c.Verdicts}} {
		s += g.name + ":"
		keys := make([]string, 0, len(g.m))
		for k := range g.m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			s += " " + strconv.Quote(k) + " " + itoa(g.m[k])
		}
		s += "\n"
	}
	return s
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
