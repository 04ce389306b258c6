package assembly

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
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
)

// Reconciler builds the service that compares both sides.
func Reconciler(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, reconciler.Name, reconciler.Migrations)
	if err != nil {
		return nil, err
	}
	conns, err := s.remote(p)
	if err != nil {
		return nil, err
	}
	sources, targets := map[string]connector.Source{}, map[string]connector.Target{}
	for _, c := range s.Registry.Connections {
		sources[c.ID], targets[c.Account] = conns[c.ID].Source, conns[c.ID].Target
	}
	shipped, err := mappings.All()
	if err != nil {
		return nil, err
	}
	r, err := reconciler.New(reconciler.Deps{
		DB: p.DB, Bus: p.Bus, Registry: s.Registry, Sources: sources, Targets: targets, Render: renderer(s.Registry, shipped), Open: s.openRefs, Pushed: s.pushed, Told: s.told, Takers: s.takers(),
		Recheck: s.recheck, Every: s.ReconcileEvery, Tracer: p.Tracer, Meter: p.Meter, Log: p.Log, Now: s.Runtime.Now, Instance: s.Runtime.Instance, Version: s.Runtime.Version,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: reconciler.Name, Run: r.Run},
		Register: func(reg grpc.ServiceRegistrar) { controlv1.RegisterReconcilerServiceServer(reg, r.Server()) },
	}, nil
}

// recheck has ingest read a record again whose documents are to stand in books.
func (s *Site) recheck(ctx context.Context, ref, target string) error {
	_, err := controlv1.NewIngestServiceClient(s.Peers.Ingest).Recheck(ctx, &controlv1.RecheckRequest{Ref: ref, Target: target})
	return err
}

// pushed asks ingest for the records of an account that stand in no source.
func (s *Site) pushed(ctx context.Context, account, typ string) (out []connector.Record, err error) {
	ask := &controlv1.ListPushedRequest{Account: account, Type: typ}
	for {
		page, err := controlv1.NewIngestServiceClient(s.Peers.Ingest).ListPushed(ctx, ask)
		if err != nil {
			return nil, err
		}
		for _, x := range page.GetItems() {
			r := connector.Record{ChangedAt: x.GetOccurredAt().AsTime(), Data: x.GetData(), Related: x.GetRelated()}
			if r.Ref, err = event.ParseRef(x.GetRef()); err != nil {
				return nil, err
			}
			if r.Customer, err = event.ParseRef(x.GetCustomer()); err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		if ask.Next = page.GetNext(); ask.Next == "" {
			return out, nil
		}
	}
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
func (s *Site) openRefs(ctx context.Context) (out []reconciler.Open, err error) {
	res, err := controlv1.NewWriterServiceClient(s.Peers.Writer).OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return nil, err
	}
	in, err := controlv1.NewIngestServiceClient(s.Peers.Ingest).OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return nil, err
	}
	for _, r := range append(in.GetItems(), res.GetItems()...) { // the writer, who comes last, knows better why
		out = append(out, reconciler.Open{Ref: r.GetRef(), Cause: r.GetCause(), Target: r.GetTarget()})
	}
	return out, nil
}

// told asks the writer for the last fact of each of its streams.
func (s *Site) told(ctx context.Context) ([]trail.Head, error) {
	res, err := controlv1.NewWriterServiceClient(s.Peers.Writer).OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return nil, err
	}
	return control.FromHeads(res.GetTold()), nil
}
