package sandbox

import (
	"fmt"
	"strings"
	"unicode/utf8"

	engine "tieout.dev/services/internal/sandbox"
)

// deletedMark is what the vendor appends to the name of a record made inactive.
const deletedMark = " (deleted)"

func nameFact(list, name string) string { return "unique/" + list + "/" + strings.ToLower(name) }

// claim takes a name in a list for an id; false if another has it.
func claim(tx *engine.Tx, list, name, id string) bool {
	owner := tx.Fact(nameFact(list, name))
	if owner != "" && owner != id {
		return false
	}
	tx.SetFact(nameFact(list, name), id)
	return true
}

func release(tx *engine.Tx, list, name, id string) {
	if tx.Fact(nameFact(list, name)) == id {
		tx.SetFact(nameFact(list, name), "")
	}
}

// rename moves the claim of a list record to the name it has now, marking it
// as deleted when it was made inactive and unmarking it when it comes back.
func (x *call) rename(list, field, id string, was, now fields) error {
	setDefault(now, "Active", true)
	name := text(now, field)
	if was != nil {
		switch old := flag(was, "Active"); {
		case old && !flag(now, "Active"):
			name = strings.TrimSuffix(name, deletedMark) + deletedMark
			for n := 2; x.taken(list, name, id); n++ {
				name = fmt.Sprintf("%s%s-%d", strings.TrimSuffix(text(now, field), deletedMark), deletedMark, n)
			}
		case !old && flag(now, "Active"):
			name, _, _ = strings.Cut(name, deletedMark)
		}
		release(x.tx, list, text(was, field), id)
	}
	now[field] = name
	if !claim(x.tx, list, name, id) {
		return duplicateName(list)
	}
	return nil
}

func (x *call) taken(list, name, id string) bool {
	owner := x.tx.Fact(nameFact(list, name))
	return owner != "" && owner != id
}

// within checks the length of a text in characters.
func within(f fields, name string, limit int) error {
	if n := utf8.RuneCountInString(text(f, name)); n > limit {
		return tooLong(name, limit, n)
	}
	return nil
}

// checkName judges what customers, vendors and employees share: one name
// space, names without colon, tab or newline.
func (x *call) checkName(id string, was, now fields) error {
	if text(now, "DisplayName") == "" {
		parts := []string{}
		for _, f := range []string{"Title", "GivenName", "MiddleName", "FamilyName", "Suffix"} {
			if s := text(now, f); s != "" {
				parts = append(parts, s)
			}
		}
		now["DisplayName"] = strings.Join(parts, " ")
		if len(parts) == 0 {
			now["DisplayName"] = text(now, "CompanyName")
		}
	}
	name := strings.TrimSpace(text(now, "DisplayName"))
	now["DisplayName"] = name
	switch {
	case name == "":
		return missing("DisplayName")
	case strings.ContainsAny(name, ":\t\n"):
		return invalidString("DisplayName")
	}
	if err := within(now, "DisplayName", 500); err != nil {
		return err
	}
	if err := x.rename("customer, vendor or employee", "DisplayName", id, was, now); err != nil {
		return err
	}
	setDefault(now, "PrintOnCheckName", now["DisplayName"])
	now["FullyQualifiedName"] = now["DisplayName"]
	return nil
}

// checkCustomer adds what only a customer has.
func (x *call) checkCustomer(id string, was, now fields) error {
	if err := x.customerCurrency(id, was, now); err != nil {
		return err
	}
	if err := x.checkName(id, was, now); err != nil {
		return err
	}
	for name, limit := range map[string]int{"Notes": 2000, "CompanyName": 100, "GivenName": 100, "FamilyName": 100} {
		if err := within(now, name, limit); err != nil {
			return err
		}
	}
	if parent := ref(now, "ParentRef"); parent != "" {
		o := x.tx.Get("customer", parent)
		if o == nil {
			return badRef("Names", "ParentRef", parent)
		}
		now["FullyQualifiedName"] = text(x.tx.Data(o), "FullyQualifiedName") + ":" + text(now, "DisplayName")
	}
	if term := ref(now, "SalesTermRef"); term != "" && x.tx.Get("term", term) == nil {
		return badRef("Terms", "SalesTermRef", term)
	}
	if t := text(now, "PrimaryTaxIdentifier"); was != nil && t == masked(text(was, "PrimaryTaxIdentifier")) {
		setDefault(now, "PrimaryTaxIdentifier", t)
		now["PrimaryTaxIdentifier"] = was["PrimaryTaxIdentifier"] // a client that sent back what it read changes nothing
	}
	setDefault(now, "Taxable", true)
	setDefault(now, "Job", ref(now, "ParentRef") != "" && flag(now, "Job"))
	setDefault(now, "BillWithParent", false)
	setDefault(now, "PreferredDeliveryMethod", "Print")
	delete(now, "Balance")
	delete(now, "BalanceWithJobs")
	return nil
}

// customerCurrency keeps the one currency a customer has.
func (x *call) customerCurrency(id string, was, now fields) error {
	code := ref(now, "CurrencyRef")
	if code == "" {
		code = x.preset.Currency
	}
	name, ok := x.preset.Currencies[code]
	switch {
	case !ok:
		return badRef("Currency", "CurrencyRef", code)
	case code != x.preset.Currency && !x.c.settings.Multicurrency:
		return business("Multicurrency is not enabled for this company: %s", code)
	case was != nil && code != ref(was, "CurrencyRef") && x.tx.Fact(usedFact(id)) != "":
		return business("The currency of a customer with transactions cannot be changed")
	}
	now["CurrencyRef"] = refTo(code, name)
	return nil
}

// usedFact is set once a customer has a transaction.
func usedFact(customer string) string { return "used/customer/" + customer }

func balanceFact(customer string) string { return "balance/customer/" + customer }

// masked hides a tax number but for its last five characters.
func masked(s string) string {
	if len(s) <= 5 {
		return s
	}
	return strings.Repeat("X", len(s)-5) + s[len(s)-5:]
}

// showCustomer adds what is computed and hides what the vendor hides.
func (x *call) showCustomer(id string, data fields) fields {
	out := make(fields, len(data)+2)
	for k, v := range data {
		out[k] = v
	}
	balance := fact(x.tx, balanceFact(id))
	out["Balance"], out["BalanceWithJobs"] = num(balance), num(balance)
	if t := text(data, "PrimaryTaxIdentifier"); t != "" {
		out["PrimaryTaxIdentifier"] = masked(t)
	}
	return out
}
