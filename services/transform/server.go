package transform

import (
	"context"
	"sort"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
)

// Server is transform's control surface.
type Server struct {
	controlv1.UnimplementedTransformServiceServer
	t *Transform
}

// Server returns the control surface.
func (t *Transform) Server() *Server { return &Server{t: t} }

// TransformStatus tells which mappings are in force.
func (s *Server) TransformStatus(context.Context, *controlv1.TransformStatusRequest) (*controlv1.TransformStatusResponse, error) {
	out := &controlv1.TransformStatusResponse{Service: control.State(Name, s.t.deps.Version, s.t.deps.DB)}
	for _, c := range s.t.consumers {
		for _, n := range c.Lag() {
			out.Service.Lag += n
		}
	}
	for _, m := range s.t.deps.Mappings {
		out.Mappings = append(out.Mappings, &controlv1.MappingState{Name: m.Name, Version: m.Version, Hash: m.Hash})
	}
	sort.Slice(out.Mappings, func(i, j int) bool { return out.Mappings[i].GetName() < out.Mappings[j].GetName() })
	return out, nil
}
