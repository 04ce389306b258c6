package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

// authorizeURL is HubSpot's consent page for one portal, so that nobody picks
// another by mistake.
const authorizeURL = "https://app.hubspot.com/oauth/%s/authorize"

// scopesNeeded are what reading deals with all that belongs to them, making
// the marker's properties and writing it take.
func scopesNeeded() []string {
	return []string{
		"oauth", "crm.objects.deals.read", "crm.objects.deals.write", "crm.objects.companies.read", "crm.objects.contacts.read",
		"crm.objects.line_items.read", "crm.objects.products.read", "crm.schemas.deals.read", "crm.schemas.deals.write",
	}
}

func scopesOf(cfg connector.Config) []string {
	if s := strings.Fields(cfg.Settings[settingScopes]); len(s) > 0 {
		return s
	}
	return scopesNeeded()
}

// consentOf is how a person lets the app into the portal.
func consentOf(c *client, cfg connector.Config, account string) *connector.Consent {
	return &connector.Consent{
		URL: func(redirect, state string) string {
			page := cfg.Settings[settingAuthorize]
			if page == "" {
				page = fmt.Sprintf(authorizeURL, account)
			}
			q := url.Values{"client_id": {cfg.Secrets[secretClientID].Reveal()}, "scope": {strings.Join(scopesOf(cfg), " ")}, "redirect_uri": {redirect}, "state": {state}}
			return page + "?" + q.Encode()
		},
		Trade: func(ctx context.Context, a connector.ConsentAnswer) (connector.Granted, error) {
			return c.trade(ctx, cfg, account, a)
		},
	}
}

func (c *client) trade(ctx context.Context, cfg connector.Config, account string, a connector.ConsentAnswer) (connector.Granted, error) {
	g, err := c.granted(ctx, cfg, url.Values{"grant_type": {"authorization_code"}, "code": {a.Code.Reveal()}, "redirect_uri": {a.Redirect}})
	if fault.KindOf(err) == fault.Unauthorized {
		return connector.Granted{}, &fault.Error{Kind: fault.Rejected, Text: "the code is not accepted (it is good once, for minutes, with the app's own keys): begin the consent again", Err: err}
	}
	if err != nil {
		return connector.Granted{}, err
	}
	if g.Portal == "" {
		info, err := c.tokenInfo(ctx, g.Access)
		if err != nil {
			return connector.Granted{}, c.giveBack(ctx, g, fmt.Errorf("ask which portal the consent is for: %w", err))
		}
		g.Portal, g.Scopes = info.Portal, info.Scopes
	}
	if g.Portal.String() != account {
		return connector.Granted{}, c.giveBack(ctx, g, &fault.Error{Kind: fault.Rejected, Field: connector.FieldAccount,
			Text: fmt.Sprintf("consent was given for portal %s and this connection is bound to %s: begin again and pick that portal", g.Portal, account)})
	}
	return connector.Granted{Grant: g.grant(cfg.Now()), Account: System + "/" + account, Scopes: g.Scopes}, nil
}

// giveBack ends a grant that is not kept, and returns why it is not.
func (c *client) giveBack(ctx context.Context, g tokenAnswer, why error) error {
	if _, err := c.oauth(ctx, http.MethodDelete, "/oauth/v1/refresh-tokens/"+url.PathEscape(g.Refresh), nil); err != nil {
		return fmt.Errorf("%w; and the grant was not given back (%w): disconnect the app in that portal", why, err)
	}
	return why
}

// tokenInfo asks what a token is good for; NotFound for a private app's.
func (c *client) tokenInfo(ctx context.Context, token string) (tokenAnswer, error) {
	var info tokenAnswer
	body, err := c.oauth(ctx, http.MethodGet, "/oauth/v1/access-tokens/"+url.PathEscape(token), nil)
	if err == nil {
		err = decode(body, &info)
	}
	return info, err
}

// check asks the token what it is good for, the portal who it is, and reads
// one record of each type.
func (c *client) check(ctx context.Context, cfg connector.Config, account string) []connector.Check {
	checks := c.checkPortal(ctx, account)
	if !checks[0].OK {
		return checks
	}
	checks = append(checks, c.checkScopes(ctx, cfg))
	for _, typ := range []string{typeDeal, typeCompany, typeContact, typeProduct, typeLineItem} {
		checks = append(checks, c.checkType(ctx, typ))
	}
	return append(checks, c.checkProperties(ctx))
}

func (c *client) checkPortal(ctx context.Context, account string) []connector.Check {
	var portal struct {
		ID       int64  `json:"portalId"`
		Kind     string `json:"accountType"`
		Currency string `json:"companyCurrency"`
	}
	err := c.read(ctx, http.MethodGet, "/account-info/v3/details", nil, &portal)
	switch {
	case err != nil:
		return []connector.Check{{Name: "portal", Detail: err.Error(), Next: "tieout connections authorize, and pick portal " + account}}
	case fmt.Sprint(portal.ID) != account:
		return []connector.Check{{Name: "portal", Detail: fmt.Sprintf("the token is good for portal %d, and the connection is bound to %s", portal.ID, account), Next: "tieout connections authorize, and pick portal " + account}}
	}
	return []connector.Check{{Name: "portal", OK: true, Detail: fmt.Sprintf("%s %d is reached: %s, %s", System, portal.ID, strings.ToLower(portal.Kind), portal.Currency)}}
}

func (c *client) checkScopes(ctx context.Context, cfg connector.Config) connector.Check {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return connector.Check{Name: "scopes", Detail: err.Error(), Next: "tieout connections authorize"}
	}
	info, err := c.tokenInfo(ctx, token)
	var f *fault.Error
	if errors.As(err, &f) && (f.Kind == fault.NotFound || f.Kind == fault.Unauthorized) { // the portal took it a moment ago
		return connector.Check{Name: "scopes", OK: true, Detail: "a private app's token, which does not tell its scopes; each is tried below"}
	}
	if err != nil {
		return connector.Check{Name: "scopes", Detail: err.Error(), Next: "try again"}
	}
	var absent []string
	for _, s := range scopesOf(cfg) {
		if !slices.Contains(info.Scopes, s) {
			absent = append(absent, s)
		}
	}
	if len(absent) > 0 {
		return connector.Check{Name: "scopes", Detail: "not granted: " + strings.Join(absent, " "), Next: "add them to the app, then tieout connections authorize"}
	}
	return connector.Check{Name: "scopes", OK: true, Detail: fmt.Sprintf("all %d that are needed", len(scopesOf(cfg)))}
}

func (c *client) checkType(ctx context.Context, typ string) connector.Check {
	name := strings.ReplaceAll(pathOf(typ), "_", " ")
	err := c.read(ctx, http.MethodGet, "/crm/v3/objects/"+pathOf(typ)+"?limit=1", nil, &struct{}{})
	if err != nil {
		return connector.Check{Name: name, Detail: err.Error(), Next: "grant crm.objects." + pathOf(typ) + ".read to the app, then tieout connections authorize"}
	}
	return connector.Check{Name: name, OK: true, Detail: "can be read"}
}

func (c *client) checkProperties(ctx context.Context) connector.Check {
	absent, err := lacking(ctx, c)
	switch {
	case err != nil:
		return connector.Check{Name: "properties", Detail: err.Error(), Next: "rename the portal's own property, or grant crm.schemas.deals.read"}
	case len(absent) > 0:
		return connector.Check{Name: "properties", Detail: "missing: " + strings.Join(absent, ", "), Next: "tieout connections prepare"}
	}
	return connector.Check{Name: "properties", OK: true, Detail: "the three that write-back needs are there"}
}
