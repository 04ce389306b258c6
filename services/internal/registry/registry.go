// Package registry holds what an installation is made of: fiscal entities,
// connections and routes. Services keep copies and never change them.
package registry

import (
	"errors"
	"fmt"
	"time"
)

// Registry is everything that is configured.
type Registry struct {
	Entities    []Entity
	Connections []Connection
	Routes      []Route
}

// Entity is the legal entity whose books are meant.
type Entity struct {
	ID       string
	Tenant   string
	Currency string // functional, ISO 4217
	Zone     string // IANA; document dates are dates there
	Country  string // ISO 3166-1 alpha-2, assumed for a customer without one
	NetDays  int    // default payment terms
	// Currencies are those that customers are invoiced in besides Currency.
	Currencies []string
	// Bindings bind a symbol to a name in the books: "account:sales" -> "Sales".
	Bindings map[string]string
}

// Connection is one configured, credentialed instance of a connector.
type Connection struct {
	ID        string
	Tenant    string
	System    string
	Account   string // system/account
	BaseURL   string
	App       string // name in /webhooks/APP
	PublicURL string // what the vendor signs
	Settings  map[string]string
	PollEvery time.Duration
}

// Route leads an object type of a source connection to a target.
type Route struct {
	ID         string
	Connection string // source connection
	Type       string // object type at the source; INVOICE for a write-back
	Target     string // account that is written to
	Entity     string
	Mapping    string
	// WriteBack: its events are postings, not records.
	WriteBack bool
	// CutOff: a record that qualified before it is matched and linked, never
	// created; zero means the moment when the route was first run.
	CutOff time.Time
	// UpdateOnly: a record without a document in the books stays without one.
	UpdateOnly bool
	// Unmatched is what becomes of a record that matches nothing in the books:
	// "create", which is the default, or "park".
	Unmatched string
}

// Entity returns an entity by id.
func (r *Registry) Entity(id string) (Entity, bool) {
	for _, e := range r.Entities {
		if e.ID == id {
			return e, true
		}
	}
	return Entity{}, false
}

// Connection returns a connection by id.
func (r *Registry) Connection(id string) (Connection, bool) {
	for _, c := range r.Connections {
		if c.ID == id {
			return c, true
		}
	}
	return Connection{}, false
}

// ByAccount returns the connection of an account.
func (r *Registry) ByAccount(account string) (Connection, bool) {
	for _, c := range r.Connections {
		if c.Account == account {
			return c, true
		}
	}
	return Connection{}, false
}

// Route returns a route by id.
func (r *Registry) Route(id string) (Route, bool) {
	for _, x := range r.Routes {
		if x.ID == id {
			return x, true
		}
	}
	return Route{}, false
}

// RoutesOf returns the routes of a source connection's object type.
func (r *Registry) RoutesOf(connection, typ string) []Route {
	var out []Route
	for _, x := range r.Routes {
		if x.Connection == connection && x.Type == typ {
			out = append(out, x)
		}
	}
	return out
}

// Check reports everything that contradicts itself, all at once.
func (r *Registry) Check() error {
	var errs []error
	seen := map[string]bool{}
	for _, x := range r.Routes {
		key := x.Connection + "|" + x.Type + "|" + x.Target
		if seen[key] {
			errs = append(errs, fmt.Errorf("route %s: another route leads from %s/%s to %s already", x.ID, x.Connection, x.Type, x.Target))
		}
		seen[key] = true
		if x.Unmatched != "" && x.Unmatched != "create" && x.Unmatched != "park" {
			errs = append(errs, fmt.Errorf("route %s: unmatched is %q; write create or park", x.ID, x.Unmatched))
		}
		if _, ok := r.Connection(x.Connection); !ok {
			errs = append(errs, fmt.Errorf("route %s: connection %q is not configured", x.ID, x.Connection))
		}
		if _, ok := r.ByAccount(x.Target); !ok {
			errs = append(errs, fmt.Errorf("route %s: no connection writes to %q", x.ID, x.Target))
		}
		if _, ok := r.Entity(x.Entity); !ok {
			errs = append(errs, fmt.Errorf("route %s: entity %q is not configured", x.ID, x.Entity))
		}
	}
	for _, e := range r.Entities {
		if _, err := time.LoadLocation(e.Zone); err != nil || e.Zone == "" {
			errs = append(errs, fmt.Errorf("entity %s: zone %q is not an IANA time zone", e.ID, e.Zone))
		}
	}
	return errors.Join(errs...)
}
