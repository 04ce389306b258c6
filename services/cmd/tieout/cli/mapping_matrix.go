package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/mappings"
)

// mappingMatrix writes the field matrix as Markdown: what an auditor reads
// instead of YAML.
func (a *app) mappingMatrix() *cobra.Command {
	return &cobra.Command{
		Use: "matrix [FILE…]", Short: "Write the field matrix of mappings as Markdown; without files, of those shipped",
		Example: "  tieout mapping matrix\n  tieout mapping matrix services/mappings/quickbooks-invoice-hubspot-marker.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := mappingsOf(args)
			if err != nil {
				return err
			}
			matrix(a.out, list)
			return nil
		},
	}
}

func mappingsOf(files []string) ([]*mapping.Mapping, error) {
	var out []*mapping.Mapping
	if len(files) == 0 {
		all, err := mappings.All()
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			out = append(out, all[name])
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, noFile(err)
		}
		m, err := mapping.Load(filepath.Base(f), b)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func matrix(w io.Writer, list []*mapping.Mapping) {
	fmt.Fprint(w, "# Field matrix\n\nGenerated from the mappings: `make generate`. A field is taken over as it is unless its rule says how it is calculated.\n")
	for _, m := range list {
		fmt.Fprintf(w, "\n## %s\nVersion %s, from %s %s. Hash `%s`.\n\n| in the books | from | rule |\n| --- | --- | --- |\n", m.Name, m.Version, m.System, m.Type, m.Hash[:16])
		for _, r := range m.Rules() {
			rule := "as it is"
			switch {
			case len(r.Sources) == 0 && !r.Calculated:
				rule = "symbol `" + r.Expression + "`, bound by the entity"
			case r.Calculated:
				rule = "`" + strings.ReplaceAll(r.Expression, "|", "\\|") + "`"
			}
			fmt.Fprintf(w, "| `%s` | %s | %s |\n", r.Name, strings.Join(r.Sources, ", "), rule)
		}
	}
}
