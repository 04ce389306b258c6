package audit

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// Server is audit's control surface.
type Server struct {
	controlv1.UnimplementedAuditServiceServer
	a *Audit
}

// Server returns the control surface.
func (a *Audit) Server() *Server { return &Server{a: a} }

// entriesTaken sums the heads: each fact that was taken is an entry, and
// counting a million entries would take longer.
const entriesTaken = `SELECT COALESCE(SUM(seq), 0) FROM inbox_head`

// AuditStatus tells how much of the trail is taken.
func (s *Server) AuditStatus(ctx context.Context, _ *controlv1.AuditStatusRequest) (*controlv1.AuditStatusResponse, error) {
	out := &controlv1.AuditStatusResponse{Service: control.State(Name, s.a.deps.Version, s.a.deps.DB)}
	for _, n := range s.a.consumer.Lag() {
		out.Service.Lag += n
	}
	err := s.a.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if err := tx.QueryRow(entriesTaken).Scan(&out.Entries); err != nil {
			return err
		}
		out.Unpublished, _, err = trail.Backlog(tx)
		return err
	})
	return out, err
}

// Journey returns every step that an id took.
func (s *Server) Journey(ctx context.Context, r *controlv1.JourneyRequest) (out *controlv1.JourneyResponse, err error) {
	id := strings.TrimSpace(r.GetId())
	if id == "" {
		return nil, status.Error(codes.InvalidArgument, "give an id to follow")
	}
	scope, err := control.Scope(ctx, s.a.deps.Registry)
	if err != nil {
		return nil, err
	}
	err = s.a.deps.DB.Read(ctx, func(tx *store.Tx) error {
		j, err := newJourney(tx, id, scope, s.a.deps.Page)
		if err != nil {
			return err
		}
		out, err = j.response()
		return err
	})
	return out, err
}

// StreamHeads returns the highest taken fact of each stream asked for.
func (s *Server) StreamHeads(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
	return control.StreamHeads(ctx, s.a.deps.DB, r)
}
