package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/exception"
)

type exceptionView struct {
	ID           string   `json:"id"`
	Kind         string   `json:"kind"`
	State        string   `json:"state"`
	Owner        string   `json:"owner"`
	Target       string   `json:"target"`
	Lane         string   `json:"lane"`
	Seq          int64    `json:"seq"`
	Subject      string   `json:"subject"`
	Customer     string   `json:"customer"`
	Amount       *amount  `json:"amount"`
	Reason       string   `json:"reason"`
	Field        string   `json:"field"`
	Fix          string   `json:"fix"`
	VendorCode   string   `json:"vendor_code"`
	VendorText   string   `json:"vendor_text"`
	Rule         string   `json:"rule"`
	Mapping      string   `json:"mapping"`
	TraceID      string   `json:"trace_id"`
	SourceURL    string   `json:"source_url"`
	BooksURL     string   `json:"books_url"`
	WaitingUntil string   `json:"waiting_until"`
	Held         heldView `json:"held"`
	OpenedAt     string   `json:"opened_at"`
	Actions      []string `json:"actions"`
	// Refused is the last action that changed nothing, if there was one.
	Refused *refusalView `json:"refused"`
}

type refusalView struct {
	Action string `json:"action"`
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	At     string `json:"at"`
}

type heldView struct {
	Count int64     `json:"count"`
	Sum   []*amount `json:"sum"`
}

func (a *app) exceptions() *cobra.Command {
	cmd := &cobra.Command{Use: "exceptions", Short: "What a person must look at, and what to do about it"}
	cmd.AddCommand(a.exceptionsList(), a.exceptionsShow())
	for _, x := range actions {
		cmd.AddCommand(a.exceptionsAct(x))
	}
	return cmd
}

func (a *app) exceptionsList() *cobra.Command {
	var kind, state string
	var p part
	cmd := &cobra.Command{
		Use: "list", Short: "List exceptions, oldest first", Args: cobra.NoArgs,
		Example: "  tieout exceptions list\n  tieout exceptions list --kind validation -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(knownKind(kind), knownState(state)); err != nil {
				return err
			}
			list, err := a.readExceptions(cmd.Context(), &controlv1.ListExceptionsRequest{Kind: kind, State: state, Limit: p.limit, Next: p.next})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) {
				if len(list.Items) == 0 {
					fmt.Fprintln(w, "no open exceptions")
					return
				}
				fmt.Fprintln(w, "ID\tKIND\tOWNER\tAMOUNT\tHELD\tSUBJECT\tREASON")
				for _, e := range list.Items {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.ID, e.Kind, e.Owner, e.Amount, e.Held.Count, e.Subject, e.Reason)
				}
				more(w, list.Next)
			})
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only this kind")
	cmd.Flags().StringVar(&state, "state", "", "open (default), released or discarded")
	return p.flags(cmd)
}

// knownKind refuses a kind that there is none of: nothing found would be taken
// for nothing open.
func knownKind(kind string) error {
	if kind == "" || slices.Contains(exception.Kinds(), exception.Kind(kind)) {
		return nil
	}
	return usage("--kind %q is none of %s", kind, strings.Trim(fmt.Sprint(exception.Kinds()), "[]"))
}

func knownState(state string) error {
	switch exception.State(state) {
	case "", exception.Open, exception.Released, exception.Discarded:
		return nil
	}
	return usage("--state %q is none of open, released, discarded", state)
}

func (a *app) exceptionsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one exception whole", Args: cobra.ExactArgs(1),
		Example: "  tieout exceptions show w-0123456789abcdef",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.readExceptions(cmd.Context(), &controlv1.ListExceptionsRequest{Id: args[0]})
			if err != nil {
				return err
			}
			e := list.Items[0]
			return a.print(e, e.table)
		},
	}
}

func (e exceptionView) table(w io.Writer) {
	row := func(name, value string) { field(w, name, value) }
	row("id", e.ID)
	row("kind", e.Kind)
	row("state", e.State)
	row("what happened", e.Reason)
	row("who acts", e.Owner)
	row("what to do", e.Fix)
	row("subject", e.Subject)
	row("customer", e.Customer)
	row("amount", e.Amount.String())
	row("field", e.Field)
	row("rule", e.Rule)
	row("vendor", strings.TrimSpace(e.VendorCode+" "+e.VendorText))
	row("lane", e.Lane)
	row("held behind it", fmt.Sprint(e.Held.Count))
	row("opened", e.OpenedAt)
	row("waits until", e.WaitingUntil)
	row("at the source", e.SourceURL)
	row("in the books", e.BooksURL)
	row("trace", e.TraceID)
	if r := e.Refused; r != nil {
		row("refused", fmt.Sprintf("%s by %s at %s: %s", r.Action, r.Actor, r.At, r.Reason))
	}
	for _, action := range e.Actions {
		row("action", "tieout exceptions "+action+" "+e.ID+` --reason "…"`)
	}
}

// readExceptions joins what the writer and ingest hold; one of an id is asked
// of the service that its prefix names.
func (a *app) readExceptions(ctx context.Context, r *controlv1.ListExceptionsRequest) (*page[exceptionView], error) {
	c, err := a.clients()
	if err != nil {
		return nil, err
	}
	part, err := control.PageOf(r.GetLimit(), r.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	var items []*controlv1.Exception
	goesOn := false
	for _, list := range c.holders(r.GetId()) {
		res, err := list(ctx, r)
		if err != nil {
			return nil, err
		}
		items, goesOn = append(items, res.GetItems()...), goesOn || res.GetNext() != ""
	}
	slices.SortFunc(items, func(a, b *controlv1.Exception) int {
		return cmp.Or(a.GetOpenedAt().AsTime().Compare(b.GetOpenedAt().AsTime()), cmp.Compare(a.GetId(), b.GetId()))
	})
	items, next := control.CutPage(part, items, control.ExceptionPlace)
	if next == "" && goesOn { // a holder's own page may end just where the joined one does
		next = control.PageToken(control.ExceptionPlace(items[len(items)-1]))
	}
	out := &page[exceptionView]{Items: make([]exceptionView, 0, len(items)), Next: next}
	for _, e := range items {
		out.Items = append(out.Items, toException(e))
	}
	return out, nil
}

type lister func(context.Context, *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error)

func (c clients) holders(id string) []lister {
	writer := func(ctx context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
		return c.writer.ListExceptions(ctx, r)
	}
	ingest := func(ctx context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
		return c.ingest.ListExceptions(ctx, r)
	}
	switch {
	case strings.HasPrefix(id, "i-"):
		return []lister{ingest}
	case id != "":
		return []lister{writer}
	}
	return []lister{writer, ingest}
}

func toException(e *controlv1.Exception) exceptionView {
	v := exceptionView{
		ID: e.GetId(), Kind: e.GetKind(), State: e.GetState(), Owner: e.GetOwner(), Target: e.GetTarget(), Lane: e.GetLane(), Seq: e.GetSeq(),
		Subject: e.GetSubject(), Customer: e.GetCustomer(), Amount: toAmount(e.GetAmount()), Reason: e.GetReason(), Field: e.GetField(), Fix: e.GetFix(),
		VendorCode: e.GetVendorCode(), VendorText: e.GetVendorText(), Rule: e.GetRule(), Mapping: e.GetMapping(), TraceID: e.GetTraceId(),
		SourceURL: e.GetSourceUrl(), BooksURL: e.GetBooksUrl(), WaitingUntil: instant(e.GetWaitingUntil()), OpenedAt: instant(e.GetOpenedAt()),
		Held: heldView{Count: e.GetHeld().GetCount(), Sum: []*amount{}}, Actions: e.GetActions(),
	}
	if r := e.GetRefused(); r != nil {
		v.Refused = &refusalView{r.GetAction(), r.GetActor(), r.GetReason(), instant(r.GetAt())}
	}
	for _, m := range e.GetHeld().GetSum() {
		v.Held.Sum = append(v.Held.Sum, toAmount(m))
	}
	if v.Actions == nil {
		v.Actions = []string{}
	}
	return v
}

// action is what a person can do about an exception.
type action struct {
	name, short, example string
	all, ref             bool
}

var actions = []action{
	{name: "retry", short: "Try again, after the cause was mended", example: `retry w-0123456789abcdef --reason "the period is open again"`, all: true},
	{name: "rerender", short: "Render the record again by the mapping that is in force now", example: `rerender --all --kind mapping --reason "version 2 binds the account"`, all: true},
	{name: "requeue", short: "Move the record behind what stands in its lane, for a fix that comes later there", example: `requeue w-0123456789abcdef --reason "the company is corrected by the next change"`},
	{name: "link", short: "Say which record in the books it is", example: `link w-0123456789abcdef --ref quickbooks/4620816365/customer/58 --reason "the same company, under its old name"`, ref: true},
	{name: "confirm-absent", short: "Say that a doubtful document is not in the books: you looked", example: `confirm-absent w-0123456789abcdef --reason "searched by customer, date and amount"`},
	{name: "reissue", short: "Make a document once more, under another number: one that somebody deleted or voided, whose tax status changed, or that changed after its period was closed", example: `reissue w-0123456789abcdef --reason "deleted by mistake"`},
	{name: "discard", short: "Give up on this revision, for a reason; the lane goes on", example: `discard w-0123456789abcdef --reason "settled by phone"`},
}

func (a *app) exceptionsAct(x action) *cobra.Command {
	r := &controlv1.ActRequest{Action: x.name, Actor: actor()}
	cmd := &cobra.Command{
		Use: x.name + " [ID]", Args: cobra.MaximumNArgs(1), Short: x.short, Example: "  tieout exceptions " + x.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				r.Id = args[0]
			}
			return a.act(cmd.Context(), r)
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it goes into the audit trail")
	cmd.Flags().StringVar(&r.Actor, "as", r.Actor, "who acts; what takes two persons is done when another one asks for the same")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "say what would happen, change nothing")
	if x.all {
		cmd.Flags().BoolVar(&r.All, "all", false, "every open exception for which it is possible")
		cmd.Flags().StringVar(&r.Kind, "kind", "", "with --all: only this kind")
	}
	if x.ref {
		cmd.Flags().StringVar(&r.Ref, "ref", "", "the record in the books: type/id, or system/account/type/id")
	}
	return cmd
}
