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
		seed, needed, err := try(ctx, root, dir, m)
		switch {
		case err != nil:
			return fmt.Errorf("mutant %s: %w", m.name, err)
		case needed > 0:
			killed++
			fmt.Printf("%-34s killed   seed %d, %d seeds needed (%s)\n", m.name, seed, needed, m.mix)
		default:
			fmt.Printf("%-34s SURVIVED %d seeds (%s)\n", m.name, mutantSeeds, m.mix)
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
// checker notices; one that does not build is no mutant.
func try(ctx context.Context, root, dir string, m mutant) (seed uint64, needed int, err error) {
	file := filepath.Join(root, m.file)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return 0, 0, fmt.Errorf("%s holds the guard's text %d times, not once", m.file, n)
	}
	changed, overlay, bin := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "bench")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return 0, 0, err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return 0, 0, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return 0, 0, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", bin, "./cmd/tieout-lab")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("it does not build: %w\n%s", err, out)
	}
	return play(ctx, bin, m.mix)
}

func play(ctx context.Context, bin, mix string) (seed uint64, needed int, err error) {
	run := exec.CommandContext(ctx, bin, "sim", "--bare", "--mix", mix, "--seeds", fmt.Sprint(mutantSeeds))
	out, runErr := run.Output()
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		return 0, 0, runErr
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var s summary
	if err := json.Unmarshal(lines[len(lines)-1], &s); err != nil {
		return 0, 0, fmt.Errorf("the bench crashed, which is no verdict: %w", errors.Join(runErr, err))
	}
	if len(s.Violations) == 0 {
		return 0, 0, nil
	}
	first := s.Violations[0].Seed
	return first, int(first-s.Base) + 1, nil
}
