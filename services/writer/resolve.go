package writer

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

// ResolveRef completes a short ref, where one record that is known here is
// meant. What is no short form is taken as it is.
func (s *Server) ResolveRef(ctx context.Context, r *controlv1.ResolveRefRequest) (*controlv1.ResolveRefResponse, error) {
	scope, err := control.Scope(ctx, s.w.deps.Registry)
	if err != nil {
		return nil, err
	}
	var known []string
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = s.known(tx, r.GetRef(), scope)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(known) == 1:
		return &controlv1.ResolveRefResponse{Ref: known[0]}, nil
	case len(known) > 1:
		return nil, status.Errorf(codes.InvalidArgument, "%s is not unique; it may mean %s", r.GetRef(), strings.Join(known, ", "))
	case strings.Count(r.GetRef(), "/") >= 3:
		return &controlv1.ResolveRefResponse{Ref: r.GetRef()}, nil
	}
	return nil, status.Errorf(codes.NotFound, "no record %s was ever queued or linked; say it whole, as system/account/type/id, if it is new", r.GetRef())
}

// known are the records and lanes here that a ref may mean: the one of just this
// name, or those of this type and id in every account.
func (s *Server) known(tx *store.Tx, ref string, scope registry.Scope) ([]string, error) {
	candidates := []string{ref}
	for _, c := range s.w.deps.Registry.Connections {
		theirs := scope.Accounts == nil || slices.Contains(scope.Accounts, c.Account)
		if whole := completed(c.Account, ref); theirs && !slices.Contains(candidates, whole) {
			candidates = append(candidates, whole)
		}
	}
	var out []string
	for _, candidate := range candidates {
		var is bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM slot WHERE target IN (SELECT target FROM target) AND subject = $1)
			OR EXISTS (SELECT 1 FROM lane WHERE target IN (SELECT target FROM target) AND lane = $1)
			OR EXISTS (SELECT 1 FROM link WHERE source_ref = $1) OR EXISTS (SELECT 1 FROM link WHERE other_ref = $1)`, candidate).Scan(&is); err != nil {
			return nil, err
		}
		if is && candidate == ref {
			return []string{ref}, nil
		}
		if is {
			out = append(out, candidate)
		}
	}
	return out, nil
}

// completed is a short ref, type/id or system/type/id, as one of an account's.
func completed(account, ref string) string {
	system, _, _ := strings.Cut(account, "/")
	switch parts := strings.Split(ref, "/"); {
	case len(parts) == 2:
		return account + "/" + ref
	case len(parts) == 3 && parts[0] == system:
		return account + "/" + parts[1] + "/" + parts[2]
	}
	return ref
}
