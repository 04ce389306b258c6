package assembly

import (
	"context"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/ingest"
	"tieout.dev/services/internal/run"
)

// Ingest builds the service that turns changes into events.
func Ingest(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, ingest.Name, ingest.Migrations)
	if err != nil {
		return nil, err
	}
	if s.Alone { // whoever was reading is gone
		if err := ingest.DropClaims(ctx, p.DB); err != nil {
			return nil, err
		}
	}
	conns, err := s.remote(p)
	if err != nil {
		return nil, err
	}
	in, err := ingest.New(ingest.Deps{
		DB: p.DB, Bus: p.Bus, Redis: s.Runtime.Redis, Registry: s.Registry, Connections: conns, Heads: s.heads, Tops: s.tops, Takers: s.takers(), Tracer: p.Tracer, Meter: p.Meter,
		Log: p.Log, Now: s.Runtime.Now, APIKey: s.APIKey, Instance: s.Runtime.Instance, Version: s.Runtime.Version,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: ingest.Name, Run: in.Run},
		Register: func(r grpc.ServiceRegistrar) { controlv1.RegisterIngestServiceServer(r, in.Server()) },
		Handler:  in.Handler(),
	}, nil
}

// heads asks the writer which slots it holds.
func (s *Site) heads(ctx context.Context, lanes []ingest.LaneHead) ([]ingest.LaneHead, error) {
	req := &controlv1.SlotHeadsRequest{}
	for _, l := range lanes {
		req.Lanes = append(req.Lanes, &controlv1.LaneHead{Target: l.Target, Lane: l.Lane})
	}
	res, err := controlv1.NewWriterServiceClient(s.Peers.Writer).SlotHeads(ctx, req)
	if err != nil {
		return nil, err
	}
	return laneHeads(res.GetLanes()), nil
}

// laneHeads takes lanes with a number each out of a message.
func laneHeads(lanes []*controlv1.LaneHead) []ingest.LaneHead {
	out := make([]ingest.LaneHead, 0, len(lanes))
	for _, l := range lanes {
		out = append(out, ingest.LaneHead{Target: l.GetTarget(), Lane: l.GetLane(), Seq: l.GetSeq()})
	}
	return out
}
