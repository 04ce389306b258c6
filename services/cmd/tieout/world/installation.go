package world

import (
	"time"

	"tieout.dev/services/internal/registry"
)

// pollEvery is how often the CRM is listed here; webhooks bring the rest.
const pollEvery = 5 * time.Second

// EntityID names the fiscal entity, Currency its functional currency.
const (
	EntityID = "acme-ie"
	Currency = "EUR"
)

// Names of the installation.
const (
	tenant       = "acme"
	invoiceRoute = "deals-to-invoices"
	markerRoute  = "invoices-to-deals"
	companyRoute = "companies-to-customers"
	contactRoute = "contacts-to-customers"
	productRoute = "products-to-items"
)

// Registry is the installation: one CRM, one company's books, a route there
// and a route back.
func (w *World) Registry() *registry.Registry {
	crm, books := w.Sandboxes["hubspot"], w.Sandboxes["quickbooks"]
	seconds := map[string]string{"search_lag": "1s", "longest_request": "3s", "guard": "2s"}
	with := func(more map[string]string) map[string]string {
		for k, v := range seconds {
			more[k] = v
		}
		return more
	}
	return &registry.Registry{
		Entities: []registry.Entity{{
			ID: EntityID, Tenant: tenant, Currency: Currency, Zone: "Europe/Dublin", Country: "IE", NetDays: 30, Currencies: []string{"USD", "GBP"},
			Bindings: map[string]string{"account:sales": "Sales", "tax:standard": "23.0% S"},
		}},
		Connections: []registry.Connection{
			{
				ID: crm.Connection, Tenant: tenant, System: "hubspot", Account: crm.Account, BaseURL: crm.BaseURL, App: "hubspot",
				PublicURL: w.cfg.WebhookURL, PollEvery: pollEvery, Settings: with(map[string]string{"authorize_url": crm.BaseURL + "/oauth/authorize"}),
			},
			{
				ID: books.Connection, Tenant: tenant, System: "quickbooks", Account: books.Account, BaseURL: books.BaseURL,
				Settings: with(map[string]string{
					"throttle_wait": "2s", "token_url": books.BaseURL + "/oauth2/v1/tokens/bearer", "authorize_url": books.BaseURL + "/connect/oauth2",
					"revoke_url": books.BaseURL + "/v2/oauth2/tokens/revoke",
				}),
			},
		},
		Routes: []registry.Route{
			{ID: invoiceRoute, Connection: crm.Connection, Type: "deal", Target: books.Account, Entity: EntityID, Mapping: "hubspot-deal-quickbooks-invoice"},
			{ID: companyRoute, Connection: crm.Connection, Type: "company", Target: books.Account, Entity: EntityID, Mapping: "hubspot-company-quickbooks-customer", UpdateOnly: true},
			{ID: contactRoute, Connection: crm.Connection, Type: "contact", Target: books.Account, Entity: EntityID, Mapping: "hubspot-contact-quickbooks-customer", UpdateOnly: true},
			{ID: productRoute, Connection: crm.Connection, Type: "product", Target: books.Account, Entity: EntityID, Mapping: "hubspot-product-quickbooks-item", UpdateOnly: true},
			{ID: markerRoute, Connection: books.Connection, Type: "INVOICE", Target: crm.Account, Entity: EntityID, Mapping: "quickbooks-invoice-hubspot-marker", WriteBack: true},
		},
	}
}

// Secrets are the sandboxes' own.
func (w *World) Secrets() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, sb := range w.Sandboxes {
		out[sb.Connection] = map[string]string{
			"access_token": sb.AccessToken, "refresh_token": sb.RefreshToken, "app_secret": sb.AppSecret, "client_id": sb.ClientID, "client_secret": sb.ClientSecret,
		}
	}
	return out
}
