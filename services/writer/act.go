package writer

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// Act stores a person's action as a command; the owner applies it in a turn,
// so a crash loses nothing and any replica may take the request.
func (s *Server) Act(ctx context.Context, r *controlv1.ActRequest) (*controlv1.ActResponse, error) {
	switch {
	case r.GetAction() != "retry" && r.GetAction() != "discard":
		return nil, status.Errorf(codes.InvalidArgument, "action %q is not one of retry, discard", r.GetAction())
	case strings.TrimSpace(r.GetReason()) == "":
		return nil, status.Error(codes.InvalidArgument, "a reason is mandatory: it goes into the audit trail")
	case r.GetAll() && r.GetAction() != "retry":
		return nil, status.Error(codes.InvalidArgument, "only retry acts on all; discard each exception by its id")
	case !r.GetAll() && r.GetId() == "":
		return nil, status.Error(codes.InvalidArgument, "name the exception, or say all")
	}
	out := &controlv1.ActResponse{}
	targets := map[string]bool{}
	err := s.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		rows, err := actedOn(tx, r)
		if err != nil {
			return err
		}
		for _, x := range rows {
			out.Exceptions = append(out.Exceptions, x.id)
			if r.GetDryRun() {
				continue
			}
			id := event.Digest("command/v1", x.id, r.GetAction(), r.GetActor())[:24]
			if _, err := tx.Exec(`INSERT INTO command (id, target, exception, lane, seq, action, actor, reason, state, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', $9) ON CONFLICT (id) DO UPDATE SET state = 'waiting', reason = $8`,
				id, x.target, x.id, x.lane, x.seq, r.GetAction(), r.GetActor(), r.GetReason(), tx.Now()); err != nil {
				return err
			}
			out.Commands = append(out.Commands, id)
			targets[x.target] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !r.GetAll() && len(out.Exceptions) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no open exception %s", r.GetId())
	}
	for t := range targets {
		s.w.wakeOwner(t)
	}
	return out, nil
}

type actRow struct {
	id, target, lane string
	seq              int64
}

func actedOn(tx *store.Tx, r *controlv1.ActRequest) ([]actRow, error) {
	rows, err := tx.Query(`SELECT id, target, lane, seq FROM exception WHERE state = 'open' AND ($1 = '' OR id = $1) AND ($2 = '' OR kind = $2) ORDER BY opened_at, id`, r.GetId(), r.GetKind())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []actRow
	for rows.Next() {
		var x actRow
		if err := rows.Scan(&x.id, &x.target, &x.lane, &x.seq); err != nil {
			return nil, err
		}
		if r.GetAction() == "discard" && x.lane == "" {
			return nil, status.Errorf(codes.FailedPrecondition, "exception %s is about the connection; it ends when the connection answers", x.id)
		}
		out = append(out, x)
	}
	return out, rows.Err()
}
