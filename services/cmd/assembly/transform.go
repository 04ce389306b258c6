package assembly

import (
	"context"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/mappings"
	"tieout.dev/services/transform"
)

// Transform builds the service that renders events.
func Transform(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, transform.Name, transform.Migrations)
	if err != nil {
		return nil, err
	}
	shipped, err := mappings.All()
	if err != nil {
		return nil, err
	}
	t, err := transform.New(transform.Deps{
		DB: p.DB, Bus: p.Bus, Registry: s.Registry, Mappings: shipped, Takers: s.takers(), Tracer: p.Tracer, Meter: p.Meter, Log: p.Log, Now: s.Runtime.Now,
		Instance: s.Runtime.Instance, Version: s.Runtime.Version,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: transform.Name, Run: t.Run},
		Register: func(r grpc.ServiceRegistrar) { controlv1.RegisterTransformServiceServer(r, t.Server()) },
	}, nil
}
