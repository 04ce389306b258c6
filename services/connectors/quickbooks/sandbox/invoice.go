package sandbox

import (
	"math/big"
	"strconv"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// paidFact is how much of an invoice payments have settled, or of a credit
// memo they have used.
func paidFact(txn string) string { return "paid/" + txn }

// checkInvoice judges an invoice and computes all the books compute.
func (x *call) checkInvoice(id string, was, now fields) error {
	return x.checkForm(invoiceForm, id, was, now)
}

// checkForm judges an invoice or a credit memo, which are built alike.
func (x *call) checkForm(f form, id string, was, now fields) error {
	if err := x.checkDates(was, now); err != nil {
		return err
	}
	customer, err := x.checkParty(now)
	if err != nil {
		return err
	}
	if err := x.checkCurrency(customer, now); err != nil {
		return err
	}
	if err := within(now, "PrivateNote", 4000); err != nil {
		return err
	}
	if f == invoiceForm {
		if err := x.checkTerms(customer, now); err != nil {
			return err
		}
	}
	if err := x.checkCustomFields(now); err != nil {
		return err
	}
	lines, err := x.checkLines(was, now)
	if err != nil {
		return err
	}
	if err := x.checkNumber(f, id, was, now); err != nil {
		return err
	}
	return x.total(f, id, was, now, lines)
}

// checkDates fills in and judges the dates; neither the old nor the new one
// may be in a closed period.
func (x *call) checkDates(was, now fields) error {
	setDefault(now, "TxnDate", x.tx.Now().Format(time.DateOnly))
	for _, field := range []string{"TxnDate", "DueDate"} {
		if s := text(now, field); s != "" && !isDate(s) {
			return invalidProperty(field)
		}
	}
	if was != nil && x.closed(text(was, "TxnDate")) || x.closed(text(now, "TxnDate")) {
		return periodClosed()
	}
	return nil
}

func (x *call) closed(date string) bool {
	return x.c.settings.ClosingDate != "" && date <= x.c.settings.ClosingDate
}

// checkParty resolves the customer of a transaction.
func (x *call) checkParty(now fields) (fields, error) {
	id := ref(now, "CustomerRef")
	if id == "" {
		return nil, missing("CustomerRef")
	}
	o := x.tx.Get("customer", id)
	if o == nil {
		return nil, badRef("Names", "CustomerRef", id)
	}
	customer := x.tx.Data(o)
	if o.Deleted || !flag(customer, "Active") {
		return nil, inactive()
	}
	now["CustomerRef"] = refTo(id, text(customer, "DisplayName"))
	x.tx.SetFact(usedFact(id), "yes")
	return customer, nil
}

// checkCurrency holds a transaction to its customer's currency.
func (x *call) checkCurrency(customer, now fields) error {
	own := ref(customer, "CurrencyRef")
	code := ref(now, "CurrencyRef")
	if !x.c.settings.Multicurrency {
		if code != "" && code != x.preset.Currency {
			return business("Multicurrency is not enabled for this company: %s", code)
		}
		now["CurrencyRef"] = refTo(x.preset.Currency, x.preset.Currencies[x.preset.Currency])
		x.currency = x.preset.Currency
		delete(now, "ExchangeRate")
		return nil
	}
	if code == "" {
		return missing("CurrencyRef")
	}
	if code != own {
		return business("The currency of the transaction must be the customer's: %s, not %s", own, code)
	}
	now["CurrencyRef"] = refTo(code, x.preset.Currencies[code])
	x.currency = code
	r, sent, err := decimal(now, "ExchangeRate")
	switch {
	case err != nil:
		return err
	case sent && r.Sign() <= 0:
		return invalidProperty("ExchangeRate")
	case !sent || code == x.preset.Currency:
		now["ExchangeRate"] = num(x.exchange(code, text(now, "TxnDate")))
	}
	return nil
}

// checkTerms fills in terms, due date and addresses from the customer.
func (x *call) checkTerms(customer, now fields) error {
	if term := ref(customer, "SalesTermRef"); term != "" {
		setDefault(now, "SalesTermRef", refTo(term, ""))
	}
	due := text(now, "TxnDate")
	if term := ref(now, "SalesTermRef"); term != "" {
		o := x.tx.Get("term", term)
		if o == nil {
			return badRef("Terms", "SalesTermRef", term)
		}
		data := x.tx.Data(o)
		now["SalesTermRef"] = refTo(term, text(data, "Name"))
		days, _ := strconv.Atoi(text(data, "DueDays"))
		day, _ := time.Parse(time.DateOnly, due)
		due = day.AddDate(0, 0, days).Format(time.DateOnly)
	}
	setDefault(now, "DueDate", due)
	for _, f := range []string{"BillAddr", "ShipAddr"} {
		if customer[f] != nil {
			setDefault(now, f, customer[f])
		}
	}
	return nil
}

// checkCustomFields takes the three text fields a sales form has.
func (x *call) checkCustomFields(now fields) error {
	list, _ := now["CustomField"].([]any)
	for _, v := range list {
		f, ok := v.(fields)
		if !ok || !strings.Contains("123", text(f, "DefinitionId")) || len(text(f, "DefinitionId")) != 1 {
			return invalidProperty("CustomField")
		}
		if err := within(f, "StringValue", 31); err != nil {
			return err
		}
		setDefault(f, "Type", "StringType")
		setDefault(f, "Name", "Custom "+text(f, "DefinitionId"))
	}
	return nil
}

// total sums the invoice up and moves the customer's balance.
func (x *call) total(f form, id string, was, now fields, lines []saleLine) error {
	sum, discount, err := x.subtotal(now, lines)
	if err != nil {
		return err
	}
	tax, err := x.taxes(now, lines, sum, discount)
	if err != nil {
		return err
	}
	gross := add(sub(sum, discount), tax)
	if gross.Sign() < 0 {
		return business("Transaction amount must be 0 or greater: %s", num(gross))
	}
	list := now["Line"].([]any)
	now["Line"] = append(list, fields{"Amount": num(sum), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": fields{}})
	if err := x.settle(f, id, was, now, gross); err != nil {
		return err
	}
	now["LinkedTxn"] = []any{}
	if was != nil {
		now["LinkedTxn"] = was["LinkedTxn"]
	}
	setDefault(now, "CustomField", []any{})
	setDefault(now, "EmailStatus", "NotSet")
	setDefault(now, "PrintStatus", "NeedToPrint")
	setDefault(now, "ApplyTaxAfterDiscount", !x.preset.US)
	if f == creditForm {
		return nil
	}
	for _, f := range []string{"AllowIPNPayment", "AllowOnlinePayment", "AllowOnlineCreditCardPayment", "AllowOnlineACHPayment"} {
		setDefault(now, f, false)
	}
	return nil
}

// settle writes total and balance. A credit memo's balance is what is left of
// it, and the customer owes that much less.
func (x *call) settle(f form, id string, was, now fields, gross *big.Rat) error {
	paid := fact(x.tx, paidFact(id))
	balance := sub(gross, paid)
	switch {
	case balance.Sign() < 0:
		return business("The total %s is less than what payments have settled of it", num(gross))
	case was != nil && paid.Sign() != 0 && ref(was, "CustomerRef") != ref(now, "CustomerRef"):
		return business("The customer of a paid transaction cannot be changed")
	}
	now["TotalAmt"] = num(gross)
	delete(now, "HomeTotalAmt")
	if x.c.settings.Multicurrency {
		now["HomeTotalAmt"] = num(cents(mul(gross, stored(now, "ExchangeRate"))))
	}
	if was != nil {
		x.owes(ref(was, "CustomerRef"), f.signed(new(big.Rat).Neg(stored(was, "Balance"))))
	}
	x.setBalance(f, now, balance)
	x.owes(ref(now, "CustomerRef"), f.signed(balance))
	return nil
}

// setBalance writes what is open of a transaction.
func (x *call) setBalance(f form, now fields, balance *big.Rat) {
	now["Balance"] = num(balance)
	if f == creditForm {
		now["RemainingCredit"] = num(balance)
	}
	delete(now, "HomeBalance")
	if x.c.settings.Multicurrency {
		now["HomeBalance"] = num(cents(mul(balance, stored(now, "ExchangeRate"))))
	}
}

// owes moves a customer's balance.
func (x *call) owes(customer string, by *big.Rat) {
	key := balanceFact(customer)
	setFact(x.tx, key, add(fact(x.tx, key), by))
}

// unpaid frees an invoice or credit memo that is to be voided or deleted of its
// payments, or refuses, as the company is set.
func (x *call) unpaid(f form, id string, was fields) error {
	if x.closed(text(was, "TxnDate")) {
		return periodClosed()
	}
	if fact(x.tx, paidFact(id)).Sign() == 0 {
		return nil
	}
	if x.c.settings.VoidPaid == voidPaidRefuse {
		return business("This transaction is linked to a payment; unlink the payment first")
	}
	return x.unlink(f, id)
}

// voidInvoice zeroes every amount and says so; the invoice stays.
func (x *call) voidInvoice(id string, was fields) (fields, error) {
	if err := x.unpaid(invoiceForm, id, was); err != nil {
		return nil, err
	}
	was = x.tx.Data(x.tx.Get("invoice", id))
	now := engine.Clone(was)
	zero := num(new(big.Rat))
	list, _ := now["Line"].([]any)
	for _, v := range list {
		line, _ := v.(fields)
		if line["Amount"] != nil {
			line["Amount"] = zero
		}
		if detail, ok := line["SalesItemLineDetail"].(fields); ok {
			detail["Qty"] = zero
			if detail["TaxInclusiveAmt"] != nil {
				detail["TaxInclusiveAmt"] = zero
			}
		}
	}
	now["TxnTaxDetail"] = fields{"TotalTax": zero}
	now["PrivateNote"] = voidedNote(text(now, "PrivateNote"))
	return now, x.settle(invoiceForm, id, was, now, new(big.Rat))
}

// voidedNote says it once.
func voidedNote(note string) string {
	switch {
	case note == "":
		return "Voided"
	case strings.HasPrefix(note, "Voided"):
		return note
	}
	return "Voided - " + note
}

func (x *call) removeInvoice(id string, was fields) error {
	return x.removeForm(invoiceForm, id, was)
}

func (x *call) removeForm(f form, id string, was fields) error {
	if err := x.unpaid(f, id, was); err != nil {
		return err
	}
	now := x.tx.Data(x.tx.Get(f.typ(), id))
	x.freeNumber(f, id, now)
	x.owes(ref(now, "CustomerRef"), f.signed(new(big.Rat).Neg(stored(now, "Balance"))))
	return nil
}
