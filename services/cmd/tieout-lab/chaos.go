package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/tieout-lab/folder"
	"tieout.dev/services/cmd/tieout-lab/rig"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/lab/chaos"
	"tieout.dev/services/internal/lab/verify"
)

const (
	// restWithin bounds how long the stack may take to come to rest after the
	// last harm: what Kafka lost is noticed a minute after it was published, and
	// looked for every minute.
	restWithin = 4 * time.Minute
	restLook   = 3 * time.Second
)

// errChaos: a goal was missed, and the last line says which.
var errChaos = errors.New("a promise was broken or a goal was missed: see violations, troubles and points_missed in the last line")

// chaosFlags are what a person says.
type chaosFlags struct {
	kills, seconds      int
	seed                uint64
	points, faults, dir string
	bin                 string
	quiet, keep         bool
}

func chaosCommand() *cobra.Command {
	o := &chaosFlags{}
	cmd := &cobra.Command{
		Use: "chaos", Short: "Kill, freeze and cut five real processes on real parts by seed; exit 1 on a broken promise", Args: cobra.NoArgs,
		Long:    "The programs must be built with the tag crashpoints: 'make chaos' does so. Faults: " + strings.Join(rig.Faults(), ", ") + ".",
		Example: "  tieout-lab chaos --kills 60\n  tieout-lab chaos --kills 10 --points writer/after-send,audit/taken --faults kill-leader\n  tieout-lab chaos --seed 7 --seconds 3600",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runChaos(cmd.Context(), o, os.Stdout)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.kills, "kills", 60, "processes killed at random moments")
	f.IntVar(&o.seconds, "seconds", 0, "harm for so long at least")
	f.Uint64Var(&o.seed, "seed", 1, "of every choice")
	f.StringVar(&o.points, "points", "all", "crash points: all, none, or names with commas between them")
	f.StringVar(&o.faults, "faults", "all", "faults of the parts: all, none, or names with commas between them")
	f.StringVar(&o.dir, "dir", "", "state folder, kept; without one a temporary one, removed if all is well")
	f.StringVar(&o.bin, "bin", "", "folder of the services' programs; without one that of this program")
	f.BoolVar(&o.quiet, "quiet", false, "only the last line")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder")
	return cmd
}

func runChaos(ctx context.Context, o *chaosFlags, out io.Writer) error {
	points, err := chaos.ParsePoints(o.points)
	if err != nil {
		return err
	}
	faults, err := chaos.ParseFaults(o.faults, rig.Faults())
	if err != nil {
		return err
	}
	if err := o.folders(); err != nil {
		return err
	}
	progress := out
	if o.quiet {
		progress = io.Discard
	}
	say := (&sayer{out: progress, from: time.Now()}).say
	report, err := harm(ctx, o, chaos.Options{
		Kills: o.kills, For: time.Duration(o.seconds) * time.Second, Seed: o.seed, Points: points, Faults: faults, Away: rig.Away(), Say: say,
	}, progress)
	if err != nil {
		return fmt.Errorf("%w (the state is in %s)", err, o.dir)
	}
	line, err := json.Marshal(report)
	if err != nil {
		return err
	}
	good := report.Good()
	if err := noteDrills(report, good); err != nil {
		return err
	}
	if good && !o.keep {
		err = os.RemoveAll(o.dir)
	} else {
		say("the state is kept in %s", o.dir)
	}
	fmt.Fprintln(out, string(line))
	if !good {
		return errors.Join(errChaos, err)
	}
	return err
}

// noteDrills notes which faults of the table the run made happen.
func noteDrills(report *chaos.Report, held bool) error {
	for _, f := range drill.Faults() {
		for _, name := range f.Chaos {
			times := report.Faults[name]
			if report.Died(crash.Point(name)) {
				times++
			}
			if times == 0 {
				continue // this run was told to do less, or nobody came there
			}
			err := drill.Note(drill.Run{Fault: f.Number, By: "chaos:" + name, Times: int64(times), Held: held})
			if err != nil {
				return fmt.Errorf("note what was injected: %w", err)
			}
		}
	}
	return nil
}

// folders fills in what was not named. A folder that was named is kept.
func (o *chaosFlags) folders() error {
	if o.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.bin = filepath.Dir(self)
	}
	if o.dir != "" {
		o.keep = true
		return os.MkdirAll(o.dir, 0o755)
	}
	dir, err := os.MkdirTemp("", "tieout-chaos-*")
	if err != nil {
		return err
	}
	o.dir = dir
	return os.Chmod(dir, 0o755) // the database's own user enters it
}

// harm runs the stack, does what is to be done, lets it come to rest and judges.
func harm(ctx context.Context, o *chaosFlags, plan chaos.Options, progress io.Writer) (_ *chaos.Report, err error) {
	from := time.Now()
	r, err := rig.Start(ctx, rig.Options{Dir: o.dir, Bin: o.bin, Seed: o.seed, Out: progress})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	moving, stop := context.WithCancel(ctx)
	var world sync.WaitGroup
	world.Go(func() { r.World.Move(moving) })
	report, err := chaos.Run(ctx, r, plan)
	stop()
	world.Wait()
	if err != nil {
		return nil, err
	}
	plan.Say("outside happened %s", r.World.Events())
	if err := r.World.Calm(ctx); err != nil {
		return nil, err
	}
	last := time.Now()
	if err := judge(ctx, o.dir, r, report, plan.Say); err != nil {
		return nil, err
	}
	report.SettledS, report.Seconds = tenths(time.Since(last)), tenths(time.Since(from))
	return report, nil
}

func tenths(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// judge looks again and again until every checker is content, or time is up:
// then what they say last is what is wrong.
func judge(ctx context.Context, dir string, r *rig.Rig, report *chaos.Report, say func(string, ...any)) error {
	for end := time.Now().Add(restWithin); ; {
		results, violations, parked, err := look(ctx, dir, r)
		if err != nil && (ctx.Err() != nil || time.Now().After(end)) {
			return err
		}
		if err == nil && (verify.Broken(results)+len(violations) == 0 || time.Now().After(end)) {
			for _, x := range results {
				showResult(sayerWriter{say}, x)
			}
			say("%d deals wait for a person", parked)
			report.Parked = parked
			results = append(results, verify.Result{Invariant: "world", Violations: violations})
			report.Judge(results)
			return nil
		}
		say("not at rest: %s", restless(results, violations, err))
		idle.For(ctx, restLook)
	}
}

// look reads everything once.
func look(ctx context.Context, dir string, r *rig.Rig) (results []verify.Result, violations []string, parked int, err error) {
	f, err := folder.Open(ctx, dir)
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s, err := verify.Read(ctx, f.Sources)
	if err != nil {
		return nil, nil, 0, err
	}
	violations, parked = r.World.Check(ctx, s)
	return verify.Check(s), violations, parked, nil
}

// restless says in a line why it is not at rest.
func restless(results []verify.Result, violations []string, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, r := range results {
		if n := len(r.Violations); n > 0 {
			out = append(out, fmt.Sprintf("%s %d (%s)", r.Invariant, n, r.Violations[0]))
		}
	}
	if len(violations) > 0 {
		out = append(out, fmt.Sprintf("world %d (%s)", len(violations), violations[0]))
	}
	return strings.Join(out, "; ")
}

// sayer writes lines of several goroutines, with the time since the start.
type sayer struct {
	mu   sync.Mutex
	out  io.Writer
	from time.Time
}

func (s *sayer) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%6.1f  %s\n", time.Since(s.from).Seconds(), fmt.Sprintf(format, args...))
}

// sayerWriter says what is written to it.
type sayerWriter struct{ say func(string, ...any) }

// Write says a line.
func (w sayerWriter) Write(p []byte) (int, error) {
	w.say("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
