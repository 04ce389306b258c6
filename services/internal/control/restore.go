package control

import (
	"context"
	"fmt"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// MarkRestored begins the streams of a restored database anew.
func MarkRestored(ctx context.Context, db *store.DB) (*controlv1.MarkRestoredResponse, error) {
	incarnation, err := trail.MarkRestored(ctx, db)
	return &controlv1.MarkRestoredResponse{Incarnation: incarnation}, err
}

// AskFacts adapts the audit's client to what a restored writer asks.
func AskFacts(audit controlv1.AuditServiceClient) func(ctx context.Context, prefix string, known []trail.Head, after trail.Head) ([]*trail.Fact, error) {
	return func(ctx context.Context, prefix string, known []trail.Head, after trail.Head) ([]*trail.Fact, error) {
		req := &controlv1.FactsAfterRequest{StreamPrefix: prefix, After: &controlv1.StreamHead{Stream: after.Stream, Incarnation: after.Incarnation, Seq: after.Seq}}
		for _, h := range known {
			req.Known = append(req.Known, &controlv1.StreamHead{Stream: h.Stream, Incarnation: h.Incarnation, Seq: h.Seq})
		}
		res, err := audit.FactsAfter(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("ask the audit for facts of %s: %w", prefix, err)
		}
		out := make([]*trail.Fact, 0, len(res.GetFacts()))
		for _, body := range res.GetFacts() {
			f, err := trail.Decode(body)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
		return out, nil
	}
}
