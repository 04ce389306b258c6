package sandbox

import (
	"math/big"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// fact is a number the sandbox keeps beside the objects.
func fact(tx *engine.Tx, key string) *big.Rat {
	r, ok := new(big.Rat).SetString(tx.Fact(key))
	if !ok {
		return new(big.Rat)
	}
	return r
}

func setFact(tx *engine.Tx, key string, r *big.Rat) { tx.SetFact(key, num(r).String()) }

// checkItem judges a product or service.
func (x *call) checkItem(id string, was, now fields) error {
	now["Name"] = strings.TrimSpace(text(now, "Name"))
	switch {
	case text(now, "Name") == "":
		return missing("Name")
	case strings.ContainsAny(text(now, "Name"), ":\t\n"):
		return invalidString("Name")
	}
	for name, limit := range map[string]int{"Name": 100, "Sku": 100, "Description": 4000} {
		if err := within(now, name, limit); err != nil {
			return err
		}
	}
	setDefault(now, "Type", "Service")
	switch text(now, "Type") {
	case "Service", "NonInventory":
	case "Inventory", "Group", "Category":
		return business("The sandbox keeps no %s items", text(now, "Type"))
	default:
		return badEnum("Type", text(now, "Type"))
	}
	if err := x.accountRef(now, "IncomeAccountRef", true); err != nil {
		return err
	}
	if err := x.accountRef(now, "ExpenseAccountRef", false); err != nil {
		return err
	}
	if _, _, err := decimal(now, "UnitPrice"); err != nil {
		return err
	}
	if err := x.rename("item", "Name", id, was, now); err != nil {
		return err
	}
	now["FullyQualifiedName"] = now["Name"]
	setDefault(now, "UnitPrice", num(new(big.Rat)))
	setDefault(now, "PurchaseCost", num(new(big.Rat)))
	setDefault(now, "Taxable", false)
	setDefault(now, "TrackQtyOnHand", false)
	return nil
}

// accountRef resolves a reference to an account and names it.
func (x *call) accountRef(now fields, field string, required bool) error {
	id := ref(now, field)
	if id == "" {
		if required {
			return missing(field)
		}
		return nil
	}
	o := x.tx.Get("account", id)
	if o == nil || o.Deleted {
		return badRef("Accounts", field, id)
	}
	data := x.tx.Data(o)
	if !flag(data, "Active") {
		return inactive()
	}
	if field == "IncomeAccountRef" && text(data, "AccountType") != "Income" {
		return business("An income account is needed: %s is of type %s", text(data, "Name"), text(data, "AccountType"))
	}
	now[field] = refTo(id, text(data, "Name"))
	return nil
}

// classification says on which side of the books an account type stands; ""
// for a type the vendor does not have.
func classification(accountType string) string {
	switch accountType {
	case "Bank", "Accounts Receivable", "Other Current Asset", "Fixed Asset", "Other Asset":
		return "Asset"
	case "Accounts Payable", "Credit Card", "Other Current Liability", "Long Term Liability":
		return "Liability"
	case "Equity":
		return "Equity"
	case "Income", "Other Income":
		return "Revenue"
	case "Cost of Goods Sold", "Expense", "Other Expense":
		return "Expense"
	}
	return ""
}

// checkAccount judges an account.
func (x *call) checkAccount(id string, was, now fields) error {
	if text(now, "Name") == "" {
		return missing("Name")
	}
	if strings.ContainsAny(text(now, "Name"), ":\"\t\n") {
		return invalidString("Name")
	}
	if text(now, "AccountType") == "" {
		return missing("AccountType")
	}
	class := classification(text(now, "AccountType"))
	if class == "" {
		return badEnum("AccountType", text(now, "AccountType"))
	}
	if err := within(now, "Name", 100); err != nil {
		return err
	}
	if err := x.rename("account", "Name", id, was, now); err != nil {
		return err
	}
	code := ref(now, "CurrencyRef")
	if code == "" {
		code = x.preset.Currency
	}
	now["Classification"], now["FullyQualifiedName"] = class, now["Name"]
	now["CurrencyRef"] = refTo(code, x.preset.Currencies[code])
	setDefault(now, "SubAccount", false)
	return nil
}

// checkTerm judges payment terms.
func (x *call) checkTerm(id string, was, now fields) error {
	if text(now, "Name") == "" {
		return missing("Name")
	}
	if _, sent, err := decimal(now, "DueDays"); err != nil || !sent {
		return missing("DueDays")
	}
	if err := within(now, "Name", 31); err != nil {
		return err
	}
	now["Type"] = "STANDARD"
	return x.rename("term", "Name", id, was, now)
}
