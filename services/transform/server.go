package transform

import (
	"context"
	"slices"
	"sort"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/registry"
)

// Server is transform's control surface.
type Server struct {
	controlv1.UnimplementedTransformServiceServer
	t *Transform
}

// Server returns the control surface.
func (t *Transform) Server() *Server { return &Server{t: t} }

// TransformStatus tells which mappings are in force.
func (s *Server) TransformStatus(ctx context.Context, _ *controlv1.TransformStatusRequest) (*controlv1.TransformStatusResponse, error) {
	out := &controlv1.TransformStatusResponse{Service: control.State(Name, s.t.deps.Version, s.t.deps.DB)}
	for _, c := range s.t.consumers {
		for _, n := range c.Lag() {
			out.Service.Lag += n
		}
	}
	scope, err := control.Scope(ctx, s.t.deps.Registry)
	if err != nil {
		return nil, err
	}
	for _, m := range s.t.deps.Mappings {
		if !s.renders(scope, m.Name) {
			continue
		}
		out.Mappings = append(out.Mappings, &controlv1.MappingState{Name: m.Name, Version: m.Version, Hash: m.Hash})
	}
	sort.Slice(out.Mappings, func(i, j int) bool { return out.Mappings[i].GetName() < out.Mappings[j].GetName() })
	return out, nil
}

// renders reports whether a route of what is asked about goes by a mapping.
func (s *Server) renders(scope registry.Scope, mapping string) bool {
	return scope.Routes == nil || slices.ContainsFunc(s.t.deps.Registry.Routes, func(r registry.Route) bool {
		return r.Mapping == mapping && slices.Contains(scope.Routes, r.ID)
	})
}
