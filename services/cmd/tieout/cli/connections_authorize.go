package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

// consenting is a consent that a person is led through.
type consenting struct {
	app        *app
	connection string
	listen     string
	redirect   string
	noBrowser  bool
	patience   time.Duration
	in         io.Reader
}

// grantedView is what 'connections authorize' prints; its names are promises.
type grantedView struct {
	Connection    string   `json:"connection"`
	Account       string   `json:"account"`
	Scopes        []string `json:"scopes"`
	AccessExpires string   `json:"access_expires"`
	GrantExpires  string   `json:"grant_expires"`
	WasPaused     bool     `json:"was_paused"`
}

func (a *app) connectionsAuthorize() *cobra.Command {
	c := &consenting{app: a}
	cmd := &cobra.Command{
		Use: "authorize ID", Short: "Ask a person at the vendor to let Tieout in", Args: cobra.ExactArgs(1),
		Long: `Ask a person at the vendor to let Tieout in.

The vendor's page opens in a browser; whoever agrees there is sent back to an
address of this machine, where the command waits. The vendor's app must know
that address: give one that is registered there with --listen, for example
--listen localhost:8765 for http://localhost:8765/callback. Where only an https
address can be registered, name it with --redirect and paste the address that
the browser ends on.

A consent for another account than the connection's is refused and given back,
and what was granted before stays.`,
		Example: "  tieout connections authorize books\n  tieout connections authorize crm --no-browser --listen localhost:8765\n  tieout connections authorize books --redirect https://example.com/tieout",
		RunE: func(cmd *cobra.Command, args []string) error {
			c.connection, c.in = args[0], cmd.InOrStdin()
			v, err := c.run(cmd.Context())
			if err != nil {
				return c.explain(err)
			}
			return a.print(v, v.table)
		},
	}
	cmd.Flags().BoolVar(&c.noBrowser, "no-browser", false, "print the vendor's page and open no browser")
	cmd.Flags().StringVar(&c.listen, "listen", "127.0.0.1:0", "address of this machine that the vendor sends the person back to")
	cmd.Flags().StringVar(&c.redirect, "redirect", "", "https address that is registered instead; what the browser ends on is then pasted")
	cmd.Flags().DurationVar(&c.patience, "timeout", 5*time.Minute, "how long to wait for the person")
	return cmd
}

func (c *consenting) run(ctx context.Context) (*grantedView, error) {
	if c.patience <= 0 {
		return nil, usage("--timeout %s is no time to agree in", c.patience)
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if c.redirect != "" {
		return c.pasted(ctx)
	}
	back, err := newCallback(c.listen)
	if err != nil {
		return nil, err
	}
	says := "Nothing was granted."
	defer func() { back.close(says) }()
	begun, err := c.begin(ctx, back.address())
	if err != nil {
		return nil, err
	}
	back.expect(begun.GetState())
	c.show(begun.GetUrl())
	came, err := back.wait(ctx)
	if err != nil {
		return nil, err
	}
	v, err := c.finish(ctx, begun.GetState(), came)
	if err != nil {
		says = "Nothing was granted: " + asFailure(err).message
		return nil, err
	}
	says = fmt.Sprintf("Tieout may read and write %s. You can close this page.", v.Account)
	return v, nil
}

// pasted leads a person through a consent whose redirect ends elsewhere.
func (c *consenting) pasted(ctx context.Context) (*grantedView, error) {
	begun, err := c.begin(ctx, c.redirect)
	if err != nil {
		return nil, err
	}
	c.show(begun.GetUrl())
	fmt.Fprintln(c.app.err, "paste the address that the browser ends on:")
	line, err := readLine(ctx, c.in)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil || u.RawQuery == "" {
		return nil, usage("what was pasted is not an address that a vendor sends a person back to")
	}
	came, err := comebackOf(u.Query(), begun.GetState())
	if err != nil {
		return nil, err
	}
	return c.finish(ctx, begun.GetState(), came)
}

// readLine gives up with ctx; the reader itself ends with the process.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(in, 16<<10)).ReadString('\n')
		if line != "" {
			err = nil
		}
		read <- answer{line, err}
	}()
	select {
	case a := <-read:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *consenting) begin(ctx context.Context, redirect string) (*controlv1.BeginConsentResponse, error) {
	services, err := c.app.clients()
	if err != nil {
		return nil, err
	}
	return services.writer.BeginConsent(ctx, &controlv1.BeginConsentRequest{Connection: c.connection, RedirectUri: redirect, Actor: actor()})
}

// show leads the person to the vendor's page.
func (c *consenting) show(page string) {
	fmt.Fprintln(c.app.err, "agree at the vendor: "+page)
	if c.noBrowser {
		return
	}
	if err := browse(page); err != nil {
		fmt.Fprintln(c.app.err, "no browser opened ("+err.Error()+"): open the page yourself")
	}
}

func (c *consenting) finish(ctx context.Context, state string, came comeback) (*grantedView, error) {
	services, err := c.app.clients()
	if err != nil {
		return nil, err
	}
	g, err := services.writer.FinishConsent(ctx, &controlv1.FinishConsentRequest{
		Connection: c.connection, State: state, Code: came.code, Params: came.params, Actor: actor(),
	})
	if err != nil {
		return nil, err
	}
	return &grantedView{
		Connection: c.connection, Account: g.GetAccount(), Scopes: append([]string{}, g.GetScopes()...), AccessExpires: instant(g.GetAccessExpires()),
		GrantExpires: instant(g.GetGrantExpires()), WasPaused: g.GetWasPaused(),
	}, nil
}

// explain says what to do about a consent that came to nothing.
func (c *consenting) explain(err error) error {
	again := "tieout connections authorize " + c.connection
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{code: exitAgain, message: fmt.Sprintf("nobody came back within %s; what was granted before stays", c.patience), who: "operator", next: again}
	}
	f := *asFailure(err)
	if f.code == exitError && f.next == "" {
		f.next = again
	}
	return &f
}

func (v *grantedView) table(w io.Writer) {
	fmt.Fprintf(w, "granted\t%s for connection %s\n", v.Account, v.Connection)
	if len(v.Scopes) > 0 {
		fmt.Fprintf(w, "scopes\t%s\n", strings.Join(v.Scopes, " "))
	}
	fmt.Fprintf(w, "access ends\t%s, refreshed before by itself\n", otherwise(v.AccessExpires, "not known"))
	fmt.Fprintf(w, "consent ends\t%s\n", otherwise(v.GrantExpires, "not told by the vendor"))
	if v.WasPaused {
		fmt.Fprintln(w, "paused\tit was, for want of this; what waited goes on now")
	}
}

func otherwise(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
