package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"

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
	Actor     string  `json:"actor"`  // who accepted it
	Reason    string  `json:"reason"` // and why
}

func (a *app) reconcile() *cobra.Command {
	r := &controlv1.ReconcileRequest{}
	var wait bool
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Compare source, journal and books; exit 5 while anything is unexplained", Args: cobra.NoArgs,
		Example: "  tieout reconcile\n  tieout reconcile --entity acme-ie --period 2026-11 -o json\n  tieout reconcile -o csv",
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
			if err := a.printReport(v); err != nil {
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
	cmd.AddCommand(a.reconcileLast(), a.reconcileRepair(), a.reconcileAccept())
	return cmd
}

// printReport prints a report in the shape that is asked for.
func (a *app) printReport(v *reconcileView) error {
	if a.output == "csv" {
		return v.csv(a.out)
	}
	return a.print(v, v.table)
}

func (a *app) reconcileLast() *cobra.Command {
	r := &controlv1.LastReportRequest{}
	cmd := &cobra.Command{
		Use: "last", Short: "Show the newest report without comparing anew", Args: cobra.NoArgs, Example: "  tieout reconcile last --entity acme-ie --period 2026-11",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.reconciler.LastReport(cmd.Context(), r)
			if err != nil {
				return err
			}
			return a.printReport(toReconcile(res))
		},
	}
	cmd.Flags().StringVar(&r.Entity, "entity", "", "fiscal entity (default: the report over all)")
	cmd.Flags().StringVar(&r.Period, "period", "", "YYYY-MM (default: everything)")
	return cmd
}

func (a *app) reconcileRepair() *cobra.Command {
	r := &controlv1.RepairRequest{Action: "recheck", Actor: actor()}
	cmd := &cobra.Command{
		Use: "repair [BREAK…]", Short: "Have source records read and admitted again, for breaks that this repairs",
		Long: "Have source records read and admitted again, for breaks that this repairs.\n\n" + billsAll + `
See what it would be with --dry-run first; --all then takes --yes, or a yes at the terminal.`,
		Example: "  tieout reconcile repair --all --dry-run\n  tieout reconcile repair 5f1c0a",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Ids = args
			if len(args) == 0 && !r.All {
				return usage("name breaks, or say --all")
			}
			if r.All && !r.DryRun {
				if err := a.repairAll(); err != nil {
					return err
				}
			}
			return a.repair(cmd, r)
		},
	}
	cmd.Flags().BoolVar(&r.All, "all", false, "every open break that needs no person's decision")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "say what would happen, change nothing")
	return cmd
}

// billsAll is what a person must know before all is repaired.
const billsAll = "--all makes a document for every won deal that was never posted, also for those from before a route's start."

// repairAll takes a person's word: bills go out of it.
func (a *app) repairAll() error {
	fmt.Fprintln(a.err, billsAll)
	if !a.yes && !isTerminal(os.Stdin) {
		return &failure{code: exitUsage, message: "repairing every open break takes --yes", who: "finance", next: "tieout reconcile repair --all --dry-run"}
	}
	return a.confirm("repair every open break?")
}

func (a *app) reconcileAccept() *cobra.Command {
	r := &controlv1.RepairRequest{Action: "accept", Actor: actor()}
	cmd := &cobra.Command{
		Use: "accept BREAK…", Short: "Accept a difference as it is, for a reason", Args: cobra.MinimumNArgs(1),
		Example: `  tieout reconcile accept 5f1c0a --reason "written off by the board"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Ids = args
			return a.repair(cmd, r)
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it goes into the audit trail")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "say what would happen, change nothing")
	return cmd
}

func (a *app) repair(cmd *cobra.Command, r *controlv1.RepairRequest) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	res, err := c.reconciler.Repair(cmd.Context(), r)
	if err != nil {
		return err
	}
	ids := append([]string{}, res.GetIds()...)
	done := r.GetAction()
	if r.GetDryRun() {
		done = "would " + done
	}
	return a.print(map[string]any{"action": r.GetAction(), "dry_run": r.GetDryRun(), "breaks": ids}, func(w io.Writer) {
		for _, id := range ids {
			fmt.Fprintf(w, "%s\t%s\n", done, id)
		}
		if len(ids) == 0 {
			fmt.Fprintln(w, "nothing to act on")
		}
	})
}

// csv writes the rows, then the breaks, as one table of differences.
func (v *reconcileView) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	records := [][]string{{"entity", "period", "kind", "currency", "side", "cause", "count", "net_minor", "gross_minor", "source_ref", "books_ref", "state", "repair"}}
	row := func(kind, currency, side, cause string, s sideView) {
		records = append(records, []string{v.Entity, v.Period, kind, currency, side, cause, fmt.Sprint(s.Count), minor(s.Net), minor(s.Gross), "", "", "", ""})
	}
	for _, r := range v.Rows {
		row(r.Kind, r.Currency, "source", "", r.Source)
		row(r.Kind, r.Currency, "journal", "", r.Journal)
		row(r.Kind, r.Currency, "books", "", r.Books)
		for _, e := range r.Explained {
			row(r.Kind, r.Currency, "explained", e.Cause, sideView{e.Count, e.Net, e.Gross})
		}
		row(r.Kind, r.Currency, "unexplained", "", r.Unexplained)
	}
	for _, b := range v.Breaks {
		currency := ""
		if b.Amount != nil {
			currency = b.Amount.Currency
		}
		records = append(records, []string{v.Entity, v.Period, b.Kind, currency, "break", b.Cause, "1", minor(b.Amount), "", b.SourceRef, b.BooksRef, b.State, b.Repair})
	}
	return out.WriteAll(records)
}

func minor(m *amount) string {
	if m == nil {
		return ""
	}
	return fmt.Sprint(m.Minor)
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
		v.Breaks = append(v.Breaks, breakView{b.GetId(), b.GetKind(), b.GetCause(), b.GetSourceRef(), b.GetBooksRef(), toAmount(b.GetAmount()), b.GetState(), b.GetRepair(), b.GetActor(), b.GetReason()})
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

// breakShown is how much of a break's id a table shows: enough to act on it.
const breakShown = 12

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
		fmt.Fprintln(w, "\nBREAK\tKIND\tCAUSE\tSOURCE\tBOOKS\tAMOUNT\tSTATE\tREPAIR")
	}
	for _, b := range v.Breaks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.ID[:min(len(b.ID), breakShown)], b.Kind, b.Cause, b.SourceRef, b.BooksRef, b.Amount, b.State, b.Repair)
	}
}
