package control

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// StreamHeads answers, from a consumer's own database, which facts it has.
func StreamHeads(ctx context.Context, db *store.DB, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
	asked := make([]trail.Head, 0, len(r.GetStreams()))
	for _, h := range r.GetStreams() {
		asked = append(asked, trail.Head{Stream: h.GetStream(), Incarnation: h.GetIncarnation()})
	}
	out := &controlv1.StreamHeadsResponse{}
	err := db.Read(ctx, func(tx *store.Tx) error {
		heads, err := trail.Heads(tx, asked)
		out.Streams = ToHeads(heads)
		return err
	})
	return out, err
}

// AskHeads adapts a consumer's client to what a completer asks.
func AskHeads(ask func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error)) trail.AskHeads {
	return func(ctx context.Context, streams []trail.Head) ([]trail.Head, error) {
		req := &controlv1.StreamHeadsRequest{}
		for _, h := range streams {
			req.Streams = append(req.Streams, &controlv1.StreamHead{Stream: h.Stream, Incarnation: h.Incarnation})
		}
		res, err := ask(ctx, req)
		if err != nil {
			return nil, err
		}
		return FromHeads(res.GetStreams()), nil
	}
}

// ToHeads puts heads of streams into a message.
func ToHeads(heads []trail.Head) []*controlv1.StreamHead {
	out := make([]*controlv1.StreamHead, 0, len(heads))
	for _, h := range heads {
		out = append(out, &controlv1.StreamHead{Stream: h.Stream, Incarnation: h.Incarnation, Seq: h.Seq})
	}
	return out
}

// FromHeads takes them out again.
func FromHeads(heads []*controlv1.StreamHead) []trail.Head {
	out := make([]trail.Head, 0, len(heads))
	for _, h := range heads {
		out = append(out, trail.Head{Stream: h.GetStream(), Incarnation: h.GetIncarnation(), Seq: h.GetSeq()})
	}
	return out
}
