package transform

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
)

// GetMapping shows a mapping in force, field by field.
func (s *Server) GetMapping(ctx context.Context, r *controlv1.GetMappingRequest) (*controlv1.GetMappingResponse, error) {
	scope, err := control.Scope(ctx, s.t.deps.Registry)
	if err != nil {
		return nil, err
	}
	for _, m := range s.t.deps.Mappings {
		if m.Name != r.GetName() && m.Hash != r.GetName() || !s.renders(scope, m.Name) {
			continue
		}
		out := &controlv1.GetMappingResponse{Mapping: &controlv1.MappingState{Name: m.Name, Version: m.Version, Hash: m.Hash}}
		for _, x := range m.Rules() {
			out.Rules = append(out.Rules, &controlv1.MappingRule{Name: x.Name, Sources: x.Sources, Expression: x.Expression, Calculated: x.Calculated})
		}
		return out, nil
	}
	return nil, status.Errorf(codes.NotFound, "no mapping in force is called %q or has this hash", r.GetName())
}
