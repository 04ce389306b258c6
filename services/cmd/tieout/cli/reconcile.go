package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

type reconcileView struct {
	Run    string      `json:"run"`
	Entity string      `json:"entity"`
	Period string      `json:"period"`
	Rows   []rowView   `json:"rows"`
	Breaks []breakView `json:"breaks"`
}

type rowView struct {
	Kind        string          `json:"kind"`
	Currency    string          `json:"currency"`
	Source      sideView        `json:"source"`
	Journal     sideView        `json:"journal"`
	Books       sideView        `json:"books"`
	Explained   []explainedView `json:"explained"`
	Unexplained sideView        `json:"unexplained"`
}

type sideView struct {
	Count int64   `json:"count"`
	Net   *amount `json:"net"`
	Gross *amount `json:"gross"`
}

type explainedView struct {
	Cause string  `json:"cause"`
	Count int64   `json:"count"`
	Net   *amount `json:"net"`
	Gross *amount `json:"gross"`
}

type breakView struct {
	ID        string  `json:"id"`
	Kind      string  `json:"kind"`
	Cause     string  `json:"cause"`
	SourceRef string  `json:"source_ref"`
	BooksRef  string  `json:"books_ref"`
	Amount    *amount `json:"amount"`
	State     string  `json:"state"`
	Repair    string  `json:"repair"`
}

func (a *app) reconcile() *cobra.Command {
	r := &controlv1.ReconcileRequest{}
	var wait bool
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Compare source, journal and books; exit 5 while anything is unexplained", Args: cobra.NoArgs,
		Example: "  tieout reconcile\n  tieout reconcile --entity acme-ie --period 2026-11 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.reconciler.Reconcile(cmd.Context(), r)
			if err != nil {
				return err
			}
			v := toReconcile(res)
			if err := a.print(v, v.table); err != nil {
				return err
			}
			if v.unexplained() {
				return &failure{code: exitDifference, silent: true, message: "not everything is explained"}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&r.Entity, "entity", "", "fiscal entity (default: all)")
	cmd.Flags().StringVar(&r.Period, "period", "", "YYYY-MM by issue date (default: everything)")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait for the report")
	return cmd
}

func toReconcile(r *controlv1.ReconcileResponse) *reconcileView {
	v := &reconcileView{Run: r.GetRun(), Entity: r.GetEntity(), Period: r.GetPeriod(), Rows: []rowView{}, Breaks: []breakView{}}
	side := func(s *controlv1.Side) sideView {
		return sideView{s.GetCount(), toAmount(s.GetNet()), toAmount(s.GetGross())}
	}
	for _, x := range r.GetRows() {
		row := rowView{
			Kind: x.GetKind(), Currency: x.GetCurrency(), Source: side(x.GetSource()), Journal: side(x.GetJournal()), Books: side(x.GetBooks()),
			Explained: []explainedView{}, Unexplained: side(x.GetUnexplained()),
		}
		for _, e := range x.GetExplained() {
			s := side(e.GetSide())
			row.Explained = append(row.Explained, explainedView{e.GetCause(), s.Count, s.Net, s.Gross})
		}
		v.Rows = append(v.Rows, row)
	}
	for _, b := range r.GetBreaks() {
		v.Breaks = append(v.Breaks, breakView{b.GetId(), b.GetKind(), b.GetCause(), b.GetSourceRef(), b.GetBooksRef(), toAmount(b.GetAmount()), b.GetState(), b.GetRepair()})
	}
	return v
}

func (v *reconcileView) unexplained() bool {
	for _, r := range v.Rows {
		u := r.Unexplained
		if u.Count != 0 || u.Net != nil && u.Net.Minor != 0 || u.Gross != nil && u.Gross.Minor != 0 {
			return true
		}
	}
	return false
}

func (v *reconcileView) table(w io.Writer) {
	fmt.Fprintln(w, "KIND\tSOURCE\tNET\tJOURNAL\tNET\tBOOKS\tNET\tGROSS\tUNEXPLAINED")
	for _, r := range v.Rows {
		fmt.Fprintf(w, "%s %s\t%d\t%s\t%d\t%s\t%d\t%s\t%s\t%d, %s\n", r.Kind, r.Currency, r.Source.Count, r.Source.Net, r.Journal.Count, r.Journal.Net,
			r.Books.Count, r.Books.Net, r.Books.Gross, r.Unexplained.Count, r.Unexplained.Net)
		for _, e := range r.Explained {
			fmt.Fprintf(w, "  explained\t%d\t%s\t%s\n", e.Count, e.Net, e.Cause)
		}
	}
	if len(v.Breaks) > 0 {
		fmt.Fprintln(w, "\nBREAK\tCAUSE\tSOURCE\tBOOKS\tAMOUNT\tSTATE\tREPAIR")
	}
	for _, b := range v.Breaks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Kind, b.Cause, b.SourceRef, b.BooksRef, b.Amount, b.State, b.Repair)
	}
}
