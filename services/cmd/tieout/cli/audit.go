package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/internal/idle"
)

// entryView is one audit entry; its names are promises.
type entryView struct {
	EventID  string `json:"event_id"`
	At       string `json:"at"`
	Service  string `json:"service"`
	What     string `json:"what"`
	Ref      string `json:"ref"`
	Customer string `json:"customer"`
	OpID     string `json:"op_id"`
	Invoice  string `json:"invoice_number"`
	Outcome  string `json:"outcome"`
	Detail   string `json:"detail"`
	TraceID  string `json:"trace_id"`
	Actor    string `json:"actor"`
	Except   string `json:"exception"`
	Stream   string `json:"stream"`
	Seq      int64  `json:"seq"`
}

func toEntry(e *controlv1.Entry) entryView {
	return entryView{
		EventID: e.GetEventId(), At: instant(e.GetAt()), Service: e.GetService(), What: e.GetWhat(), Ref: e.GetRef(), Customer: e.GetCustomer(),
		OpID: e.GetOpId(), Invoice: e.GetInvoice(), Outcome: e.GetOutcome(), Detail: e.GetDetail(), TraceID: e.GetTraceId(), Actor: e.GetActor(), Except: e.GetException(),
		Stream: e.GetStream(), Seq: e.GetSeq(),
	}
}

func (e entryView) line(w io.Writer) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At, e.Service, e.What, e.Outcome, e.Ref, e.Actor, e.Detail)
}

func (a *app) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Every step that was taken, by whom and when"}
	r := &controlv1.SearchRequest{}
	var since string
	var p part
	search := &cobra.Command{
		Use: "search", Short: "Search the audit trail, oldest first", Args: cobra.NoArgs,
		Example: "  tieout audit search --invoice 1001\n  tieout audit search --customer company/5 --since 2026-11-01 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				at, err := parseDay(since)
				if err != nil {
					return err
				}
				r.Since = timestamppb.New(at)
			}
			r.Limit, r.Next = p.limit, p.next
			return a.searchAudit(cmd.Context(), r)
		},
	}
	f := search.Flags()
	f.StringVar(&r.Customer, "customer", "", "customer's source ref")
	f.StringVar(&r.Invoice, "invoice", "", "invoice number")
	f.StringVar(&r.Op, "op", "", "op id")
	f.StringVar(&r.Ref, "ref", "", "source ref of a record")
	f.StringVar(&r.Trace, "trace", "", "trace id")
	f.StringVar(&since, "since", "", "day or instant")
	p.flags(search)
	var follow bool
	tail := &cobra.Command{
		Use: "tail", Short: "Show the newest entries, one a line", Args: cobra.NoArgs, Example: "  tieout audit tail\n  tieout audit tail --watch",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.tailAudit(cmd.Context(), follow) },
	}
	tail.Flags().BoolVarP(&follow, "watch", "w", false, "go on with what comes from now on")
	cmd.AddCommand(search, tail)
	return cmd
}

func (a *app) searchAudit(ctx context.Context, r *controlv1.SearchRequest) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	if err := c.complete(ctx, &r.Customer, &r.Ref); err != nil {
		return err
	}
	res, err := c.audit.Search(ctx, r)
	if err != nil {
		return err
	}
	items := []entryView{}
	for _, e := range res.GetItems() {
		items = append(items, toEntry(e))
	}
	return a.print(page[entryView]{Items: items, Next: res.GetNext()}, func(w io.Writer) {
		fmt.Fprintln(w, "AT (UTC)\tSERVICE\tWHAT\tOUTCOME\tRECORD\tWHO\tDETAIL")
		for _, e := range items {
			e.line(w)
		}
		more(w, res.GetNext())
	})
}

func (a *app) tailAudit(ctx context.Context, follow bool) error {
	c, err := a.clients()
	if err != nil {
		return err
	}
	r := &controlv1.SearchRequest{Newest: true, Limit: 20}
	seen := map[string]bool{}
	for {
		res, err := c.audit.Search(ctx, r)
		if err != nil {
			return err
		}
		fresh := map[string]bool{}
		for _, e := range res.GetItems() {
			fresh[e.GetEventId()] = true
			if seen[e.GetEventId()] {
				continue
			}
			if err := a.printLine(toEntry(e), toEntry(e).line); err != nil {
				return err
			}
		}
		if seen = fresh; !follow {
			return nil
		}
		r.Limit = searchTail
		if !idle.For(ctx, time.Second) {
			return nil
		}
	}
}

// searchTail is how many entries of a second are looked at.
const searchTail = 1000
