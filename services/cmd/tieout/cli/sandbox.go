package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/money"
)

// sandbox is a person's hands on the vendors' stand-ins: each command is real
// calls to the vendor's API, under a second app's token.
func (a *app) sandbox() *cobra.Command {
	cmd := &cobra.Command{Use: "sandbox", Short: "Change things at the vendors' sandboxes, by their own APIs"}
	deals := &cobra.Command{Use: "crm", Short: "Win, lose and change deals in the HubSpot sandbox"}
	deals.AddCommand(a.crmWin(), a.crmLose(), a.crmChange(), a.crmMerge())
	cmd.AddCommand(deals, a.sandboxBooks(), a.sandboxFault())
	return cmd
}

func (a *app) portal() (crm.Portal, error) {
	sb, err := a.sandboxOf("hubspot")
	if err != nil {
		return crm.Portal{}, err
	}
	return crm.Portal{BaseURL: sb.BaseURL, Token: sb.ReaderToken}, nil
}

// winning is what a new deal is made of.
type winning struct {
	company, name, currency, amount string
	lines                           []string
	count                           int
}

func (a *app) crmWin() *cobra.Command {
	var w winning
	cmd := &cobra.Command{
		Use: "win [DEAL]", Short: "Win a deal: one that is there, or a new one", Args: cobra.MaximumNArgs(1),
		Example: `  tieout sandbox crm win --company "Acme Ltd" --line "Widget,3,33.33" --line "Setup,1,250"` + "\n" +
			`  tieout sandbox crm win --company "Globex" --amount 1200 --currency USD`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.check(); err != nil {
				return err
			}
			p, err := a.portal()
			if err != nil {
				return err
			}
			ids := []string{}
			if len(args) == 1 {
				ids = append(ids, dealID(args[0]))
			}
			for i := 0; len(args) == 0 && i < w.count; i++ {
				id, err := w.make(cmd.Context(), p)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			for _, id := range ids {
				if err := p.Move(cmd.Context(), id, crm.Won); err != nil {
					return err
				}
			}
			return a.moved("won", ids)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.company, "company", "Acme Ltd", "name of the company; made if it is not there")
	f.StringVar(&w.name, "name", "Deal", "name of the deal")
	f.StringVar(&w.currency, "currency", "EUR", "ISO 4217 currency")
	f.StringVar(&w.amount, "amount", "", "amount of a deal without lines")
	f.StringArrayVar(&w.lines, "line", nil, "NAME,QUANTITY,PRICE[,DISCOUNT%]")
	f.IntVar(&w.count, "count", 1, "so many deals")
	return cmd
}

func (w winning) make(ctx context.Context, p crm.Portal) (string, error) {
	company, err := p.FindCompany(ctx, w.company)
	if err != nil {
		return "", err
	}
	if company == "" {
		if company, err = p.Company(ctx, map[string]string{"name": w.company}); err != nil {
			return "", err
		}
	}
	d := crm.Deal{Name: w.name, Company: company, Currency: w.currency, Amount: w.amount}
	for _, text := range w.lines {
		l, err := lineOf(text)
		if err != nil {
			return "", err
		}
		d.Lines = append(d.Lines, l)
	}
	if len(d.Lines) == 0 && d.Amount == "" {
		d.Lines = []crm.Line{{Name: "Consulting day", Quantity: "1", Price: "850"}}
	}
	return p.Deal(ctx, d)
}

// check refuses what the vendor would take as text and a person did not mean.
func (w winning) check() error {
	if w.count < 1 {
		return usage("--count %d: win at least one deal", w.count)
	}
	if _, err := money.Exponent(w.currency); err != nil {
		return usage("--currency %q is none that money is counted in: say one of ISO 4217, such as EUR", w.currency)
	}
	if _, err := money.ParseDecimal(w.amount); w.amount != "" && err != nil {
		return usage("--amount %q is no number such as 1200 or 99.50", w.amount)
	}
	for _, text := range w.lines {
		if _, err := lineOf(text); err != nil {
			return err
		}
	}
	return nil
}

// lineOf reads NAME,QUANTITY,PRICE[,DISCOUNT%].
func lineOf(text string) (crm.Line, error) {
	f := strings.Split(text, ",")
	if len(f) < 3 || len(f) > 4 {
		return crm.Line{}, usage("--line %q is not NAME,QUANTITY,PRICE or NAME,QUANTITY,PRICE,DISCOUNT%%", text)
	}
	l := crm.Line{Name: f[0], Quantity: strings.TrimSpace(f[1]), Price: strings.TrimSpace(f[2])}
	if len(f) == 4 {
		l.DiscountPercent = strings.TrimSuffix(strings.TrimSpace(f[3]), "%")
	}
	for what, value := range map[string]string{"quantity": l.Quantity, "price": l.Price, "discount": l.DiscountPercent} {
		if _, err := money.ParseDecimal(value); err != nil && !(what == "discount" && len(f) == 3) {
			return l, usage("--line %q: its %s %q is no number such as 3 or 33.33", text, what, value)
		}
	}
	return l, nil
}

func (a *app) crmLose() *cobra.Command {
	return &cobra.Command{
		Use: "lose DEAL", Short: "Lose a deal that was won", Args: cobra.ExactArgs(1),
		Example: "  tieout sandbox crm lose deal/123",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.portal()
			if err != nil {
				return err
			}
			id := dealID(args[0])
			if err := p.Move(cmd.Context(), id, crm.Lost); err != nil {
				return err
			}
			return a.moved("lost", []string{id})
		},
	}
}

func (a *app) crmMerge() *cobra.Command {
	return &cobra.Command{
		Use: "merge COMPANY OTHER", Short: "Merge two companies; a new one comes of it", Args: cobra.ExactArgs(2), Example: "  tieout sandbox crm merge company/1001 company/1002",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.portal()
			if err != nil {
				return err
			}
			for _, company := range args { // the vendor's own answer names neither
				if _, err := p.Record(cmd.Context(), "companies", dealID(company), "name"); errors.Is(err, crm.ErrNotFound) {
					return &failure{code: exitNotFound, message: "the portal has no " + company, ref: company, who: "crm admin", next: "check the id"}
				}
			}
			id, err := p.Merge(cmd.Context(), "companies", dealID(args[0]), dealID(args[1]))
			if err != nil {
				return err
			}
			return a.print(map[string]string{"company": "company/" + id, "state": "merged"}, func(w io.Writer) { fmt.Fprintf(w, "merged into\tcompany/%s\n", id) })
		},
	}
}

func (a *app) crmChange() *cobra.Command {
	var name, amount, quantity, price string
	cmd := &cobra.Command{
		Use: "change DEAL", Short: "Change a deal, or its first line", Args: cobra.ExactArgs(1),
		Example: "  tieout sandbox crm change deal/123 --quantity 4",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.portal()
			if err != nil {
				return err
			}
			id := dealID(args[0])
			deal, line := map[string]string{}, map[string]string{}
			put(deal, "dealname", name)
			put(deal, "amount", amount)
			put(line, "quantity", quantity)
			put(line, "price", price)
			if len(deal)+len(line) == 0 {
				return usage("say what changes: --name, --amount, --quantity or --price")
			}
			if err := changeLine(cmd.Context(), p, id, line); err != nil {
				return err
			}
			if len(deal) > 0 {
				if err := p.Change(cmd.Context(), "deals", id, deal); err != nil {
					return err
				}
			}
			return a.moved("changed", []string{id})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "the deal's name")
	f.StringVar(&amount, "amount", "", "the deal's amount")
	f.StringVar(&quantity, "quantity", "", "quantity of the first line")
	f.StringVar(&price, "price", "", "price of the first line")
	return cmd
}

func changeLine(ctx context.Context, p crm.Portal, deal string, properties map[string]string) error {
	if len(properties) == 0 {
		return nil
	}
	lines, err := p.Lines(ctx, deal)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return &failure{code: exitNotFound, message: "deal " + deal + " has no lines", who: "operator", next: "use --amount"}
	}
	return p.Change(ctx, "line_items", lines[0], properties)
}

func (a *app) moved(what string, ids []string) error {
	refs := make([]string, 0, len(ids))
	for _, id := range ids {
		refs = append(refs, "deal/"+id)
	}
	return a.print(map[string]any{"deals": refs, "state": what}, func(w io.Writer) {
		for _, r := range refs {
			fmt.Fprintf(w, "%s\t%s\n", what, r)
		}
	})
}

// dealID takes 123, deal/123 or hubspot/48213/deal/123.
func dealID(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func put(m map[string]string, key, value string) {
	if value != "" {
		m[key] = value
	}
}
