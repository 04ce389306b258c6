package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/mapping"
)

type mappingView struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Hash    string     `json:"hash"`
	Rules   []ruleView `json:"rules,omitempty"`
}

type ruleView struct {
	Name       string   `json:"name"`
	Sources    []string `json:"sources"`
	Expression string   `json:"expression"`
	Calculated bool     `json:"calculated"`
}

func (a *app) mapping() *cobra.Command {
	cmd := &cobra.Command{Use: "mapping", Short: "How a record becomes documents, field by field"}
	cmd.AddCommand(a.mappingCheck(), a.mappingList(), a.mappingShow(), a.mappingMatrix())
	return cmd
}

func (a *app) mappingCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a mapping's file: every mistake with file, line, column and rule", Args: cobra.ExactArgs(1),
		Example: "  tieout mapping check services/mappings/hubspot-deal-quickbooks-invoice.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return noFile(err)
			}
			m, err := mapping.Load(filepath.Base(args[0]), b)
			var problems mapping.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if problems == nil {
				problems = mapping.Problems{}
			}
			perr := a.print(page[mapping.Problem]{Items: problems}, func(w io.Writer) {
				for _, p := range problems {
					fmt.Fprintln(w, p.String())
				}
				if len(problems) == 0 {
					fmt.Fprintf(w, "%s version %s is right; its hash is %s\n", m.Name, m.Version, m.Hash)
				}
			})
			if perr == nil && len(problems) > 0 {
				return &failure{code: exitError, silent: true, message: "the mapping has mistakes"}
			}
			return perr
		},
	}
}

func (a *app) mappingList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the mappings in force", Args: cobra.NoArgs, Example: "  tieout mapping list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.transform.TransformStatus(cmd.Context(), &controlv1.TransformStatusRequest{})
			if err != nil {
				return err
			}
			items := []mappingView{}
			for _, m := range res.GetMappings() {
				items = append(items, mappingView{Name: m.GetName(), Version: m.GetVersion(), Hash: m.GetHash()})
			}
			return a.print(page[mappingView]{Items: items}, func(w io.Writer) {
				fmt.Fprintln(w, "MAPPING\tVERSION\tHASH")
				for _, m := range items {
					fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, m.Version, m.Hash)
				}
			})
		},
	}
}

func (a *app) mappingShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a mapping in force, field by field", Args: cobra.ExactArgs(1), Example: "  tieout mapping show hubspot-deal-quickbooks-invoice",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.transform.GetMapping(cmd.Context(), &controlv1.GetMappingRequest{Name: args[0]})
			if err != nil {
				return err
			}
			v := mappingView{Name: res.GetMapping().GetName(), Version: res.GetMapping().GetVersion(), Hash: res.GetMapping().GetHash(), Rules: []ruleView{}}
			for _, r := range res.GetRules() {
				v.Rules = append(v.Rules, ruleView{r.GetName(), append([]string{}, r.GetSources()...), r.GetExpression(), r.GetCalculated()})
			}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s version %s\n\nIN THE BOOKS\tFROM\tRULE\n", v.Name, v.Version)
				for _, r := range v.Rules {
					fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, strings.Join(r.Sources, ", "), r.Expression)
				}
			})
		},
	}
}
