package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tieout.dev/services/internal/control"
)

const noTenant = "there is no tenant "

// tenantsOf are the tenants of the entities, in order.
func tenantsOf(entities []Entity) []string {
	var out []string
	for _, e := range entities {
		if e.Tenant != "" {
			out = append(out, e.Tenant)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// scope has the control plane asked about the tenant in the address alone. As
// there, it narrows what is listed and protects nothing.
func (c *Console) scope(ctx context.Context, r *http.Request) (context.Context, string, error) {
	tenant := r.URL.Query().Get("tenant")
	if tenant != "" && !slices.Contains(c.tenants, tenant) {
		return ctx, "", status.Errorf(codes.NotFound, noTenant+"%q; this installation has %s", tenant, strings.Join(c.tenants, ", "))
	}
	return control.ForTenant(ctx, tenant), tenant, nil
}

// of are the entities of a tenant; "" has all.
func (c *Console) of(tenant string) (out []string) {
	for _, e := range c.entities {
		if tenant == "" || e.Tenant == tenant {
			out = append(out, e.ID)
		}
	}
	return out
}

// within is an address that stays with the tenant; query are names and values.
func within(tenant, path string, query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	if tenant != "" {
		q.Set("tenant", tenant)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
