package lab

import (
	"context"
	"crypto/sha256"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestSchedules plays every mix for some seeds. LAB_SEEDS plays more.
func TestSchedules(t *testing.T) {
	seeds := uint64(250)
	if n, err := strconv.ParseUint(os.Getenv("LAB_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for _, mix := range Mixes() {
		t.Run(mix, func(t *testing.T) {
			r, err := Run(t.Context(), Options{Mix: mix, Base: 1, Seeds: seeds})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range r.Violations {
				if i == 10 {
					t.Errorf("and %d more", len(r.Violations)-i)
					break
				}
				t.Errorf("seed %d class %s: %s: %s", v.Seed, v.Class, v.Invariant, v.Detail)
			}
			t.Log(r.Coverage.String())
		})
	}
}

// TestOneSeed writes the history of LAB_SEED.
func TestOneSeed(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("LAB_SEED"), 10, 64)
	if err != nil {
		t.Skip("set LAB_SEED to a seed, and LAB_MIX to its mix, to read its history")
	}
	var out strings.Builder
	bad, err := Trace(seed, Options{Mix: os.Getenv("LAB_MIX")}, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	for _, v := range bad {
		t.Errorf("%s: %s", v.Invariant, v.Detail)
	}
}

// BenchmarkSchedule is one schedule of the general mix.
func BenchmarkSchedule(b *testing.B) {
	cover := NewCoverage()
	in := &room{}
	for i := range b.N {
		play(uint64(i), Options{Mix: "all"}, cover, sha256.New(), nil, in)
	}
	b.ReportMetric(float64(cover.Events)/float64(cover.Seeds), "events/op")
	b.ReportMetric(float64(cover.Turns)/float64(cover.Seeds), "turns/op")
}

// A long run tells what breaks when it breaks, not at its end.
func TestWhatBreaksIsToldAtOnce(t *testing.T) {
	var told []Violation
	var mu sync.Mutex
	o := Options{Mix: "people", Seeds: 3 * block, breakAt: "books closed", Progress: func(_ uint64, bad []Violation) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, bad...)
	}}
	r, err := Run(t.Context(), o)
	if err != nil || len(told) == 0 || len(told) != len(r.Violations) {
		t.Fatalf("told of %d, broken %d, %v", len(told), len(r.Violations), err)
	}
}

// A run that is asked to end says how far it came.
func TestARunEndsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Mix: "small", Seeds: 1000 * block, Progress: func(done uint64, _ []Violation) {
		if done >= 4*block {
			cancel()
		}
	}}
	r, err := Run(ctx, o)
	if err != nil || r.Coverage.Seeds < 4*block || r.Coverage.Seeds == int64(o.Seeds) {
		t.Fatalf("played %d, %v", r.Coverage.Seeds, err)
	}
}
