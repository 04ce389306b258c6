package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/lab"
)

// summary is the last line of a run; its names are promises.
type summary struct {
	Seeds      uint64           `json:"seeds"`
	Base       uint64           `json:"base"`
	Mix        string           `json:"mix"`
	PerSecond  int64            `json:"per_second"`
	Faults     map[string]int64 `json:"faults"`
	Ops        int64            `json:"ops"`
	Posted     int64            `json:"posted"`
	Parked     int64            `json:"parked"`
	Double     int              `json:"double"`
	Lost       int              `json:"lost"`
	Disorder   int              `json:"disorder"`
	Violations []lab.Violation  `json:"violations"`
	Digest     string           `json:"digest"`
}

// errBroken: a promise was broken, and the output says which.
var errBroken = errors.New("a promise was broken; the seeds above replay it: SEED=… MIX=… TRACE=1")

// simMemory is what a run may fill before it collects.
const simMemory = 1 << 29

// shown bounds how many violations a summary lists.
const shown = 20

// coverFrom is how many schedules of all mixes must reach every way of the core.
const coverFrom = 20_000

func simCommand() *cobra.Command {
	o := lab.Options{}
	var one int64
	var trace, bare bool
	cmd := &cobra.Command{
		Use: "sim", Short: "Play schedules of the real core by seed; exit 1 on a broken promise", Args: cobra.NoArgs,
		Example: "  tieout-lab sim --seeds 100000\n  tieout-lab sim --mix merge --class C --seeds 20000\n  tieout-lab sim --seed 123 --mix small --trace\n  tieout-lab sim --seed 123 --mix small --keep deal:0,edit:2,answer-lost:1 --trace",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if one >= 0 {
				o.Only = cmd.Flags().Changed("keep")
				return replay(uint64(one), o, trace, bare)
			}
			debug.SetGCPercent(-1) // schedules are short-lived: collect rarely
			debug.SetMemoryLimit(simMemory)
			return simulate(cmd.Context(), o, bare)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seeds, "seeds", 100_000, "how many schedules")
	f.Uint64Var(&o.Base, "base", 1, "the first seed")
	f.StringVar(&o.Mix, "mix", "all", "blend of faults: "+strings.Join(lab.Mixes(), ", "))
	f.StringVar(&o.Class, "class", "all", "ambiguity class of the books: A, B, C, D or all")
	f.Int64Var(&one, "seed", -1, "play this one alone")
	f.StringSliceVar(&o.Keep, "keep", nil, "with --seed: let only these disturbances happen, as a failing run or a trace names them")
	f.BoolVar(&trace, "trace", false, "with --seed: write its history")
	f.BoolVar(&bare, "bare", false, "do not make failing schedules smaller")
	return cmd
}

func replay(seed uint64, o lab.Options, trace, bare bool) error {
	var to io.Writer
	if trace {
		to = os.Stdout
	}
	bad, err := lab.Trace(seed, o, to)
	if err != nil {
		return err
	}
	for _, v := range bad {
		fmt.Println(v)
	}
	if len(bad) > 0 {
		if !o.Only && !bare {
			minimise(bad, o)
		}
		return errBroken
	}
	fmt.Printf("seed %d: no promise was broken\n", seed)
	return nil
}

func simulate(ctx context.Context, o lab.Options, bare bool) error {
	started := time.Now()
	stop := progress(&o, started)
	r, err := lab.Run(ctx, o)
	stop()
	if err != nil {
		return err
	}
	took, asked := time.Since(started), o.Seeds
	o.Seeds = uint64(r.Coverage.Seeds)
	s := summary{
		Seeds: o.Seeds, Base: o.Base, Mix: o.Mix, PerSecond: int64(float64(o.Seeds) / took.Seconds()), Faults: r.Coverage.Faults, Ops: r.Coverage.Ops,
		Posted: r.Coverage.Outcomes["posted"], Violations: r.Violations, Digest: r.Digest,
	}
	for _, n := range r.Coverage.Kinds {
		s.Parked += n
	}
	for _, v := range r.Violations {
		switch v.Invariant {
		case "I1":
			s.Double++
		case "I2":
			s.Lost++
		case "I3":
			s.Disorder++
		}
	}
	broken := verdict(o, r)
	if len(s.Violations) > shown {
		s.Violations = s.Violations[:shown]
	}
	if s.Violations == nil {
		s.Violations = []lab.Violation{}
	}
	fmt.Print(r.Coverage)
	fmt.Printf("%d schedules in %s: %d a second\n", o.Seeds, took.Round(time.Millisecond), s.PerSecond)
	if !bare {
		minimise(r.Violations, o)
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if broken == nil && o.Seeds < asked {
		return fmt.Errorf("ended after %d of %d schedules, which broke nothing", o.Seeds, asked)
	}
	return broken
}

// verdict: no violation at all, but at most one double bill in 100,000 at
// books of class C; and of enough schedules, every way of the core reached.
func verdict(o lab.Options, r *lab.Report) error {
	allowed := 0
	for _, v := range r.Violations {
		if v.Invariant == "I1" && v.Class == "C" {
			allowed++
		}
	}
	if len(r.Violations) > allowed || uint64(allowed)*100_000 > o.Seeds {
		return errBroken
	}
	if missing := r.Coverage.Missing(); o.Mix == "all" && o.Class == "all" && o.Seeds >= coverFrom && len(missing) > 0 {
		return fmt.Errorf("never reached: %s", strings.Join(missing, "; "))
	}
	return nil
}

// progress writes how far a long run is and what breaks on the way, on stderr.
func progress(o *lab.Options, started time.Time) (stop func()) {
	var done atomic.Uint64
	o.Progress = func(n uint64, bad []lab.Violation) {
		done.Store(max(done.Load(), n))
		for _, v := range bad {
			fmt.Fprintln(os.Stderr, v)
		}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				n := min(done.Load(), o.Seeds)
				fmt.Fprintf(os.Stderr, "%d of %d schedules, %.0f a second\n", n, o.Seeds, float64(n)/time.Since(started).Seconds())
			}
		}
	}()
	return func() { close(end); <-ended }
}
