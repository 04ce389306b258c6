package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

// testedView is what 'connections test' prints; its names are promises.
type testedView struct {
	Connection string      `json:"connection"`
	Account    string      `json:"account"`
	OK         bool        `json:"ok"`
	Checks     []checkView `json:"checks"`
}

type checkView struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Next   string `json:"next"`
}

func (a *app) connectionsTest() *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Read a little through a connection and say what works; exit 5 if something does not", Args: cobra.ExactArgs(1),
		Example: "  tieout connections test books\n  tieout connections test crm -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.writer.TestConnection(cmd.Context(), &controlv1.TestConnectionRequest{Connection: args[0]})
			if err != nil {
				return err
			}
			v := testedView{Connection: args[0], Account: res.GetAccount(), OK: true, Checks: []checkView{}}
			for _, x := range res.GetChecks() {
				v.OK = v.OK && x.GetOk()
				v.Checks = append(v.Checks, checkView{x.GetName(), x.GetOk(), x.GetDetail(), x.GetNext()})
			}
			if err := a.print(v, v.table); err != nil || v.OK {
				return err
			}
			return &failure{code: exitDifference, silent: true, message: "something does not work"}
		},
	}
}

func (v testedView) table(w io.Writer) {
	for _, x := range v.Checks {
		state := "ok"
		if !x.OK {
			state = "NO"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", state, x.Name, x.Detail)
		if x.Next != "" {
			fmt.Fprintf(w, "\t\tnext: %s\n", x.Next)
		}
	}
}

// preparedView is what 'connections prepare' prints; its names are promises.
type preparedView struct {
	Connection string   `json:"connection"`
	Made       bool     `json:"made"`
	Items      []string `json:"items"`
}

func (a *app) connectionsPrepare() *cobra.Command {
	r := &controlv1.PrepareConnectionRequest{Actor: actor()}
	cmd := &cobra.Command{
		Use: "prepare ID", Short: "Make at the vendor what write-back needs, such as properties; may be repeated", Args: cobra.ExactArgs(1),
		Example: "  tieout connections prepare crm --dry-run\n  tieout connections prepare crm",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			r.Connection = args[0]
			res, err := c.writer.PrepareConnection(cmd.Context(), r)
			if err != nil {
				return err
			}
			v := preparedView{Connection: args[0], Made: res.GetMade(), Items: append([]string{}, res.GetItems()...)}
			return a.print(v, v.table)
		},
	}
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what is missing")
	return cmd
}

func (v preparedView) table(w io.Writer) {
	if len(v.Items) == 0 {
		fmt.Fprintf(w, "nothing is missing at %s\n", v.Connection)
	}
	word := "missing"
	if v.Made {
		word = "made"
	}
	for _, item := range v.Items {
		fmt.Fprintf(w, "%s\t%s\n", word, item)
	}
}
