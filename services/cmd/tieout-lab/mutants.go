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

func mutantsCommand() *cobra.Command {
	var only string
	cmd := &cobra.Command{
		Use: "mutants", Short: "Take the guards out one at a time; exit 1 if a checker does not notice", Args: cobra.NoArgs,
		Example: "  tieout-lab mutants\n  tieout-lab mutants --only quarantine",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return tryAll(cmd.Context(), only)
		},
	}
	cmd.Flags().StringVar(&only, "only", "", "only mutants whose name holds this")
	return cmd
}

func tryAll(ctx context.Context, only string) error {
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
		if !strings.Contains(m.name, only) {
			continue
		}
		tried++
		bad, err := try(ctx, root, dir, m)
		switch {
		case err != nil:
			fmt.Printf("%-38s CRASHED  %v\n", m.name, err)
		case bad != nil:
			killed++
			fmt.Printf("%-38s killed   by %s, %d seeds needed (%s)\n", m.name, bad.Invariant, bad.Seed, m.mix)
		default:
			fmt.Printf("%-38s SURVIVED %d seeds (%s)\n", m.name, mutantSeeds, m.mix)
		}
	}
	fmt.Printf("%d of %d killed\n", killed, tried)
	if killed < tried {
		return errSurvived
	}
	return nil
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
func try(ctx context.Context, root, dir string, m mutant) (*lab.Violation, error) {
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
	run := exec.CommandContext(ctx, bin, m.mix, "1", fmt.Sprint(mutantSeeds))
	var complaint bytes.Buffer
	run.Stderr = &complaint
	out, err := run.Output()
	if err != nil {
		first, _, _ := strings.Cut(complaint.String(), "\n")
		return nil, fmt.Errorf("%w: %s", err, first)
	}
	var bad *lab.Violation
	return bad, json.Unmarshal(out, &bad)
}
