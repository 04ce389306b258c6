package chaos

import (
	"math"
	"slices"
	"strings"
	"time"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/lab/verify"
)

// Report is the last line of a run; its names are promises.
type Report struct {
	Kills       int               `json:"kills"` // processes that were killed, at points and at random
	RandomKills int               `json:"random_kills"`
	PointsHit   int               `json:"points_hit"`
	PointsTotal int               `json:"points_total"`
	Missed      []string          `json:"points_missed"`
	Faults      map[string]int    `json:"faults"`
	Skipped     map[string]string `json:"skipped"`
	Documents   int64             `json:"documents"`
	Parked      int               `json:"parked"` // deals that wait for a person
	Double      int               `json:"double"`
	Lost        int               `json:"lost"`
	Disorder    int               `json:"disorder"`
	Orphans     int               `json:"orphans"`
	Recovery    Recovery          `json:"recovery_s"`
	SinceDeath  Recovery          `json:"recovery_with_outages_s"`
	SettledS    float64           `json:"settled_s"` // from the last harm to rest
	Seconds     float64           `json:"seconds"`
	Seed        uint64            `json:"seed"`
	// Troubles are what the run itself saw: a service that did not come back.
	Troubles   []string `json:"troubles"`
	Violations []string `json:"violations"`

	points                 map[crash.Point]bool
	recoveries, sinceDeath []time.Duration
}

// Died reports whether a process died at a point.
func (r *Report) Died(p crash.Point) bool { return r.points[p] }

// Recovery is how long it took from a process's death to the first work done
// after it. Where a part was away altogether meanwhile, the time counts from
// when it was back; with outages, from the death on in any case.
type Recovery struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// RecoveryGoal is what 99 of 100 recoveries stay under.
const RecoveryGoal = 30 * time.Second

func newReport(o Options) *Report {
	return &Report{
		Seed: o.Seed, PointsTotal: len(o.Points), Missed: []string{}, Faults: map[string]int{}, Skipped: map[string]string{}, Troubles: []string{}, Violations: []string{},
		points: map[crash.Point]bool{},
	}
}

func (x *Report) hit(p crash.Point) {
	x.points[p] = true
	x.PointsHit = len(x.points)
}

func (x *Report) finish() { x.Recovery, x.SinceDeath = spread(x.recoveries), spread(x.sinceDeath) }

func spread(all []time.Duration) Recovery {
	slices.Sort(all)
	at := func(q float64) float64 {
		if len(all) == 0 {
			return 0
		}
		i := int(math.Ceil(q*float64(len(all)))) - 1
		return math.Round(all[max(i, 0)].Seconds()*10) / 10
	}
	return Recovery{N: len(all), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// Judge adds what the checkers say.
func (x *Report) Judge(results []verify.Result) {
	for _, r := range results {
		for _, v := range r.Violations {
			x.Violations = append(x.Violations, r.Invariant+": "+v)
			switch {
			case strings.HasPrefix(v, "double"):
				x.Double++
			case strings.HasPrefix(v, "lost"):
				x.Lost++
			case strings.HasPrefix(v, "orphan"):
				x.Orphans++
			case r.Invariant == "I3":
				x.Disorder++
			}
		}
		if r.Invariant == "I1" {
			x.Documents = r.Checked["documents"]
		}
	}
}

// Good tells whether the run met its goals.
func (x *Report) Good() bool {
	return len(x.Violations) == 0 && len(x.Troubles) == 0 && len(x.Missed) == 0 && x.Recovery.P99 < RecoveryGoal.Seconds()
}
