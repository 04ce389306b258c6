package reconciler

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// Server is the reconciler's control surface.
type Server struct {
	controlv1.UnimplementedReconcilerServiceServer
	r *Reconciler
}

// Server returns the control surface.
func (r *Reconciler) Server() *Server { return &Server{r: r} }

// ReconcilerStatus tells how much of the trail is taken.
func (s *Server) ReconcilerStatus(context.Context, *controlv1.ReconcilerStatusRequest) (*controlv1.ReconcilerStatusResponse, error) {
	out := &controlv1.ReconcilerStatusResponse{Service: control.State(Name, s.r.deps.Version, s.r.deps.DB)}
	for _, n := range s.r.consumer.Lag() {
		out.Service.Lag += n
	}
	return out, nil
}

// StreamHeads returns the last fact taken of each stream asked for.
func (s *Server) StreamHeads(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
	return control.StreamHeads(ctx, s.r.deps.DB, r)
}

// Reconcile compares source, journal and books of an entity and a period.
func (s *Server) Reconcile(ctx context.Context, r *controlv1.ReconcileRequest) (*controlv1.ReconcileResponse, error) {
	entity, err := s.entity(ctx, r.GetEntity())
	if err != nil {
		return nil, err
	}
	if _, _, err := bounds(r.GetPeriod()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	run, report, err := s.r.reconcile(ctx, entity, r.GetPeriod())
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "the lists were not read whole, and nothing is inferred from half of one: %v", err)
	}
	out := answer(run, entity, r.GetPeriod(), report)
	out.EndedAt = timestamppb.New(s.r.deps.Now())
	return out, nil
}

// entity is the one that is asked about; "" is all of them, which a tenant has
// for itself only where it is the only one.
func (s *Server) entity(ctx context.Context, id string) (string, error) {
	scope, err := control.Scope(ctx, s.r.deps.Registry)
	if err != nil {
		return "", err
	}
	_, known := s.r.deps.Registry.Entity(id)
	theirs := scope.Entities == nil || slices.Contains(scope.Entities, id)
	switch {
	case known && theirs:
		return id, nil
	case id != "":
		return "", status.Errorf(codes.NotFound, "there is no fiscal entity %q", id)
	case scope.Entities == nil || len(scope.Entities) == len(s.r.deps.Registry.Entities):
		return "", nil
	case len(scope.Entities) == 1:
		return scope.Entities[0], nil
	}
	return "", status.Errorf(codes.InvalidArgument, "the tenant has several fiscal entities: name one of %s", strings.Join(scope.Entities, ", "))
}

// LastReport returns the newest report of an entity and a period.
func (s *Server) LastReport(ctx context.Context, r *controlv1.LastReportRequest) (*controlv1.ReconcileResponse, error) {
	entity, err := s.entity(ctx, r.GetEntity())
	if err != nil {
		return nil, err
	}
	out := &controlv1.ReconcileResponse{}
	err = s.r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		var text string
		var ended int64
		err := tx.QueryRow(`SELECT report, ended_at FROM run WHERE entity = $1 AND period = $2 AND state = 'done' ORDER BY ended_at DESC LIMIT 1`, entity, r.GetPeriod()).Scan(&text, &ended)
		if errors.Is(err, sql.ErrNoRows) {
			return status.Error(codes.NotFound, "nothing was reconciled yet for this entity and period: run tieout reconcile")
		}
		if err != nil {
			return err
		}
		if err := protojson.Unmarshal([]byte(text), out); err != nil {
			return err
		}
		out.EndedAt = timestamppb.New(store.Time(ended))
		return nil
	})
	return out, err
}

// answer is a report on the wire.
func answer(run, entity, period string, report *match.Report) *controlv1.ReconcileResponse {
	out := &controlv1.ReconcileResponse{Run: run, Entity: entity, Period: period}
	for _, row := range report.Rows {
		x := &controlv1.ReconcileRow{
			Kind: row.Kind, Currency: row.Currency, Source: side(row.Source), Journal: side(row.Journal), Books: side(row.Books), Unexplained: side(row.Unexplained),
		}
		for _, e := range row.Explained {
			x.Explained = append(x.Explained, &controlv1.Explained{Cause: e.Cause, Side: side(e.Side)})
		}
		out.Rows = append(out.Rows, x)
	}
	for _, b := range report.Breaks {
		out.Breaks = append(out.Breaks, &controlv1.Break{
			Id: b.ID, Kind: string(b.Kind), Cause: b.Cause, SourceRef: b.SourceRef, BooksRef: b.BooksRef, Amount: amount(b.Amount), State: b.State, Repair: b.Repair,
			Actor: b.Acceptance.Actor, Reason: b.Acceptance.Reason,
		})
	}
	return out
}

func side(s match.Side) *controlv1.Side {
	out := &controlv1.Side{Count: s.Count, Net: amount(s.Net)}
	if s.GrossKnown {
		out.Gross = amount(s.Gross)
	}
	return out
}

func amount(a money.Amount) *auditv1.Money {
	return &auditv1.Money{Minor: a.Minor, Currency: a.Currency}
}
