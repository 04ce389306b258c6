package quickbooks

import (
	"context"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

// Find searches by what the books can filter: names of customers and items, the
// customer of a document, the time of creation. Neither memos nor notes can be
// filtered, so marks are compared here.
func (t *target) Find(ctx context.Context, p connector.Probe) ([]connector.Posting, error) {
	switch {
	case entityOf(p.Kind) == "":
		return nil, fault.New(fault.Rejected, "these books have no documents of kind %s", p.Kind)
	case p.Kind.Financial() || p.Email+p.Name+p.SKU == "":
		return t.findMark(ctx, p)
	case p.Kind == document.CustomerKind:
		return t.findCustomer(ctx, p)
	case p.SKU != "":
		return t.collect(ctx, p.Kind, "where Sku = "+quote(p.SKU)+" and "+alsoInactive, nil)
	}
	name := nameFor(p.Name, itemNameMax)
	return t.collect(ctx, p.Kind, named("Name", name), func(x *connector.Posting) bool { return itemKey(x.Name) == itemKey(name) })
}

// findMark reads what was made since a moment, and compares the marks here.
func (t *target) findMark(ctx context.Context, p connector.Probe) ([]connector.Posting, error) {
	where := "where MetaData.CreateTime >= " + quote(p.Since.UTC().Format(time.RFC3339))
	if p.Since.IsZero() {
		where = "where MetaData.CreateTime >= '2000-01-01T00:00:00Z'"
	}
	switch {
	case !p.Kind.Financial():
		where += " and " + alsoInactive
	case p.Customer.ID != "":
		where += " and CustomerRef = " + quote(p.Customer.ID)
	}
	return t.collect(ctx, p.Kind, where, func(x *connector.Posting) bool { return x.Mark != "" && x.Mark == p.Mark })
}

// alsoInactive: an unqualified query leaves out what is out of use.
const alsoInactive = "Active in (true, false)"

// findCustomer searches by e-mail or by name. Vendors and employees share the
// name space: a wide search finds them too, as records of another kind.
func (t *target) findCustomer(ctx context.Context, p connector.Probe) ([]connector.Posting, error) {
	if p.Email != "" {
		where := "where PrimaryEmailAddr like " + quote(p.Email) + " and " + alsoInactive
		return t.collect(ctx, p.Kind, where, func(x *connector.Posting) bool { return emailKey(x.Email) == emailKey(p.Email) })
	}
	name := nameFor(p.Name, customerNameMax)
	where := named("DisplayName", name)
	out, err := t.collect(ctx, p.Kind, where, func(x *connector.Posting) bool { return nameKey(x.Name) == nameKey(name) })
	if err != nil || len(out) > 0 || !p.Wide {
		return out, err
	}
	for _, entity := range []string{"Vendor", "Employee"} {
		page, err := t.page(ctx, entity, where, 1)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if nameKey(page[i].DisplayName) != nameKey(name) {
				continue
			}
			out = append(out, connector.Posting{
				Ref:  event.Ref{System: System, Account: t.realm, Type: strings.ToLower(entity), ID: page[i].ID},
				Kind: document.Kind(strings.ToUpper(entity)), Name: page[i].DisplayName, Active: page[i].Active == nil || *page[i].Active,
			})
		}
	}
	return out, nil
}

// named asks for more than a name: the books hold "ACME, Ltd" and "Acme Ltd" for
// two names, people mean one, and whether "=" minds the case is not published.
// What is meant is told apart here. What stands behind the last word is not asked
// for, since that would be every name that begins so.
func named(field, name string) string {
	words := strings.FieldsFunc(name, between)
	pattern := strings.Join(words, "%")
	if len(words) == 0 {
		return "where " + field + " = " + quote(name) + " and " + alsoInactive
	}
	if !strings.HasPrefix(name, words[0]) {
		pattern = "%" + pattern
	}
	if !strings.HasSuffix(name, words[len(words)-1]) {
		pattern += "%"
	}
	return "where " + field + " like " + quote(pattern) + " and " + alsoInactive
}

// between is what stands between the words of a name. A sign such as + is no
// punctuation: "A+" is not "A".
func between(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsControl(r) || unicode.IsMark(r)
}

// nameKey is equal for names of customers that differ in case, punctuation and
// spaces only. The legal form counts: "Acme GmbH" is not "Acme AG".
func nameKey(name string) string {
	folded := strings.ToLower(norm.NFKC.String(name))
	if key := strings.Join(strings.FieldsFunc(folded, between), ""); key != "" {
		return key
	}
	return strings.TrimSpace(folded)
}

// itemKey minds punctuation: "A-1" and "A1" are two products.
func itemKey(name string) string {
	return strings.Join(strings.Fields(strings.ToLower(norm.NFKC.String(name))), " ")
}

func emailKey(address string) string { return strings.ToLower(strings.TrimSpace(address)) }
