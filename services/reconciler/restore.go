package reconciler

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
)

// MarkRestored takes an operator's word that the database was set back: what is
// told from now on must not be taken for what was told before. Everything else
// comes again from the offsets, which went back too.
func (s *Server) MarkRestored(ctx context.Context, _ *controlv1.MarkRestoredRequest) (*controlv1.MarkRestoredResponse, error) {
	return control.MarkRestored(ctx, s.r.deps.DB)
}
