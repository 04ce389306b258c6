package registry

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCheckNamesEveryContradiction(t *testing.T) {
	r := &Registry{
		Entities:    []Entity{{ID: "ie", Zone: "Mars/Olympus"}},
		Connections: []Connection{{ID: "crm", Account: "hubspot/1"}},
		Routes: []Route{
			{ID: "a", Connection: "crm", Type: "deal", Target: "quickbooks/1", Entity: "ie"},
			{ID: "b", Connection: "crm", Type: "deal", Target: "quickbooks/1", Entity: "us"},
			{ID: "c", Connection: "erp", Type: "deal", Target: "hubspot/1", Entity: "ie"},
		},
	}
	err := r.Check()
	if err == nil {
		t.Fatal("a contradictory registry passed")
	}
	for _, want := range []string{"route b: another route", `no connection writes to "quickbooks/1"`, `entity "us"`, `connection "erp"`, "Mars/Olympus"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
}

func TestLookups(t *testing.T) {
	r := &Registry{
		Entities:    []Entity{{ID: "ie", Zone: "Europe/Dublin"}},
		Connections: []Connection{{ID: "crm", Account: "hubspot/1"}, {ID: "books", Account: "quickbooks/1"}},
		Routes:      []Route{{ID: "won", Connection: "crm", Type: "deal", Target: "quickbooks/1", Entity: "ie"}},
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	if got := r.RoutesOf("crm", "deal"); len(got) != 1 || got[0].ID != "won" || len(r.RoutesOf("crm", "company")) != 0 {
		t.Error("routes of a type are wrong")
	}
	if c, ok := r.ByAccount("quickbooks/1"); !ok || c.ID != "books" {
		t.Error("the connection of an account is not found")
	}
	if _, ok := r.Route("lost"); ok {
		t.Error("a route that is not there was found")
	}
}

func TestScopeIsWhatATenantHas(t *testing.T) {
	r := &Registry{
		Entities:    []Entity{{ID: "ie", Tenant: "acme"}, {ID: "us", Tenant: "other"}},
		Connections: []Connection{{ID: "crm", Tenant: "acme", Account: "hubspot/1"}, {ID: "books", Tenant: "other", Account: "quickbooks/1"}},
		Routes:      []Route{{ID: "deals", Entity: "ie"}, {ID: "more", Entity: "us"}},
	}
	s, ok := r.Scope("acme")
	want := Scope{Tenants: []string{"acme"}, Connections: []string{"crm"}, Accounts: []string{"hubspot/1"}, Entities: []string{"ie"}, Routes: []string{"deals"}}
	if !ok || !reflect.DeepEqual(s, want) {
		t.Errorf("acme has %+v, want %+v", s, want)
	}
	if s, ok := r.Scope(""); !ok || !reflect.DeepEqual(s, Scope{}) {
		t.Errorf("the installation has %+v", s)
	}
	if _, ok := r.Scope("nobody"); ok {
		t.Error("nobody has something")
	}
	if got := r.Tenants(); !slices.Equal(got, []string{"acme", "other"}) {
		t.Errorf("tenants %v", got)
	}
}
