package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/connectors"
	"tieout.dev/services/internal/connector"
)

// connectionBlock is a connection as the configuration holds it. Secrets are
// files: a value in a configuration file ends up in a repository.
type connectionBlock struct {
	ID        string            `json:"id"`
	Tenant    string            `json:"tenant"`
	System    string            `json:"system"`
	Account   string            `json:"account"`
	BaseURL   string            `json:"base_url,omitempty"`
	App       string            `json:"app,omitempty"`
	PublicURL string            `json:"public_url,omitempty"`
	PollEvery string            `json:"poll_every,omitempty"`
	Settings  map[string]string `json:"settings,omitempty"`
	Secrets   map[string]string `json:"secret_files"`
}

type configurationBlock struct {
	Connections []connectionBlock `json:"connections"`
}

// adding is what was asked for; poll is kept apart since it is no text.
type adding struct {
	block     connectionBlock
	poll      time.Duration
	secretDir string
}

const addLong = `Check a connection and print the block that configures it.

A connection is configuration: nothing is sent and nothing changes. The block
goes under "connections" in the installation's file, which every service is
given; 'tieout config check' tries it. 'tieout dev' has its connections built in and takes no others. Then:
tieout connections authorize ID, prepare ID, test ID.`

func (a *app) connectionsAdd() *cobra.Command {
	x := &adding{}
	cmd := &cobra.Command{
		Use: "add", Short: "Check a connection and print the configuration for it", Args: cobra.NoArgs, Long: addLong,
		Example: "  tieout connections add --system hubspot --account 48213 --id crm --public-url https://example.com/webhooks/hubspot\n" +
			"  tieout connections add --system quickbooks --account 4620816365 --id books -o yaml",
		RunE: func(*cobra.Command, []string) error {
			x.block.Tenant = cmp.Or(a.tenant, "main")
			if err := x.check(); err != nil {
				return usage("%v", err)
			}
			if a.output == "table" { // it is meant for a file
				a.output = "yaml"
			}
			if err := a.print(configurationBlock{[]connectionBlock{x.block}}, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "it goes under \"connections\" in the file that the key installation names; put the secrets into their files (mode 0600), then: tieout connections authorize %s\n", x.block.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.block.System, "system", "", "the vendor's system: "+strings.Join(slices.Sorted(maps.Keys(connectors.All())), ", "))
	f.StringVar(&x.block.Account, "account", "", "the portal's or company's id at the vendor; what is written is bound to it")
	f.StringVar(&x.block.ID, "id", "", "a short name for it; the system's name if left out")
	f.StringVar(&x.block.BaseURL, "base-url", "", "where the vendor answers, if not where it usually does")
	f.StringVar(&x.block.PublicURL, "public-url", "", "address of webhooks as the vendor knows it")
	f.DurationVar(&x.poll, "poll-every", 0, "how often changes are listed, for a source")
	f.StringToStringVar(&x.block.Settings, "setting", nil, "name=value, as docs/connections.md lists them; may be repeated")
	f.StringVar(&x.secretDir, "secrets", "/run/secrets/tieout", "folder of the files with secrets")
	return cmd
}

var idForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// check completes the block, and says everything that is wrong with it at once.
func (x *adding) check() error {
	b := &x.block
	spec, ok := connectors.All()[b.System]
	if !ok {
		return fmt.Errorf("--system %q is not one of %s", b.System, strings.Join(slices.Sorted(maps.Keys(connectors.All())), ", "))
	}
	if b.ID == "" {
		b.ID = b.System
	}
	if !strings.Contains(b.Account, "/") {
		b.Account = b.System + "/" + b.Account
	}
	var errs []error
	if !idForm.MatchString(b.ID) {
		errs = append(errs, fmt.Errorf("--id %q: use small letters, digits and dashes, a letter first", b.ID))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Settings)) {
		if !slices.Contains(spec.Settings, name) {
			errs = append(errs, fmt.Errorf("--setting %s: %s has none of that name; it has %s", name, b.System, strings.Join(spec.Settings, ", ")))
		}
	}
	errs = append(errs, x.checkSource(len(spec.Types) > 0))
	secrets := map[string]connector.Secret{}
	b.Secrets = map[string]string{}
	for _, name := range spec.Secrets {
		secrets[name] = "not read here"
		b.Secrets[name] = strings.TrimSuffix(x.secretDir, "/") + "/" + b.ID + "/" + name
	}
	_, err := spec.Open(connector.Config{Connection: b.ID, Account: b.Account, BaseURL: b.BaseURL, Settings: b.Settings, Secrets: secrets, Tokens: noTokens{}, Now: time.Now})
	return errors.Join(append(errs, err)...)
}

// checkSource: only a source is polled and sends webhooks.
func (x *adding) checkSource(isSource bool) error {
	b := &x.block
	switch {
	case x.poll < 0:
		return fmt.Errorf("--poll-every %s is not in the future", x.poll)
	case !isSource && (x.poll != 0 || b.PublicURL != ""):
		return fmt.Errorf("%s is only written to: leave out --poll-every and --public-url", b.System)
	case !isSource:
		return nil
	}
	if x.poll == 0 {
		x.poll = time.Minute
	}
	b.PollEvery, b.App = x.poll.String(), b.System
	if b.PublicURL == "" {
		return nil
	}
	if u, err := url.Parse(b.PublicURL); err != nil || u.Scheme != "https" || u.Host == "" || !strings.HasPrefix(u.Path, "/webhooks/") {
		return fmt.Errorf("--public-url %q is not an address such as https://example.com/webhooks/%s", b.PublicURL, b.App)
	}
	return nil
}

// noTokens: what is only checked calls nobody.
type noTokens struct{}

// Token has none.
func (noTokens) Token(context.Context) (string, error) {
	return "", errors.New("a connection that is only checked has no token")
}

// Refresh has none either.
func (n noTokens) Refresh(ctx context.Context, _ string) (string, error) { return n.Token(ctx) }
