package writer

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/store"
)

// MarkRestored takes an operator's word that the database was set back.
func (s *Server) MarkRestored(ctx context.Context, r *controlv1.MarkRestoredRequest) (*controlv1.MarkRestoredResponse, error) {
	incarnation, err := s.w.MarkRestored(ctx, "an operator says so", r.GetActor())
	return &controlv1.MarkRestoredResponse{Incarnation: incarnation}, err
}

// topsPage is how many lanes are told at once.
const topsPage = 500

// LaneTops lists the highest number of each lane that anything stored names:
// slots, and slots that others come after.
func (s *Server) LaneTops(ctx context.Context, r *controlv1.LaneTopsRequest) (*controlv1.LaneTopsResponse, error) {
	out := &controlv1.LaneTopsResponse{}
	err := s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT target, lane, MAX(seq) FROM (SELECT target, lane, next - 1 AS seq FROM lane UNION ALL SELECT target, lane, seq FROM slot UNION ALL SELECT target, lane, seq FROM told) AS known
			WHERE (target, lane) > ($1, $2) GROUP BY target, lane ORDER BY target, lane LIMIT $3`, r.GetAfterTarget(), r.GetAfterLane(), topsPage)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			h := &controlv1.LaneHead{}
			if err := rows.Scan(&h.Target, &h.Lane, &h.Seq); err != nil {
				return err
			}
			out.Lanes = append(out.Lanes, h)
		}
		return rows.Err()
	})
	if err == nil && r.GetAfterTarget() == "" {
		err = s.named(ctx, out)
	}
	return out, err
}

// named adds the numbers that open slots come after: they were given, whether
// their slots are here or not.
func (s *Server) named(ctx context.Context, out *controlv1.LaneTopsResponse) error {
	return s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT target, doc FROM slot WHERE state = 'queued'`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var target string
			var doc []byte
			if err := rows.Scan(&target, &doc); err != nil {
				return err
			}
			d, err := document.Decode(doc)
			if err != nil {
				continue // a slot that does not decode comes after nothing
			}
			for _, a := range d.After {
				out.Lanes = append([]*controlv1.LaneHead{{Target: target, Lane: a.Lane, Seq: a.Seq}}, out.Lanes...) // the page's last stays its last
			}
		}
		return rows.Err()
	})
}
