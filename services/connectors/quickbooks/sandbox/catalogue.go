package sandbox

import (
	_ "embed"
	"fmt"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

//go:embed fields.txt
var fieldList string

// kind is one entity: its fields and what may be done to it.
type kind struct {
	name     string // "Invoice"
	sequence string // entities that share a number space share it
	fields   map[string]bool
	filters  map[string]bool

	list bool // has Active; a query shows active ones unless it asks

	// check completes and judges what is to be written; was is nil for a new
	// one. nil: read only.
	check  func(x *call, id string, was, now fields) error
	void   func(x *call, id string, was fields) (fields, error)
	remove func(x *call, id string, was fields) error
	show   func(x *call, id string, data fields) fields
}

// typ is the object type in the world: the path segment.
func (k *kind) typ() string { return strings.ToLower(k.name) }

// readFields parses the embedded list into fields and filters by entity.
func readFields(src string) (all, filters map[string]map[string]bool) {
	all, filters = map[string]map[string]bool{}, map[string]map[string]bool{}
	var name string
	for l := range strings.Lines(src) {
		if strings.HasPrefix(l, "#") {
			continue
		}
		if head, ok := strings.CutSuffix(strings.TrimSpace(l), ":"); ok {
			name = head
			all[name], filters[name] = map[string]bool{}, map[string]bool{}
			continue
		}
		for _, f := range strings.Fields(l) {
			f, filter := strings.CutSuffix(f, "*")
			all[name][f] = true
			if filter {
				filters[name][f] = true
			}
		}
	}
	return all, filters
}

// kinds are the entities of a company by object type.
func kinds() (map[string]*kind, map[string]map[string]bool, error) {
	list := []*kind{
		{name: "Customer", sequence: "name", list: true, check: (*call).checkCustomer, show: (*call).showCustomer},
		{name: "Vendor", sequence: "name", list: true, check: (*call).checkName},
		{name: "Employee", sequence: "name", list: true, check: (*call).checkName},
		{name: "Item", sequence: "item", list: true, check: (*call).checkItem},
		{name: "Invoice", sequence: "txn", check: (*call).checkInvoice, void: (*call).voidInvoice, remove: (*call).removeInvoice},
		{name: "CreditMemo", sequence: "txn", check: (*call).checkCreditMemo, remove: (*call).removeCreditMemo},
		{name: "Payment", sequence: "txn", check: (*call).checkPayment, void: (*call).voidPayment, remove: (*call).removePayment},
		{name: "Account", sequence: "account", list: true, check: (*call).checkAccount},
		{name: "Term", sequence: "term", list: true, check: (*call).checkTerm},
		{name: "TaxCode", list: true}, {name: "TaxRate", list: true},
		{name: "CompanyInfo"}, {name: "Preferences"},
	}
	all, filters := readFields(fieldList)
	out := map[string]*kind{}
	for _, k := range list {
		k.fields, k.filters = all[k.name], filters[k.name]
		if k.fields == nil {
			return nil, nil, fmt.Errorf("fields.txt does not know %s", k.name)
		}
		out[k.typ()] = k
	}
	return out, all, nil
}

// known refuses fields the vendor's schema does not have.
func known(f fields, names map[string]bool) error {
	for name := range f {
		if !names[name] {
			return invalidProperty(name)
		}
	}
	return nil
}

// data is what an entity says, as a client reads it.
func (x *call) data(k *kind, o *engine.Object) fields {
	return x.present(k, o.ID, x.tx.Data(o))
}

func (x *call) present(k *kind, id string, data fields) fields {
	if k.show == nil {
		return data
	}
	return k.show(x, id, data)
}
