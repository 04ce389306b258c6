package world

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/internal/idle"
)

// Ready waits until every target has an owner and the CRM was listed once. Each
// replica of the writer knows the quota of the targets that it owns, so what
// several answers say is put together.
func Ready(ctx context.Context, conn grpc.ClientConnInterface) error {
	writer, in := controlv1.NewWriterServiceClient(conn), controlv1.NewIngestServiceClient(conn)
	seen := map[string]bool{}
	for {
		w, werr := writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
		i, ierr := in.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
		if werr == nil && ierr == nil && owned(w, seen) && polled(i) {
			return nil
		}
		if !idle.For(ctx, 50*time.Millisecond) {
			return fmt.Errorf("the services are not ready: %w", errors.Join(ctx.Err(), werr, ierr))
		}
	}
}

func owned(w *controlv1.WriterStatusResponse, seen map[string]bool) bool {
	for _, t := range w.GetTargets() {
		if t.GetQuotaLimit() > 0 {
			seen[t.GetAccount()] = true
		}
	}
	for _, t := range w.GetTargets() {
		if !seen[t.GetAccount()] {
			return false
		}
	}
	return len(w.GetTargets()) > 0
}

func polled(i *controlv1.IngestStatusResponse) bool {
	for _, p := range i.GetPolls() {
		if p.GetCompleted() == 0 {
			return false
		}
	}
	return true
}
