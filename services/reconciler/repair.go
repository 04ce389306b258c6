package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/reconciler/match"
)

// What may become of an open break: repaired through ingest, or accepted by a
// person with a reason. Seen equal in a later run it is repaired.
const (
	repairing = "repairing"
	repaired  = "repaired"
	accepted  = "accepted"
)

// rechecked are the causes that a fresh reading of the source record repairs
// without a person's decision.
var rechecked = []string{match.NeverPosted, match.SourceChanged, match.NotWanted, match.RejectedNow}

// found is a stored break.
type found struct{ id, entity, target, cause, ref, state, difference string }

// Repair starts repairs, or closes breaks that a person accepts.
func (s *Server) Repair(ctx context.Context, r *controlv1.RepairRequest) (*controlv1.RepairResponse, error) {
	switch {
	case r.GetAction() != "recheck" && r.GetAction() != "accept":
		return nil, status.Errorf(codes.InvalidArgument, "action %q is not one of recheck, accept", r.GetAction())
	case r.GetAction() == "accept" && (strings.TrimSpace(r.GetReason()) == "" || r.GetAll()):
		return nil, status.Error(codes.InvalidArgument, "a break is accepted by its id and with a reason: it goes into the audit trail")
	case !r.GetAll() && len(r.GetIds()) == 0:
		return nil, status.Error(codes.InvalidArgument, "name the breaks, or say all")
	}
	scope, err := control.Scope(ctx, s.r.deps.Registry)
	if err != nil {
		return nil, err
	}
	breaks, err := s.r.breaks(ctx, r.GetIds(), scope)
	if err != nil {
		return nil, err
	}
	out := &controlv1.RepairResponse{}
	for _, b := range breaks {
		if r.GetAction() == "recheck" && !slices.Contains(rechecked, b.cause) {
			if !r.GetAll() {
				return nil, status.Errorf(codes.FailedPrecondition, "break %s (%s) takes a person's decision: settle it in the books or at the source, or accept it", b.id, b.cause)
			}
			continue
		}
		if r.GetAction() == "accept" && b.difference == "" {
			return nil, status.Errorf(codes.FailedPrecondition, "break %s was found by an earlier version, which did not keep what differs: run tieout reconcile, then accept it", b.id)
		}
		out.Ids = append(out.Ids, b.id)
		if r.GetDryRun() {
			continue
		}
		if err := s.r.repair(ctx, b, r.GetAction(), r.GetActor(), r.GetReason()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// breaks reads open ones: those named, or all.
func (r *Reconciler) breaks(ctx context.Context, ids []string, scope registry.Scope) ([]found, error) {
	var out []found
	theirs, args := store.Under("entity", scope.Entities, nil)
	err := r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, entity, target, cause, source_ref, state, difference FROM breaks WHERE state IN ('open', 'repairing') AND `+theirs+` ORDER BY seen_at, id`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b found
			if err := rows.Scan(&b.id, &b.entity, &b.target, &b.cause, &b.ref, &b.state, &b.difference); err != nil {
				return err
			}
			out = append(out, b)
		}
		return rows.Err()
	})
	if err != nil || len(ids) == 0 {
		return out, err
	}
	return named(out, ids)
}

// named are the breaks that a person names, by the beginning of their ids at least:
// a table shows no more.
func named(open []found, ids []string) (out []found, err error) {
	for _, id := range ids {
		var of []found
		for _, b := range open {
			if id != "" && strings.HasPrefix(b.id, id) {
				of = append(of, b)
			}
		}
		switch {
		case len(of) == 0:
			return nil, status.Errorf(codes.NotFound, "no break %s is open; tieout reconcile shows those that are", id)
		case len(of) > 1:
			return nil, status.Errorf(codes.InvalidArgument, "%s is the beginning of %d breaks: say more of it", id, len(of))
		case !slices.ContainsFunc(out, func(b found) bool { return b.id == of[0].id }):
			out = append(out, of[0])
		}
	}
	return out, nil
}

// repair carries one out. It goes through ingest like every change, so dying in
// the middle is harmless: the same record read twice is one revision.
func (r *Reconciler) repair(ctx context.Context, b found, action, actor, reason string) error {
	state := accepted
	if action == "recheck" {
		state = repairing
		if err := r.deps.Recheck(ctx, b.ref, b.target); err != nil {
			return fmt.Errorf("recheck %s: %w", b.ref, err)
		}
		crash.At(crash.ReconcilerRechecked)
	}
	err := r.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if err := b.move(tx, state, actor, reason); err != nil {
			return err
		}
		e, _ := r.deps.Registry.Entity(b.entity)
		return trail.Append(tx, trail.Fact{
			Stream: Name + "/" + b.entity + "/" + b.entity, Type: "break." + state, Actor: actor, Tenant: e.Tenant, Entity: b.entity, Subject: b.ref, Outcome: state, Detail: "break " + b.id + " (" + b.cause + ") " + reason,
		})
	})
	crash.At(crash.ReconcilerRepairStored)
	r.relay.Wake()
	return err
}

// move changes the state of a break. What is accepted is the difference, so it
// is accepted in every period that it was found in.
func (b found) move(tx *store.Tx, state, actor, reason string) error {
	if state != accepted {
		_, err := tx.Exec(`UPDATE breaks SET state = $1, actor = $2, reason = $3 WHERE id = $4`, state, actor, reason, b.id)
		return err
	}
	if _, err := tx.Exec(`INSERT INTO accepted (difference, actor, reason, at) VALUES ($1, $2, $3, $4) ON CONFLICT (difference) DO UPDATE SET actor = $2, reason = $3, at = $4`,
		b.difference, actor, reason, tx.Now()); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE breaks SET state = $1, actor = $2, reason = $3 WHERE difference = $4 AND state IN ('open', 'repairing')`, accepted, actor, reason, b.difference)
	return err
}
