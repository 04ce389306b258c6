package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/lab"
)

// mutant is the core without one guard: a text of a file that is replaced by
// another one, and the blend of faults that is dense in what the guard is for.
type mutant struct {
	name, file, old, new, mix string
}

// mutantSeeds is how many schedules may pass before a removed guard is noticed.
const mutantSeeds = 1000

var errSurvived = errors.New("a guard was taken out and no checker noticed")

// trials says how mutants are tried.
type trials struct {
	only  string
	base  uint64 // the first seed
	count bool   // play all seeds, to tell how many notice
}

func mutantsCommand() *cobra.Command {
	var o trials
	cmd := &cobra.Command{
		Use: "mutants", Short: "Take the guards out one at a time; exit 1 if a checker does not notice", Args: cobra.NoArgs,
		Example: "  tieout-lab mutants\n  tieout-lab mutants --only quarantine\n  tieout-lab mutants --count --base 50001",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.only, "only", "", "only mutants whose name holds this")
	cmd.Flags().Uint64Var(&o.base, "base", 1, "the first seed")
	cmd.Flags().BoolVar(&o.count, "count", false, "play all seeds and tell how many notice")
	return cmd
}

func (o trials) run(ctx context.Context) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tieout-mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	killed, tried := 0, 0
	for _, m := range mutants() {
		if !strings.Contains(m.name, o.only) {
			continue
		}
		tried++
		bad, err := o.try(ctx, root, dir, m)
		switch {
		case err != nil:
			fmt.Printf("%-38s CRASHED  %v\n", m.name, err)
		case len(bad) == 0:
			fmt.Printf("%-38s SURVIVED %d seeds (%s)\n", m.name, mutantSeeds, m.mix)
		case o.count:
			killed++
			fmt.Printf("%-38s killed   by %d of %d seeds (%s)\n", m.name, seedsOf(bad), mutantSeeds, m.mix)
		default:
			killed++
			fmt.Printf("%-38s killed   by %s, %d seeds needed (%s)\n", m.name, bad[0].Invariant, bad[0].Seed-o.base+1, m.mix)
		}
	}
	fmt.Printf("%d of %d killed\n", killed, tried)
	if killed < tried {
		return errSurvived
	}
	return nil
}

// seedsOf counts the schedules that broke a promise.
func seedsOf(bad []lab.Violation) int {
	seeds := map[uint64]bool{}
	for _, v := range bad {
		seeds[v.Seed] = true
	}
	return len(seeds)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "tieout.dev/services").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's sources, which mutants are made of: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// try builds the bench with the guard taken out and plays schedules until a
// checker notices; one that does not build, or that crashes, is no verdict.
func (o trials) try(ctx context.Context, root, dir string, m mutant) ([]lab.Violation, error) {
	file := filepath.Join(root, m.file)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("%s holds the guard's text %d times, not once", m.file, n)
	}
	changed, overlay, bin := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "bench")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return nil, err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-ldflags", "-s -w", "-o", bin, "./internal/lab/play")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("it does not build: %w: %s", err, out)
	}
	how := "first"
	if o.count {
		how = "all"
	}
	run := exec.CommandContext(ctx, bin, m.mix, fmt.Sprint(o.base), fmt.Sprint(mutantSeeds), how)
	var complaint bytes.Buffer
	run.Stderr = &complaint
	out, err := run.Output()
	if err != nil {
		first, _, _ := strings.Cut(complaint.String(), "\n")
		return nil, fmt.Errorf("%w: %s", err, first)
	}
	var bad []lab.Violation
	return bad, json.Unmarshal(out, &bad)
}
