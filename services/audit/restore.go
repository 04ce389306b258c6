package audit

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// MarkRestored takes an operator's word that the database was set back: what is
// told from now on must not be taken for what was told before. Everything else
// comes again from the offsets, which went back too.
func (s *Server) MarkRestored(ctx context.Context, _ *controlv1.MarkRestoredRequest) (*controlv1.MarkRestoredResponse, error) {
	return control.MarkRestored(ctx, s.a.deps.DB)
}

// factsPage is how many facts are told at once.
const factsPage = 500

// FactsAfter lists a service's facts about documents that follow what its
// restored database knows, by stream, incarnation and number.
func (s *Server) FactsAfter(ctx context.Context, r *controlv1.FactsAfterRequest) (*controlv1.FactsAfterResponse, error) {
	known := map[string]*controlv1.StreamHead{}
	for _, h := range r.GetKnown() {
		known[h.GetStream()] = h
	}
	out := &controlv1.FactsAfterResponse{}
	after := trail.Head{Stream: r.GetAfter().GetStream(), Incarnation: r.GetAfter().GetIncarnation(), Seq: r.GetAfter().GetSeq()}
	err := s.a.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for len(out.Facts) == 0 { // pages of what is known already are passed over
			n, err := factsPageAfter(tx, r.GetStreamPrefix(), known, &after, out)
			if err != nil || n < factsPage {
				return err
			}
		}
		return nil
	})
	return out, err
}

func factsPageAfter(tx *store.Tx, prefix string, known map[string]*controlv1.StreamHead, after *trail.Head, out *controlv1.FactsAfterResponse) (n int, err error) {
	rows, err := tx.Query(`SELECT stream, incarnation, seq, body FROM entry WHERE other_ref <> '' AND stream >= $1 AND stream < $2 AND (stream, incarnation, seq) > ($3, $4, $5)
		ORDER BY stream, incarnation, seq LIMIT $6`, prefix, prefix+"~", after.Stream, after.Incarnation, after.Seq, factsPage)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&after.Stream, &after.Incarnation, &after.Seq, &body); err != nil {
			return n, err
		}
		n++
		h := known[after.Stream]
		if h == nil || after.Incarnation > h.GetIncarnation() || after.Incarnation == h.GetIncarnation() && after.Seq > h.GetSeq() {
			out.Facts = append(out.Facts, body)
		}
	}
	return n, rows.Err()
}
