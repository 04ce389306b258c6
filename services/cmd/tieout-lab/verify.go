package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/tieout-lab/folder"
	"tieout.dev/services/internal/lab/verify"
)

// errViolated: an invariant does not hold, and the output says which.
var errViolated = errors.New("an invariant does not hold")

func verifyCommand() *cobra.Command {
	var dir, output string
	cmd := &cobra.Command{
		Use: "verify", Short: "Hold what a stack has recorded against what is promised; exit 1 on a violation", Args: cobra.NoArgs,
		Long: "Reads the stores, the topics, the audit and the sandboxes' records of a running or stopped 'tieout dev' or 'tieout-lab up',\n" +
			"and prints a line for each invariant. On a running one, let it come to rest first (tieout wait): what still moves is a violation of I8.",
		Example: "  tieout-lab verify --dir .tieout/dev\n  tieout-lab verify --dir .tieout/up -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			results, err := verifyFolder(cmd.Context(), dir)
			if err != nil {
				return err
			}
			return showResults(os.Stdout, output, results)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".tieout/dev", "state folder")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func verifyFolder(ctx context.Context, dir string) (_ []verify.Result, err error) {
	f, err := folder.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s, err := verify.Read(ctx, f.Sources)
	if err != nil {
		return nil, err
	}
	return verify.Check(s), nil
}

// shownOfOne bounds how many violations of one invariant the table lists.
const shownOfOne = 20

func showResults(out io.Writer, output string, results []verify.Result) error {
	switch output {
	case "json":
		if err := json.NewEncoder(out).Encode(map[string]any{"items": results}); err != nil {
			return err
		}
	case "table":
		for _, r := range results {
			showResult(out, r)
		}
	default:
		return fmt.Errorf("output %q is not one of table, json", output)
	}
	if verify.Broken(results) > 0 {
		return errViolated
	}
	return nil
}

func showResult(out io.Writer, r verify.Result) {
	verdict := "ok"
	if len(r.Violations) > 0 {
		verdict = "BROKEN"
	}
	line := figures(r.Checked)
	if len(r.Explained) > 0 {
		line += "; explained: " + figures(r.Explained)
	}
	fmt.Fprintf(out, "%-3s %-6s %s (%s)\n", r.Invariant, verdict, r.Promise, line)
	for i, v := range r.Violations {
		if i == shownOfOne {
			fmt.Fprintf(out, "           and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(out, "           %s\n", v)
	}
}

func figures(m map[string]int64) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(out, ", ")
}
