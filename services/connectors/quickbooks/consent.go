package quickbooks

import (
	"context"
	"fmt"
	"net/url"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

// authorizeURL is Intuit's consent page, scopeAccounting all that we ask for.
const (
	authorizeURL     = "https://appcenter.intuit.com/connect/oauth2"
	scopeAccounting  = "com.intuit.quickbooks.accounting"
	paramRealm       = "realmId"
	settingAuthorize = "authorize_url"
	settingRevoke    = "revoke_url"
	revokeURL        = "https://developer.api.intuit.com/v2/oauth2/tokens/revoke"
)

// consentOf is how a person lets the app into the company. Which company they
// picked stands in the address they come back with; since anybody can write an
// address, the new token must also read that company.
func consentOf(c *client, cfg connector.Config) *connector.Consent {
	return &connector.Consent{
		URL: func(redirect, state string) string {
			q := url.Values{
				"client_id": {cfg.Secrets[secretClientID].Reveal()}, "response_type": {"code"}, "scope": {scopeAccounting},
				"redirect_uri": {redirect}, "state": {state},
			}
			return setting(cfg, settingAuthorize, authorizeURL) + "?" + q.Encode()
		},
		Trade: func(ctx context.Context, a connector.ConsentAnswer) (connector.Granted, error) {
			return c.trade(ctx, cfg, a)
		},
	}
}

func setting(cfg connector.Config, name, otherwise string) string {
	if v := cfg.Settings[name]; v != "" {
		return v
	}
	return otherwise
}

func (c *client) trade(ctx context.Context, cfg connector.Config, a connector.ConsentAnswer) (connector.Granted, error) {
	if realm := a.Params[paramRealm]; realm != c.realm { // nothing was traded: the code ends by itself
		return connector.Granted{}, otherCompany(realm, c.realm)
	}
	g, err := c.granted(ctx, cfg, url.Values{"grant_type": {"authorization_code"}, "code": {a.Code.Reveal()}, "redirect_uri": {a.Redirect}})
	if fault.KindOf(err) == fault.Unauthorized {
		return connector.Granted{}, &fault.Error{Kind: fault.Rejected, Text: "the code is not accepted (it is good once, for minutes, with the app's own keys): begin the consent again", Err: err}
	}
	if err != nil {
		return connector.Granted{}, err
	}
	with := *c
	with.tokens = onlyToken(g.Access)
	if _, err := with.company(ctx); err != nil {
		if fault.KindOf(err) == fault.Unauthorized {
			err = otherCompany("another one", c.realm)
		}
		return connector.Granted{}, c.giveBack(ctx, cfg, g, err)
	}
	return connector.Granted{Grant: g, Account: System + "/" + c.realm, Scopes: []string{scopeAccounting}}, nil
}

func otherCompany(got, want string) error {
	if got == "" {
		got = "none named"
	}
	return &fault.Error{Kind: fault.Rejected, Field: connector.FieldAccount, Text: fmt.Sprintf("consent was given for company %s and this connection is bound to %s: begin again and pick that company", got, want)}
}

// giveBack ends a grant that is not kept, and returns why it is not.
func (c *client) giveBack(ctx context.Context, cfg connector.Config, g connector.Grant, why error) error {
	body := url.Values{"token": {g.Refresh.Reveal()}}
	if _, err := c.post(ctx, cfg, setting(cfg, settingRevoke, revokeURL), body); err != nil {
		return fmt.Errorf("%w; and the grant was not given back (%w): disconnect the app in QuickBooks", why, err)
	}
	return why
}

// onlyToken is a token that has no successor.
type onlyToken connector.Secret

// Token returns it.
func (t onlyToken) Token(context.Context) (string, error) { return string(t), nil }

// Refresh has no other.
func (onlyToken) Refresh(context.Context, string) (string, error) {
	return "", fault.New(fault.Unauthorized, "the new token is refused")
}

// companyInfo is what the company says of itself.
type companyInfo struct {
	Name    string `json:"CompanyName"`
	Country string `json:"Country"`
}

func (c *client) company(ctx context.Context) (companyInfo, error) {
	var answer struct {
		CompanyInfo companyInfo `json:"CompanyInfo"`
	}
	err := c.read(ctx, "companyinfo/"+url.PathEscape(c.realm), nil, &answer)
	return answer.CompanyInfo, err
}

// check reads the company; what a target offers beside it is read by the caller.
func (c *client) check(ctx context.Context) []connector.Check {
	info, err := c.company(ctx)
	if err != nil {
		next := "tieout connections authorize, and pick company " + c.realm
		if fault.KindOf(err) != fault.Unauthorized {
			next = "try again; if it stays, look at the vendor's status page"
		}
		return []connector.Check{{Name: "company", Detail: err.Error(), Next: next}}
	}
	return []connector.Check{{Name: "company", OK: true, Detail: fmt.Sprintf("%s %s is reached: %s, %s", System, c.realm, info.Name, info.Country)}}
}
