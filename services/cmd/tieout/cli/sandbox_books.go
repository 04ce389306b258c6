package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/tieout/books"
	"tieout.dev/services/cmd/tieout/endpoints"
)

func (a *app) sandboxBooks() *cobra.Command {
	cmd := &cobra.Command{Use: "books", Short: "Edit, void, delete, pay and close in the QuickBooks sandbox"}
	var note, due string
	edit := a.booksCommand("edit NUMBER", "Edit an invoice by hand", "edit 1001 --note \"agreed by phone\"", func(ctx context.Context, c books.Company, v *books.Invoice) error {
		fields := map[string]any{}
		if note != "" {
			fields["PrivateNote"] = v.PrivateNote + " " + note
		}
		if due != "" {
			fields["DueDate"] = due
		}
		if len(fields) == 0 {
			return usage("say what changes: --note or --due")
		}
		return c.Edit(ctx, v, fields)
	})
	edit.Flags().StringVar(&note, "note", "", "text to add to the memo")
	edit.Flags().StringVar(&due, "due", "", "due date, YYYY-MM-DD")
	void := a.booksCommand("void NUMBER", "Void an invoice by hand", "void 1001", func(ctx context.Context, c books.Company, v *books.Invoice) error { return c.Void(ctx, v) })
	remove := a.booksCommand("delete NUMBER", "Delete an invoice by hand", "delete 1001", func(ctx context.Context, c books.Company, v *books.Invoice) error { return c.Delete(ctx, v) })
	var amount string
	pay := a.booksCommand("pay NUMBER", "Receive a payment for an invoice", "pay 1001 --amount 50.00", func(ctx context.Context, c books.Company, v *books.Invoice) error { return c.Pay(ctx, v, amount) })
	pay.Flags().StringVar(&amount, "amount", "", "amount in the invoice's currency; what is open when left out")
	cmd.AddCommand(edit, void, remove, pay, a.booksClose())
	return cmd
}

func (a *app) booksCommand(use, short, example string, do func(context.Context, books.Company, *books.Invoice) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), Example: "  tieout sandbox books " + example,
		RunE: func(cmd *cobra.Command, args []string) error {
			sb, err := a.sandboxOf("quickbooks")
			if err != nil {
				return err
			}
			c := books.Company{BaseURL: sb.BaseURL, Realm: sb.RealmID, Token: sb.ReaderToken}
			v, err := c.Find(cmd.Context(), args[0])
			if err != nil {
				return &failure{code: exitNotFound, message: err.Error(), who: "operator", next: "tieout reconcile"}
			}
			if err := do(cmd.Context(), c, v); err != nil {
				return err
			}
			verb, _, _ := strings.Cut(use, " ")
			return a.print(map[string]string{"action": verb, "invoice": v.DocNumber, "id": v.ID}, func(w io.Writer) { fmt.Fprintf(w, "%s\tinvoice %s\n", verb, v.DocNumber) })
		},
	}
}

// booksClose sets the company's closing date, which its API cannot: a person
// does it in the settings.
func (a *app) booksClose() *cobra.Command {
	return &cobra.Command{
		Use: "close DATE", Short: "Close the books through a day; an empty one opens them", Args: cobra.ExactArgs(1), Example: "  tieout sandbox books close 2026-10-31",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := json.Marshal(map[string]string{"closing_date": args[0]})
			if err != nil {
				return err
			}
			return a.sandboxControl(cmd.Context(), "quickbooks", "settings", b)
		},
	}
}

func (a *app) sandboxFault() *cobra.Command {
	var path, method, delay string
	var nth, times, code int
	var probability float64
	cmd := &cobra.Command{
		Use: "fault SYSTEM EFFECT", Short: "Have a sandbox fail, or 'clear' what it was told", Args: cobra.ExactArgs(2),
		Long:    "Effects: status, reset_before, reset_after (done, and the answer is lost), late_commit, hang, delay, slow_body, truncate, corrupt,\nfault_in_200, partial_batch, throttle, forget_keys, expire_token, revoke_consent, search_lag; clear takes all away.",
		Example: "  tieout sandbox fault quickbooks reset_after --times 1\n  tieout sandbox fault quickbooks status --status 503\n  tieout sandbox fault quickbooks clear",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "clear" {
				return a.sandboxControl(cmd.Context(), args[0], "faults", nil)
			}
			match := map[string]any{"app": "app"}
			for k, v := range map[string]string{"path": path, "method": method} {
				if v != "" {
					match[k] = v
				}
			}
			if nth > 0 {
				match["nth"] = nth
			}
			if probability > 0 {
				match["probability"] = probability
			}
			rule := map[string]any{"match": match, "effect": args[1]}
			if code > 0 {
				rule["status"] = code
			}
			if delay != "" {
				rule["delay"] = delay
			}
			if times > 0 {
				rule["times"] = times
			}
			b, err := json.Marshal(rule)
			if err != nil {
				return err
			}
			return a.sandboxControl(cmd.Context(), args[0], "faults", b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "path", "", "only requests whose path matches: * within a segment, ** across")
	f.StringVar(&method, "method", "", "only this method")
	f.StringVar(&delay, "delay", "", "for late_commit, hang, delay: such as 2s")
	f.IntVar(&nth, "nth", 0, "every nth request")
	f.IntVar(&times, "times", 0, "so often, then no more")
	f.IntVar(&code, "status", 0, "HTTP status, for the effects that answer one")
	f.Float64Var(&probability, "probability", 0, "share of the requests, such as 0.1")
	return cmd
}

// sandboxOf is where a sandbox runs.
func (a *app) sandboxOf(system string) (endpoints.Sandbox, error) {
	f, err := endpoints.Read(a.dir)
	if err != nil {
		return endpoints.Sandbox{}, &failure{code: exitAbsent, message: err.Error(), who: "operator", next: "make run"}
	}
	sb, ok := f.Sandboxes[system]
	if !ok {
		return endpoints.Sandbox{}, &failure{code: exitAbsent, message: "no sandbox of " + system + " runs on " + a.dir, who: "operator", next: "make run"}
	}
	return sb, nil
}

// sandboxControl posts to a sandbox's control API; a nil body deletes.
func (a *app) sandboxControl(ctx context.Context, system, what string, body []byte) error {
	sb, err := a.sandboxOf(system)
	if err != nil {
		return err
	}
	method := http.MethodPost
	if body == nil {
		method = http.MethodDelete
	}
	req, err := http.NewRequestWithContext(ctx, method, sb.BaseURL+"/_sandbox/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return usage("the sandbox says: %s", strings.TrimSpace(string(answer)))
	}
	return a.print(map[string]any{"system": system, "set": what}, func(w io.Writer) { fmt.Fprintf(w, "%s\t%s\n", system, what) })
}
