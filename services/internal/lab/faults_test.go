package lab

import (
	"testing"

	"tieout.dev/services/internal/drill"
)

// What schedules make happen, counted where it is made.
func TestFaultsOfSchedules(t *testing.T) {
	all := NewCoverage()
	for _, mix := range Mixes() {
		r, err := Run(t.Context(), Options{Mix: mix, Base: 5000, Seeds: 60})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Violations {
			t.Errorf("mix %s seed %d class %s: %s: %s", mix, v.Seed, v.Class, v.Invariant, v.Detail)
		}
		all.Add(r.Coverage)
	}
	n := all.Faults
	drill.Injected(t, n["crash before commit"], 3)
	drill.Injected(t, n["crash while sending"], 5)
	drill.Injected(t, n["crash after commit"], 7)
	drill.Injected(t, n["freeze"], 13)
	drill.Injected(t, n["freeze before sending"]+n["freeze while sending"], 14)
	drill.Injected(t, n["record lost"], 26, 28)
	drill.Injected(t, n["record doubled"], 27)
	drill.Injected(t, n["rebalance"], 29)
	drill.Injected(t, n["stale consumer"], 30)
	drill.Injected(t, n["replay"], 33)
	drill.Injected(t, n["throttled"], 60)
	drill.Injected(t, n["answer lost"], 62)
	drill.Injected(t, n["request late"], 63)
	drill.Injected(t, n["batch half answered"], 67)
	drill.Injected(t, n["batch shuffled"], 68)
	drill.Injected(t, n["hand"], 69, 70, 71)
	drill.Injected(t, n["books closed"], 72)
	drill.Injected(t, n["outage"], 79)
	drill.Injected(t, n["hint doubled"], 85)
	drill.Injected(t, n["hint lost"], 87)
	drill.Injected(t, n["merge"], 90)
}
