package control

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tieout.dev/services/internal/registry"
)

const tenantHeader = "tieout-tenant"

// ForTenant asks, in every call under the context, about one tenant only: what is
// another's is not there, in lists, by its id and for actions. The caller names
// the tenant himself, so this keeps him from mistakes; who may name which is the
// token's matter.
func ForTenant(ctx context.Context, tenant string) context.Context {
	if tenant == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, tenantHeader, tenant)
}

// Scope is what a call asks about.
func Scope(ctx context.Context, r *registry.Registry) (registry.Scope, error) {
	tenant := tenantOf(ctx)
	s, known := r.Scope(tenant)
	if !known {
		return s, status.Errorf(codes.NotFound, "there is no tenant %q; this installation has %s", tenant, strings.Join(r.Tenants(), ", "))
	}
	return s, nil
}
