package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/lab/verify"
)

func TestEveryPointAndKillIsPlanned(t *testing.T) {
	for seed := range uint64(20) {
		o := Options{Kills: 60, Seed: seed, Points: crash.Points(), Faults: []string{FreezeAtPoints}}
		seen, kills, frozen := map[crash.Point]int{}, map[string]int{}, 0
		for service, steps := range plan(o) {
			for _, s := range steps {
				switch {
				case s.freeze:
					frozen++
				case s.point == "":
					kills[service]++
				default:
					seen[s.point]++
					if !slices.Contains(s.point.Services(), service) {
						t.Errorf("seed %d: %s does not get to %s", seed, service, s.point)
					}
				}
			}
		}
		for _, p := range crash.Points() {
			if seen[p] != 1 {
				t.Errorf("seed %d: %s is planned %d times", seed, p, seen[p])
			}
		}
		for _, s := range Services() {
			if kills[s] < killsEach {
				t.Errorf("seed %d: %s is killed %d times of 60", seed, s, kills[s])
			}
			if n := len(plan(o)[s]); n > 35 {
				t.Errorf("seed %d: %s has %d things to go through: the others wait for it", seed, s, n)
			}
		}
		if all := kills["ingest"] + kills["transform"] + kills["writer"] + kills["reconciler"] + kills["audit"]; all != 60 {
			t.Errorf("seed %d: %d kills of 60", seed, all)
		}
		if frozen != len(frozenAt()) {
			t.Errorf("seed %d: %d are frozen at a point", seed, frozen)
		}
	}
}

func TestTheSameSeedIsTheSamePlan(t *testing.T) {
	o := Options{Kills: 30, Seed: 7, Points: crash.Points()}
	if !reflect.DeepEqual(plan(o), plan(o)) {
		t.Error("two plans of one seed differ")
	}
	other := o
	other.Seed = 8
	if reflect.DeepEqual(plan(o), plan(other)) {
		t.Error("another seed is no other plan")
	}
}

func TestNamesAreRead(t *testing.T) {
	if got, err := ParsePoints("writer/after-send,audit/taken"); err != nil || len(got) != 2 || got[1] != crash.AuditTaken {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"writer/nowhere", "writer/after-send,", ","} {
		if _, err := ParsePoints(text); err == nil {
			t.Errorf("points %q are read", text)
		}
	}
	if all, err := ParsePoints("all"); err != nil || len(all) != len(crash.Points()) {
		t.Errorf("all are %d, %v", len(all), err)
	}
	if got, err := ParseFaults("none", []string{"a"}); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseFaults("a,b", []string{"a"}); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("an unknown fault: %v", err)
	}
}

// toy is a stack whose services are back after a while, in virtual time.
type toy struct {
	mu      sync.Mutex
	back    time.Duration // how long a dead service stays dead
	dead    map[string]time.Time
	order   map[string]crash.Order
	obeyed  map[string]time.Time
	frozen  map[string]bool
	deaf    map[crash.Point]bool // nobody gets there
	faults  []string
	killed  int
	started time.Time
}

func newToy(back time.Duration) *toy {
	return &toy{back: back, dead: map[string]time.Time{}, order: map[string]crash.Order{}, obeyed: map[string]time.Time{}, frozen: map[string]bool{}, deaf: map[crash.Point]bool{}, started: time.Now()}
}

func (s *toy) Kill(_ context.Context, service string, _ *rand.Rand) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead[service], s.killed = time.Now(), s.killed+1
	return nil
}

func (s *toy) Arm(service string, o crash.Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order[service] = o
	delete(s.obeyed, service)
	return nil
}

func (s *toy) Disarm(service string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.order, service)
	return nil
}

func (s *toy) Obeyed(service string) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.obeyed[service], nil
}

func (s *toy) Thaw(service string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen[service] {
		return errors.New("nobody is frozen")
	}
	delete(s.frozen, service)
	return nil
}

func (s *toy) Nudge(_ context.Context, service string, p crash.Point) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, armed := s.order[service]
	if armed && o.Point == p && !s.deaf[p] {
		delete(s.order, service)
		s.obeyed[service] = time.Now()
		if o.Stop {
			s.frozen[service] = true
		} else {
			s.dead[service] = time.Now()
		}
	}
	return nil
}

func (s *toy) up(service string) bool {
	at, died := s.dead[service]
	return !s.frozen[service] && (!died || time.Since(at) >= s.back)
}

func (s *toy) Progress(_ context.Context, service string) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up(service) {
		return []int64{0, 0}, nil
	}
	return []int64{int64(time.Since(s.started)), 1 + int64(time.Since(s.started))}, nil
}

func (s *toy) Ready(_ context.Context, service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up(service)
}

func (s *toy) Fault(_ context.Context, name string, _ *rand.Rand) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, name)
	if name == "impossible" {
		return &SkippedError{Why: "not on this machine"}
	}
	return nil
}

func TestARunDoesWhatIsPlannedAndMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newToy(7 * time.Second)
		r, err := Run(t.Context(), s, Options{Kills: 10, Seed: 3, Points: crash.Points(), Faults: []string{"impossible", "possible", FreezeAtPoints}})
		if err != nil {
			t.Fatal(err)
		}
		if r.RandomKills != 10 || s.killed != 10 || r.PointsHit != len(crash.Points()) || r.Kills != 10+r.PointsHit || len(r.Missed) != 0 {
			t.Errorf("%+v", r)
		}
		if r.Faults["possible"] != 1 || r.Faults[FreezeAtPoints] != len(frozenAt()) || r.Skipped["impossible"] != "not on this machine" || r.Faults["impossible"] != 0 {
			t.Errorf("faults %v, skipped %v", r.Faults, r.Skipped)
		}
		if r.Recovery.P50 < 7 || r.Recovery.Max > 8 || r.Recovery.N != r.Kills+len(frozenAt()) {
			t.Errorf("recovered in %+v, from death to work it takes 7 s", r.Recovery)
		}
		if !r.Good() {
			t.Errorf("it was a good run: %+v", r)
		}
	})
}

// Nobody is back before the part is: the time counts from when it is.
func TestAnOutageIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(s int) time.Time { return time.Now().Add(time.Duration(s) * time.Second) }
		r := &run{report: newReport(Options{}), outages: []outage{{at(10), at(40)}, {at(100), at(101)}}}
		for _, c := range []struct{ died, back, with, without int }{
			{0, 5, 5, 5}, {5, 45, 40, 5}, {12, 44, 32, 4}, {12, 30, 18, 0}, {50, 60, 10, 10}, {99, 103, 4, 2},
		} {
			r.recovered(at(c.died), at(c.back))
			n := len(r.report.recoveries) - 1
			if got, all := r.report.recoveries[n], r.report.sinceDeath[n]; got != time.Duration(c.without)*time.Second || all != time.Duration(c.with)*time.Second {
				t.Errorf("dead at %d, back at %d: %s, with the outage %s", c.died, c.back, got, all)
			}
		}
	})
}

func TestAPointThatNobodyMeetsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newToy(time.Second)
		s.deaf[crash.AuditTaken] = true
		r, err := Run(t.Context(), s, Options{Seed: 1, Points: []crash.Point{crash.AuditTaken, crash.WriterAfterSend}})
		if err != nil || r.PointsHit != 1 || !slices.Equal(r.Missed, []string{"audit/taken in audit"}) || r.Good() {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestAServiceThatStaysAwayIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), newToy(time.Hour), Options{Kills: 5, Seed: 1})
		if err != nil || len(r.Troubles) != 5 || r.Recovery.P99 != backWithin.Seconds() || r.Good() {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestHarmGoesOnForAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		r, err := Run(t.Context(), newToy(time.Second), Options{Kills: 5, Seed: 1, For: 5 * time.Minute})
		if took := time.Since(from); err != nil || took < 5*time.Minute || r.RandomKills < 100 {
			t.Errorf("%d kills in %s, %v", r.RandomKills, took, err)
		}
	})
}

func TestARunEndsWhenToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := Run(ctx, newToy(time.Second), Options{Kills: 1000, Seed: 1, Points: crash.Points()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestViolationsAreCountedByWhatTheyAre(t *testing.T) {
	r := newReport(Options{})
	r.Judge([]verify.Result{
		{Invariant: "I1", Checked: map[string]int64{"documents": 9}, Violations: []string{"double: mark X", "lost: never had it"}},
		{Invariant: "I3", Violations: []string{"lane a"}},
		{Invariant: "I5", Violations: []string{"orphan: y"}},
		{Invariant: "world", Violations: []string{"double: z"}},
	})
	if r.Documents != 9 || r.Double != 2 || r.Lost != 1 || r.Disorder != 1 || r.Orphans != 1 || len(r.Violations) != 5 || r.Good() {
		t.Errorf("%+v", r)
	}
}

// The last line keeps its names.
func TestTheReportsNames(t *testing.T) {
	b, err := json.Marshal(newReport(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kills", "points_hit", "points_total", "faults", "documents", "double", "lost", "disorder", "orphans", "recovery_s", "p50", "p99", "max", "violations", "skipped"} {
		if !strings.Contains(string(b), `"`+name+`":`) {
			t.Errorf("%s is not in %s", name, b)
		}
	}
}
