package ingest

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// StartBackfill starts a run for each type that is asked for.
func (s *Server) StartBackfill(ctx context.Context, r *controlv1.StartBackfillRequest) (*controlv1.StartBackfillResponse, error) {
	src := s.source(r.GetConnection())
	if src == nil {
		return nil, status.Errorf(codes.NotFound, "no connection that is read is called %q", r.GetConnection())
	}
	types := src.types()
	if r.GetType() != "" {
		if !slices.Contains(types, r.GetType()) {
			return nil, status.Errorf(codes.InvalidArgument, "no route leads from type %q of %s; routes lead from %v", r.GetType(), r.GetConnection(), types)
		}
		types = []string{r.GetType()}
	}
	if r.GetFrom() == nil && !r.GetMatchOnly() {
		return nil, status.Error(codes.InvalidArgument, "name the start: what qualified before it is matched and linked only")
	}
	out := &controlv1.StartBackfillResponse{}
	for _, typ := range types {
		started, err := s.startRun(ctx, src, typ, r)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, toRun(started, s.in.deps.Now()))
	}
	return out, nil
}

func (s *Server) startRun(ctx context.Context, src *source, typ string, r *controlv1.StartBackfillRequest) (*run, error) {
	now := s.in.deps.Now()
	x := &run{
		id: "b-" + event.Digest("run/v1", r.GetConnection(), typ, strconv.FormatInt(now.UnixMicro(), 10))[:12], connection: r.GetConnection(), typ: typ,
		state: "running", matchOnly: r.GetMatchOnly(), actor: r.GetActor(), started: now.UnixMicro(),
	}
	if r.GetFrom() != nil {
		x.from = r.GetFrom().AsTime().UnixMicro()
	}
	if counter, ok := src.conn.Source.(connector.Counter); ok {
		n, err := counter.Count(ctx, typ)
		if err != nil {
			s.in.deps.Log.DebugContext(ctx, "the records were not counted; there is no estimate", "type", typ, "error", err)
		}
		x.total = n
	}
	if r.GetDryRun() {
		return x, nil
	}
	only := 0
	if x.matchOnly {
		only = 1
	}
	err := s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO run (id, connection, type, state, from_at, match_only, total, actor, started_at) VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, $8)`,
			x.id, x.connection, x.typ, x.from, only, x.total, x.actor, x.started)
		return err
	})
	return x, err
}

func (s *Server) source(connection string) *source {
	for _, x := range s.in.sources {
		if x.config.ID == connection {
			return x
		}
	}
	return nil
}

// ListRuns lists backfills, newest first.
func (s *Server) ListRuns(ctx context.Context, r *controlv1.ListRunsRequest) (*controlv1.ListRunsResponse, error) {
	page, err := control.PageOf(r.GetLimit(), r.GetNext(), math.MaxInt64) // the newest first
	if err != nil {
		return nil, err
	}
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("connection", scope.Connections, []any{r.GetId(), page.Limit + 1, page.At, page.ID})
	out := &controlv1.ListRunsResponse{}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		runs, err := runsWhere(tx, `WHERE ($1 = '' OR id = $1) AND (started_at < $3 OR started_at = $3 AND id > $4) AND `+theirs+` ORDER BY started_at DESC, id LIMIT $2`, args...)
		runs, out.Next = control.CutPage(page, runs, func(x *run) (int64, string) { return x.started, x.id })
		for _, x := range runs {
			out.Items = append(out.Items, toRun(x, s.in.deps.Now()))
		}
		return err
	})
	if err == nil && r.GetId() != "" && len(out.Items) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no run %s", r.GetId())
	}
	return out, err
}

// ActOnRun pauses, resumes or cancels a backfill. What it asked for and nobody
// read yet is forgotten by a cancel; what was admitted goes on.
func (s *Server) ActOnRun(ctx context.Context, r *controlv1.ActOnRunRequest) (*controlv1.ActOnRunResponse, error) {
	to := map[string]string{"pause": "paused", "resume": "running", "cancel": "cancelled"}[r.GetAction()]
	if to == "" {
		return nil, status.Errorf(codes.InvalidArgument, "action %q is not one of pause, resume, cancel", r.GetAction())
	}
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ActOnRunResponse{}
	err = s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		x, err := runByID(tx, r.GetId())
		switch {
		case errors.Is(err, sql.ErrNoRows), err == nil && scope.Connections != nil && !slices.Contains(scope.Connections, x.connection):
			return status.Errorf(codes.NotFound, "there is no run %s", r.GetId())
		case err != nil:
			return err
		case x.state != "running" && x.state != "paused":
			return status.Errorf(codes.FailedPrecondition, "run %s is %s", x.id, x.state)
		}
		x.state = to
		if to == "cancelled" {
			x.ended = tx.Now()
			if _, err := tx.Exec(`DELETE FROM hint WHERE run = $1 AND class = 'bulk'`, x.id); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`UPDATE run SET state = $1, ended_at = $2, why = '' WHERE id = $3`, x.state, x.ended, x.id)
		out.Run = toRun(x, s.in.deps.Now())
		return err
	})
	return out, err
}

func toRun(x *run, now time.Time) *controlv1.Run {
	out := &controlv1.Run{
		Id: x.id, Connection: x.connection, Type: x.typ, State: x.state, MatchOnly: x.matchOnly, Total: x.total, Read: x.read, Admitted: x.admitted,
		Duplicates: x.duplicates, Failed: x.failed, Why: x.why, StartedAt: timestamppb.New(store.Time(x.started)),
	}
	if x.from != 0 {
		out.From = timestamppb.New(store.Time(x.from))
	}
	if x.ended != 0 {
		out.EndedAt = timestamppb.New(store.Time(x.ended))
	}
	if done := x.admitted + x.duplicates + x.failed; x.state == "running" && done > 0 && x.total > done {
		spent := now.Sub(store.Time(x.started))
		out.Eta = timestamppb.New(now.Add(time.Duration(float64(spent) * float64(x.total-done) / float64(done))))
	}
	return out
}
