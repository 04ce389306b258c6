package dev

import (
	"context"
	"path/filepath"
	"time"

	"tieout.dev/services/audit"
	"tieout.dev/services/cmd/assembly"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/ingest"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/reconciler"
	"tieout.dev/services/transform"
	"tieout.dev/services/writer"
)

// pollEvery is how often the CRM is listed here; webhooks bring the rest.
const pollEvery = 5 * time.Second

// reconcileEvery is how often the running month is reconciled here.
const reconcileEvery = 10 * time.Minute

// Names of the installation that runs in one process.
const (
	tenant       = "acme"
	entityID     = "acme-ie"
	invoiceRoute = "deals-to-invoices"
	markerRoute  = "invoices-to-deals"
	companyRoute = "companies-to-customers"
	productRoute = "products-to-items"
)

// registry is the installation: one CRM, one company's books, a route there
// and a route back.
func (s *stack) registry() *registry.Registry {
	crm, books := s.file.Sandboxes["hubspot"], s.file.Sandboxes["quickbooks"]
	seconds := map[string]string{"search_lag": "1s", "longest_request": "3s", "guard": "2s"}
	with := func(more map[string]string) map[string]string {
		for k, v := range seconds {
			more[k] = v
		}
		return more
	}
	return &registry.Registry{
		Entities: []registry.Entity{{
			ID: entityID, Tenant: tenant, Currency: "EUR", Zone: "Europe/Dublin", Country: "IE", NetDays: 30, Currencies: []string{"USD", "GBP"},
			Bindings: map[string]string{"account:sales": "Sales", "tax:standard": "23.0% S"},
		}},
		Connections: []registry.Connection{
			{
				ID: crm.Connection, Tenant: tenant, System: "hubspot", Account: crm.Account, BaseURL: crm.BaseURL, App: "hubspot",
				PublicURL: s.webhookURL(), PollEvery: pollEvery, Settings: with(map[string]string{}),
			},
			{
				ID: books.Connection, Tenant: tenant, System: "quickbooks", Account: books.Account, BaseURL: books.BaseURL,
				Settings: with(map[string]string{"throttle_wait": "2s", "token_url": books.BaseURL + "/oauth2/v1/tokens/bearer"}),
			},
		},
		Routes: []registry.Route{
			{ID: invoiceRoute, Connection: crm.Connection, Type: "deal", Target: books.Account, Entity: entityID, Mapping: "hubspot-deal-quickbooks-invoice"},
			{ID: companyRoute, Connection: crm.Connection, Type: "company", Target: books.Account, Entity: entityID, Mapping: "hubspot-company-quickbooks-customer", UpdateOnly: true},
			{ID: productRoute, Connection: crm.Connection, Type: "product", Target: books.Account, Entity: entityID, Mapping: "hubspot-product-quickbooks-item", UpdateOnly: true},
			{ID: markerRoute, Connection: books.Connection, Type: "INVOICE", Target: crm.Account, Entity: entityID, Mapping: "quickbooks-invoice-hubspot-marker", WriteBack: true},
		},
	}
}

// startServices builds the five and registers them at the one address. Each
// asks the others through it, as it would across processes.
func (s *stack) startServices(ctx context.Context) error {
	reg := s.registry()
	if err := reg.Check(); err != nil {
		return err
	}
	s.file.Entities = []endpoints.Entity{{ID: entityID, Currency: "EUR"}}
	key, err := s.secret("api.key")
	if err != nil {
		return err
	}
	site := &assembly.Site{
		Runtime: s.rt, Registry: reg, Secrets: s.secrets(), APIKey: key, ReconcileEvery: reconcileEvery, Alone: true, // the folder's lock says so
		Peers: assembly.Peers{Ingest: s.conn, Transform: s.conn, Writer: s.conn, Reconciler: s.conn, Audit: s.conn},
		Seal:  func() (*writer.Seal, error) { return writer.MakeSeal(filepath.Join(s.options.Dir, "key")) },
	}
	for _, build := range []assembly.Builder{assembly.Writer, assembly.Ingest, assembly.Transform, assembly.Audit, assembly.Reconciler} {
		b, err := build(ctx, site)
		if err != nil {
			return err
		}
		b.Register(s.control)
		if b.Prepare != nil {
			if err := b.Prepare(ctx); err != nil {
				return err
			}
		}
		if b.Handler != nil {
			s.file.API = &endpoints.API{BaseURL: s.serveHTTP(s.ingest, b.Handler), Key: key}
		}
		s.services = append(s.services, b.Service)
	}
	for _, name := range []string{ingest.Name, transform.Name, writer.Name, reconciler.Name, audit.Name} {
		e := endpoints.Service{PID: s.file.PID, GRPC: s.file.Control.Address}
		if name == ingest.Name {
			e.HTTP = s.ingest.Addr().String()
		}
		s.file.Services[name] = e
	}
	return nil
}

// secrets are the sandboxes' own.
func (s *stack) secrets() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, sb := range s.file.Sandboxes {
		out[sb.Connection] = map[string]string{
			"access_token": sb.AccessToken, "refresh_token": sb.RefreshToken, "app_secret": sb.AppSecret, "client_id": sb.ClientID, "client_secret": sb.ClientSecret,
		}
	}
	return out
}
