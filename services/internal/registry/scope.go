package registry

import "slices"

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
