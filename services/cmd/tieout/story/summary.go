package story

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/money"
)

// summary shows both sides with their sums, what a person must look at, and
// what to try next.
func (t *Teller) summary(ctx context.Context, dir string) error {
	r, err := t.reconciler.Reconcile(ctx, &controlv1.ReconcileRequest{})
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	t.say("\nDoes it tie out?")
	t.table(func(w io.Writer) {
		fmt.Fprintln(w, "  \tHubSpot\tnet\tQuickBooks\tnet\tgross\tunexplained")
		for _, x := range r.GetRows() {
			fmt.Fprintf(w, "  %ss %s\t%d\t%s\t%d\t%s\t%s\t%d\n", x.GetKind(), x.GetCurrency(), x.GetSource().GetCount(), text(x.GetSource().GetNet()),
				x.GetBooks().GetCount(), text(x.GetBooks().GetNet()), text(x.GetBooks().GetGross()), x.GetUnexplained().GetCount())
		}
	})
	unexplained, documents := int64(0), int64(0)
	for _, x := range r.GetRows() {
		unexplained += x.GetUnexplained().GetCount()
		if x.GetCurrency() != "" {
			documents += x.GetBooks().GetCount()
		}
	}
	for _, b := range r.GetBreaks() {
		if b.GetState() == "open" {
			t.say("  %s: %s %s (%s)", b.GetKind(), b.GetSourceRef(), b.GetBooksRef(), b.GetRepair())
		}
	}
	if unexplained > 0 {
		return fmt.Errorf("%w: %d documents", ErrUnexplained, unexplained)
	}
	open, err := t.exceptions(ctx)
	if err != nil {
		return err
	}
	t.say("\nIt ties out: %d invoices stand in the books, each for one won deal, to the cent; %d records wait for a person; nothing is unexplained.", documents, open)
	return t.next(ctx, dir)
}

func (t *Teller) exceptions(ctx context.Context) (int, error) {
	n := 0
	for _, list := range []func() (*controlv1.ListExceptionsResponse, error){
		func() (*controlv1.ListExceptionsResponse, error) {
			return t.writer.ListExceptions(ctx, &controlv1.ListExceptionsRequest{})
		},
		func() (*controlv1.ListExceptionsResponse, error) {
			return t.ingest.ListExceptions(ctx, &controlv1.ListExceptionsRequest{})
		},
	} {
		res, err := list()
		if err != nil {
			return n, err
		}
		for _, e := range res.GetItems() {
			if n == 0 {
				t.say("\nIn front of a person:")
			}
			n++
			t.say("  %s  %s: %s\n      %s: %s", e.GetId(), e.GetSubject(), e.GetReason(), e.GetOwner(), e.GetFix())
		}
	}
	return n, nil
}

func (t *Teller) next(ctx context.Context, dir string) error {
	if !t.Stay {
		return nil
	}
	lose, void, err := t.free(ctx)
	if err != nil {
		return err
	}
	t.say("\nIt keeps running. In another terminal (bin/tieout, or put bin on the PATH):")
	t.table(func(w io.Writer) {
		for _, c := range [][2]string{
			{`tieout sandbox crm win --company "Acme Ltd" --line "Widget,3,33.33"`, "win another deal"},
			{"tieout status", "what was admitted, posted, parked"},
			{"tieout exceptions list", "what waits for a person, and the fix"},
			{"tieout journey " + lose.number, "every hop of an invoice, with times"},
			{"tieout sandbox crm lose " + lose.deal, "lose its deal: the invoice is voided"},
			{"tieout sandbox fault quickbooks reset_after --times 3", "lose three answers of the books, then win a deal"},
			{"tieout sandbox books void " + void.number, "a person's hand in the books: then"},
			{"tieout reconcile", "both sides again, with sums; exit 5 names the void"},
		} {
			fmt.Fprintf(w, "  %s --dir %s\t# %s\n", c[0], dir, c[1])
		}
	})
	t.say("Ctrl-C drains and stops; started again it goes on where it was.")
	return nil
}

// billed is a won deal and the number of its invoice.
type billed struct{ deal, number string }

// free are two deals whose customers wait for nobody: what happens to them happens
// at once. A deal behind one that a person must look at would wait with it.
func (t *Teller) free(ctx context.Context) (one, other billed, err error) {
	found := []billed{}
	for _, ref := range t.won {
		lanes, err := t.writer.ListLanes(ctx, &controlv1.ListLanesRequest{Ref: ref})
		if err != nil {
			return one, other, err
		}
		if slices.ContainsFunc(lanes.GetItems(), func(l *controlv1.LaneView) bool { return l.GetState() != "idle" }) {
			continue
		}
		links, err := t.writer.ListLinks(ctx, &controlv1.ListLinksRequest{SourceRef: ref})
		if err != nil {
			return one, other, err
		}
		for _, l := range links.GetItems() {
			if l.GetNumber() != "" {
				found = append(found, billed{ref[strings.LastIndex(ref, "deal/"):], l.GetNumber()})
			}
		}
	}
	for len(found) < 2 { // going on from before, or a story of few deals
		found = append(found, billed{"deal/ID", "NUMBER"})
	}
	return found[0], found[1], nil
}

func text(m *auditv1.Money) string {
	if m == nil || m.GetCurrency() == "" {
		return "-"
	}
	return money.Amount{Minor: m.GetMinor(), Currency: m.GetCurrency()}.Major()
}

// postFault posts to a sandbox's control call.
func postFault(ctx context.Context, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("%s: %s %s", url, resp.Status, b)
	}
	return nil
}
