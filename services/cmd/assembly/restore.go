package assembly

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/ingest"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/writer"
	"tieout.dev/services/writer/protocol"
)

// others are whom a restored writer asks.
func (s *Site) others() writer.Others {
	return writer.Others{Reopen: s.reopen, Facts: control.AskFacts(controlv1.NewAuditServiceClient(s.Peers.Audit))}
}

// reopen has ingest publish events again and tell how they ended.
func (s *Site) reopen(ctx context.Context, l writer.Lanes) ([]protocol.Told, error) {
	req := &controlv1.ReopenRequest{Target: l.Target, AfterLane: l.After, UntilLane: l.Upto}
	for lane, next := range l.Next {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Lane: lane, Seq: next})
	}
	res, err := controlv1.NewIngestServiceClient(s.Peers.Ingest).Reopen(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make([]protocol.Told, 0, len(res.GetEvents()))
	for _, e := range res.GetEvents() {
		out = append(out, protocol.Told{
			Place: protocol.Place{Lane: e.GetLane(), Seq: e.GetSeq()}, EventID: e.GetEventId(), Subject: e.GetRef(), Rev: e.GetRev(),
			Outcome: protocol.Outcome(e.GetOutcome()), Merge: e.GetMerge(),
		})
	}
	return out, nil
}

// tops asks the writer for the highest number of each lane, a page at a time.
func (s *Site) tops(ctx context.Context, after ingest.LaneHead) ([]ingest.LaneHead, error) {
	res, err := controlv1.NewWriterServiceClient(s.Peers.Writer).LaneTops(ctx, &controlv1.LaneTopsRequest{AfterTarget: after.Target, AfterLane: after.Lane})
	if err != nil {
		return nil, err
	}
	return laneHeads(res.GetLanes()), nil
}
