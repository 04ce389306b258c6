package assembly

import (
	"context"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/internal/run"
)

// Audit builds the service that keeps the trail.
func Audit(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, audit.Name, audit.Migrations)
	if err != nil {
		return nil, err
	}
	a, err := audit.New(audit.Deps{
		DB: p.DB, Bus: p.Bus, Registry: s.Registry, Tracer: p.Tracer, Log: p.Log, Now: s.Runtime.Now, Instance: s.Runtime.Instance, Version: s.Runtime.Version,
		Notices: s.Notices,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: audit.Name, Run: a.Run},
		Register: func(r grpc.ServiceRegistrar) { controlv1.RegisterAuditServiceServer(r, a.Server()) },
	}, nil
}
