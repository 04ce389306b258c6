package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/drill"
)

// faultsFlags say where the table of faults is kept and what is run for it.
type faultsFlags struct {
	root, log, record, page string
	run                     bool
	tags                    []string
}

// faultsCommand writes the table of faults, of what the tests say in the source
// and of what they saw when they last ran; it runs them if told to.
func faultsCommand() *cobra.Command {
	var o faultsFlags
	c := &cobra.Command{
		Use: "faults", Short: "Write the table of faults; with --run, make each of them happen first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runFaults(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.root, "root", ".", "folder of the services' source")
	f.StringVar(&o.log, "log", "", "what tests and chaos noted; kept, and read into the record")
	f.StringVar(&o.record, "record", "../docs/faults.json", "the last run of each")
	f.StringVar(&o.page, "page", "../docs/faults.md", "the page")
	f.BoolVar(&o.run, "run", false, "run the tests that inject faults")
	f.StringSliceVar(&o.tags, "tags", []string{""}, "with --run, which tests: those of a build tag; an empty one is 'make test'")
	return c
}

func runFaults(ctx context.Context, o *faultsFlags) error {
	places, err := drill.Source(o.root)
	if err != nil {
		return fmt.Errorf("read which tests inject faults: %w", err)
	}
	var failed error
	if o.run {
		if o.log == "" {
			o.log = filepath.Join(os.TempDir(), fmt.Sprintf("tieout-faults-%d.jsonl", os.Getpid()))
			defer os.Remove(o.log)
		}
		for _, tag := range o.tags {
			failed = errors.Join(failed, runDrills(ctx, o, places, tag))
		}
	}
	record, err := o.merged()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.record, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("record of the faults: %w", err)
	}
	if err := os.WriteFile(o.page, []byte(drill.Page(places, record)), 0o644); err != nil {
		return fmt.Errorf("page of the faults: %w", err)
	}
	return failed
}

// merged is the record with what the log adds.
func (o *faultsFlags) merged() (drill.Record, error) {
	var record drill.Record
	text, err := os.ReadFile(o.record)
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("record of the faults, %s: %w", o.record, err)
	}
	if o.log == "" {
		return record, nil
	}
	log, err := os.ReadFile(o.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("log of the faults: %w", err)
	}
	return record.Merge(log, time.Now().UTC().Truncate(time.Second))
}

// runDrills runs the tests of one build tag that inject faults.
func runDrills(ctx context.Context, o *faultsFlags, places map[int][]drill.Place, tag string) error {
	packages, tests := map[string]bool{}, map[string]bool{}
	for _, list := range places {
		for _, p := range list {
			switch {
			case strings.HasSuffix(p.By, drill.ScriptSuffix) && tag == "":
				packages["./internal/lab/bubble"], tests["TestScenarios"] = true, true
			case p.Target == tag:
				dot := strings.LastIndex(p.By, ".")
				packages["./"+p.By[:dot]], tests[p.By[dot+1:]] = true, true
			}
		}
	}
	if len(tests) == 0 {
		return nil
	}
	args := []string{"test", "-count=1", "-timeout", "25m", "-run", "^(" + strings.Join(sorted(tests), "|") + ")$"}
	if tag != "" {
		args = append(args, "-tags", tag, "-p", "1")
	}
	log, err := filepath.Abs(o.log)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(args, sorted(packages)...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.root, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), drill.LogVariable+"="+log)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the tests that inject faults: %w", err)
	}
	return nil
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
