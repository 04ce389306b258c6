package dev

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/connectors"
	"tieout.dev/services/ingest"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/mapping"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/mappings"
	"tieout.dev/services/reconciler"
	"tieout.dev/services/transform"
	"tieout.dev/services/writer"
)

// pollEvery is how often the CRM is listed here; webhooks bring the rest.
const pollEvery = 5 * time.Second

// reconcileEvery is how often the running month is reconciled here.
const reconcileEvery = 10 * time.Minute

// People are told soon here, so that one who tries it need not wait.
const (
	noticeWait  = 3 * time.Second
	noticeEvery = 30 * time.Second
)

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
				PublicURL: s.webhookURL(), PollEvery: pollEvery, Settings: with(map[string]string{"authorize_url": crm.BaseURL + "/oauth/authorize"}),
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
			{ID: invoiceRoute, Connection: crm.Connection, Type: "deal", Target: books.Account, Entity: entityID, Mapping: "hubspot-deal-quickbooks-invoice"},
			{ID: companyRoute, Connection: crm.Connection, Type: "company", Target: books.Account, Entity: entityID, Mapping: "hubspot-company-quickbooks-customer", UpdateOnly: true},
			{ID: productRoute, Connection: crm.Connection, Type: "product", Target: books.Account, Entity: entityID, Mapping: "hubspot-product-quickbooks-item", UpdateOnly: true},
			{ID: markerRoute, Connection: books.Connection, Type: "INVOICE", Target: crm.Account, Entity: entityID, Mapping: "quickbooks-invoice-hubspot-marker", WriteBack: true},
		},
	}
}

// startServices makes the five and registers them at the one address. Each
// asks the others through it, as it would across processes.
func (s *stack) startServices(ctx context.Context) error {
	reg := s.registry()
	if err := reg.Check(); err != nil {
		return err
	}
	s.file.Entities = []endpoints.Entity{{ID: entityID, Currency: "EUR"}}
	starts := []func(context.Context, *registry.Registry) error{s.startWriter, s.startIngest, s.startTransform, s.startAudit, s.startReconciler}
	for _, start := range starts {
		if err := start(ctx, reg); err != nil {
			return err
		}
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

// partsOf opens a service's parts. Leases that a killed process of this folder
// left behind are dropped: the folder's lock says that nobody else holds them.
func (s *stack) partsOf(ctx context.Context, service string, migrations fs.FS) (*run.Parts, error) {
	p, err := s.rt.Parts(ctx, service, migrations)
	if err != nil {
		return nil, err
	}
	return p, p.DB.DropLeases(ctx)
}

func (s *stack) startWriter(ctx context.Context, reg *registry.Registry) error {
	p, err := s.partsOf(ctx, writer.Name, writer.Migrations)
	if err != nil {
		return err
	}
	seal, err := writer.MakeSeal(filepath.Join(s.options.Dir, "key"))
	if err != nil {
		return err
	}
	vault := writer.NewVault(p.DB, seal, time.Now)
	byAccount := map[string]*connector.Connection{}
	for _, c := range reg.Connections {
		sb := s.file.Sandboxes[c.System]
		tokens := vault.Tokens(c.ID, connector.Grant{Access: connector.Secret(sb.AccessToken), Refresh: connector.Secret(sb.RefreshToken)})
		conn, err := s.open(c, tokens)
		if err != nil {
			return err
		}
		tokens.Refresher = conn.RefreshToken
		if conn.Setup != nil {
			if err := conn.Setup(ctx); err != nil {
				return fmt.Errorf("prepare connection %s: %w", c.ID, err)
			}
		}
		byAccount[c.Account] = conn
	}
	w, err := writer.New(writer.Deps{
		DB: p.DB, Bus: p.Bus, Registry: reg, Connections: byAccount, Vault: vault, Takers: s.takers(), Partitions: partitions, Tracer: p.Tracer,
		Log: p.Log, Now: time.Now, Instance: s.rt.Instance, Version: s.options.Version,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterWriterServiceServer(s.control, w.Server())
	s.services = append(s.services, run.Service{Name: writer.Name, Run: w.Run})
	return nil
}

// open makes a connection of its own for the service that asks.
func (s *stack) open(c registry.Connection, tokens connector.Tokens) (*connector.Connection, error) {
	spec, ok := connectors.All()[c.System]
	if !ok {
		return nil, fmt.Errorf("connection %s: there is no connector for %q", c.ID, c.System)
	}
	sb := s.file.Sandboxes[c.System]
	conn, err := spec.Open(connector.Config{
		Connection: c.ID, Account: c.Account, BaseURL: c.BaseURL, Settings: c.Settings, Tokens: tokens, Now: time.Now, Log: s.log,
		Secrets: map[string]connector.Secret{
			"app_secret": connector.Secret(sb.AppSecret), "client_id": connector.Secret(sb.ClientID), "client_secret": connector.Secret(sb.ClientSecret),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.ID, err)
	}
	return conn, nil
}

// remote makes the connections of a service that asks the writer for tokens.
func (s *stack) remote(reg *registry.Registry) (map[string]*connector.Connection, error) {
	client := controlv1.NewWriterServiceClient(s.conn)
	out := map[string]*connector.Connection{}
	for _, c := range reg.Connections {
		conn, err := s.open(c, control.NewTokens(client, c.ID))
		if err != nil {
			return nil, err
		}
		out[c.ID] = conn
	}
	return out, nil
}

func (s *stack) startIngest(ctx context.Context, reg *registry.Registry) error {
	p, err := s.partsOf(ctx, ingest.Name, ingest.Migrations)
	if err != nil {
		return err
	}
	conns, err := s.remote(reg)
	if err != nil {
		return err
	}
	key, err := s.secret("api.key")
	if err != nil {
		return err
	}
	in, err := ingest.New(ingest.Deps{
		APIKey: key,
		DB:     p.DB, Bus: p.Bus, Redis: s.rt.Redis, Registry: reg, Connections: conns, Heads: s.heads, Takers: s.takers(), Tracer: p.Tracer,
		Log: p.Log, Now: time.Now, Instance: s.rt.Instance, Version: s.options.Version,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterIngestServiceServer(s.control, in.Server())
	s.file.API = &endpoints.API{BaseURL: s.serveHTTP(s.ingest, in.Handler()), Key: key}
	s.services = append(s.services, run.Service{Name: ingest.Name, Run: in.Run})
	return nil
}

// heads asks the writer which slots it holds.
func (s *stack) heads(ctx context.Context, lanes []ingest.LaneHead) ([]ingest.LaneHead, error) {
	req := &controlv1.SlotHeadsRequest{}
	for _, l := range lanes {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Target: l.Target, Lane: l.Lane})
	}
	res, err := controlv1.NewWriterServiceClient(s.conn).SlotHeads(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make([]ingest.LaneHead, 0, len(res.GetLanes()))
	for _, l := range res.GetLanes() {
		out = append(out, ingest.LaneHead{Target: l.GetTarget(), Lane: l.GetLane(), Seq: l.GetSeq()})
	}
	return out, nil
}

// takers are the consumers of the trail.
func (s *stack) takers() map[string]trail.AskHeads {
	in, au, re := controlv1.NewIngestServiceClient(s.conn), controlv1.NewAuditServiceClient(s.conn), controlv1.NewReconcilerServiceClient(s.conn)
	return map[string]trail.AskHeads{
		ingest.Name: control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return in.StreamHeads(ctx, r)
		}),
		audit.Name: control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return au.StreamHeads(ctx, r)
		}),
		reconciler.Name: control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return re.StreamHeads(ctx, r)
		}),
	}
}

func (s *stack) startTransform(ctx context.Context, reg *registry.Registry) error {
	p, err := s.partsOf(ctx, transform.Name, transform.Migrations)
	if err != nil {
		return err
	}
	shipped, err := mappings.All()
	if err != nil {
		return err
	}
	t, err := transform.New(transform.Deps{
		DB: p.DB, Bus: p.Bus, Registry: reg, Mappings: shipped, Takers: s.takers(), Tracer: p.Tracer, Log: p.Log, Now: time.Now,
		Instance: s.rt.Instance, Version: s.options.Version,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterTransformServiceServer(s.control, t.Server())
	s.services = append(s.services, run.Service{Name: transform.Name, Run: t.Run})
	return nil
}

func (s *stack) startAudit(ctx context.Context, reg *registry.Registry) error {
	p, err := s.partsOf(ctx, audit.Name, audit.Migrations)
	if err != nil {
		return err
	}
	channels, err := s.options.Notify.Channels(time.Now)
	if err != nil {
		return err
	}
	a, err := audit.New(audit.Deps{
		DB: p.DB, Bus: p.Bus, Registry: reg, Tracer: p.Tracer, Log: p.Log, Now: time.Now, Instance: s.rt.Instance, Version: s.options.Version,
		Notices: audit.Notices{Channels: channels, Wait: noticeWait, Every: noticeEvery, Console: s.options.Notify.Console, Runbook: "docs/runbook/"},
	})
	if err != nil {
		return err
	}
	controlv1.RegisterAuditServiceServer(s.control, a.Server())
	s.services = append(s.services, run.Service{Name: audit.Name, Run: a.Run})
	return nil
}

func (s *stack) startReconciler(ctx context.Context, reg *registry.Registry) error {
	p, err := s.partsOf(ctx, reconciler.Name, reconciler.Migrations)
	if err != nil {
		return err
	}
	conns, err := s.remote(reg)
	if err != nil {
		return err
	}
	sources, targets := map[string]connector.Source{}, map[string]connector.Target{}
	for _, c := range reg.Connections {
		sources[c.ID], targets[c.Account] = conns[c.ID].Source, conns[c.ID].Target
	}
	shipped, err := mappings.All()
	if err != nil {
		return err
	}
	r, err := reconciler.New(reconciler.Deps{
		DB: p.DB, Bus: p.Bus, Registry: reg, Sources: sources, Targets: targets, Render: renderer(reg, shipped), Open: s.openRefs, Takers: s.takers(),
		Recheck: s.recheck, Every: reconcileEvery, Tracer: p.Tracer, Log: p.Log, Now: time.Now, Instance: s.rt.Instance, Version: s.options.Version,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterReconcilerServiceServer(s.control, r.Server())
	s.services = append(s.services, run.Service{Name: reconciler.Name, Run: r.Run})
	return nil
}

// recheck has ingest read a record again.
func (s *stack) recheck(ctx context.Context, ref string) error {
	_, err := controlv1.NewIngestServiceClient(s.conn).Recheck(ctx, &controlv1.RecheckRequest{Ref: ref})
	return err
}

// renderer shows what the route's mapping makes of a record, as transform does.
func renderer(reg *registry.Registry, shipped map[string]*mapping.Mapping) func(context.Context, registry.Route, connector.Record) (*document.Rendering, error) {
	return func(_ context.Context, route registry.Route, r connector.Record) (*document.Rendering, error) {
		m, entity := shipped[route.Mapping], registry.Entity{}
		if e, ok := reg.Entity(route.Entity); ok {
			entity = e
		}
		if m == nil {
			return nil, fmt.Errorf("route %s names mapping %q, which is not there", route.ID, route.Mapping)
		}
		typ := event.Put
		if r.Deleted {
			typ = event.Delete
		}
		return m.Render(mapping.Input{Entity: entity, Event: &event.Event{
			ID: event.ID(r.Ref.String(), 1, route.ID, 1), Tenant: entity.Tenant, Entity: entity.ID, Connection: route.Connection, Route: route.ID,
			Mapping: route.Mapping, Target: route.Target, Lane: r.Customer.String(), Seq: 1, Class: event.Bulk, Ref: r.Ref, Rev: 1, SlotNo: 1, Render: 1,
			Cause: event.Repair, Type: typ, OccurredAt: r.ChangedAt, Data: r.Data, Related: r.Related, DataHash: r.Hash, Customer: r.Customer.String(),
		}}), nil
	}
}

// openRefs asks which records are still on their way, and why.
func (s *stack) openRefs(ctx context.Context) (map[string]string, error) {
	res, err := controlv1.NewWriterServiceClient(s.conn).OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return nil, err
	}
	in, err := controlv1.NewIngestServiceClient(s.conn).OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range in.GetItems() {
		out[r.GetRef()] = r.GetCause()
	}
	for _, r := range res.GetItems() { // the writer knows better why
		out[r.GetRef()] = r.GetCause()
	}
	return out, nil
}
