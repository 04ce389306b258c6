package reconciler

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/store"
)

// ListBreaks lists what differs about a record, each difference once, in
// whatever periods it was found.
func (s *Server) ListBreaks(ctx context.Context, r *controlv1.ListBreaksRequest) (*controlv1.ListBreaksResponse, error) {
	if strings.TrimSpace(r.GetRef()) == "" {
		return nil, status.Error(codes.InvalidArgument, "name the record, at the source or in the books")
	}
	scope, err := control.Scope(ctx, s.r.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("entity", scope.Entities, []any{r.GetRef()})
	out := &controlv1.ListBreaksResponse{}
	err = s.r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, kind, cause, source_ref, books_ref, amount, currency, state, repair, actor, reason, difference FROM breaks
			WHERE (source_ref = $1 OR books_ref = $1) AND state IN ('open', 'repairing', 'accepted') AND `+theirs+` ORDER BY seen_at DESC, period, id`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		seen := map[string]bool{}
		for rows.Next() {
			b, difference, a := &controlv1.Break{}, "", money.Amount{}
			if err := rows.Scan(&b.Id, &b.Kind, &b.Cause, &b.SourceRef, &b.BooksRef, &a.Minor, &a.Currency, &b.State, &b.Repair, &b.Actor, &b.Reason, &difference); err != nil {
				return err
			}
			if b.Amount = amount(a); !seen[difference] || difference == "" {
				out.Items = append(out.Items, b)
			}
			seen[difference] = true
		}
		return rows.Err()
	})
	return out, err
}
