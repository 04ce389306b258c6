package registry

import (
	"slices"
	"strings"
)

// Scope is what a tenant has of an installation; nil lists stand for all of it.
type Scope struct {
	Tenants, Connections, Accounts, Entities, Routes []string
}

// Scope returns what a tenant has; "" is the whole installation. It is false
// where nothing is any tenant's of that name.
func (r *Registry) Scope(tenant string) (Scope, bool) {
	if tenant == "" {
		return Scope{}, true
	}
	s := Scope{Tenants: []string{tenant}, Connections: []string{}, Accounts: []string{}, Entities: []string{}, Routes: []string{}}
	for _, c := range r.Connections {
		if c.Tenant == tenant {
			s.Connections, s.Accounts = append(s.Connections, c.ID), append(s.Accounts, c.Account)
		}
	}
	for _, e := range r.Entities {
		if e.Tenant == tenant {
			s.Entities = append(s.Entities, e.ID)
		}
	}
	for _, x := range r.Routes {
		if slices.Contains(s.Entities, x.Entity) {
			s.Routes = append(s.Routes, x.ID)
		}
	}
	return s, len(s.Connections)+len(s.Entities) > 0
}

// Under reports whether a ref is of one of the tenant's accounts.
func (s Scope) Under(ref string) bool {
	return s.Accounts == nil || slices.ContainsFunc(s.Accounts, func(account string) bool { return ref == account || strings.HasPrefix(ref, account+"/") })
}

// Has reports whether what is of a tenant, or of an entity, is this tenant's.
func (s Scope) Has(tenant, entity string) bool {
	return s.Tenants == nil || slices.Contains(s.Tenants, tenant) || slices.Contains(s.Entities, entity)
}

// Tenants are those that have a connection or an entity, in order.
func (r *Registry) Tenants() []string {
	var out []string
	for _, c := range r.Connections {
		out = append(out, c.Tenant)
	}
	for _, e := range r.Entities {
		out = append(out, e.Tenant)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
