package sandbox

import (
	"math/big"

	engine "tieout.dev/services/internal/sandbox"
)

// share is what one line of a payment settles of an invoice, or uses of a
// credit memo.
type share struct {
	form   form
	txn    string
	amount *big.Rat
}

// checkPayment judges a payment and applies it to the invoices it names, with
// the help of credit memos if it names some.
func (x *call) checkPayment(id string, was, now fields) error {
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
	if err := x.accountRef(now, "DepositToAccountRef", false); err != nil {
		return err
	}
	total, sent, err := decimal(now, "TotalAmt")
	if err != nil {
		return err
	}
	if !sent {
		return missing("TotalAmt")
	}
	if total = cents(total); total.Sign() < 0 {
		return business("Transaction amount must be 0 or greater: %s", num(total))
	}
	if was != nil {
		x.withdraw(id, was)
	}
	shares, err := x.shares(now)
	if err != nil {
		return err
	}
	rest := new(big.Rat).Set(total)
	for _, s := range shares {
		if err := x.apply(id, ref(now, "CustomerRef"), s); err != nil {
			return err
		}
		rest.Sub(rest, s.form.signed(s.amount))
	}
	if rest.Sign() < 0 {
		return business("The lines are more than the payment: %s", num(total))
	}
	x.owes(ref(now, "CustomerRef"), new(big.Rat).Neg(rest))
	now["TotalAmt"], now["UnappliedAmt"] = num(total), num(rest)
	setDefault(now, "ProcessPayment", false)
	setDefault(now, "Line", []any{})
	setDefault(now, "LinkedTxn", []any{})
	return nil
}

// shares reads a payment's lines.
func (x *call) shares(now fields) ([]share, error) {
	list, _ := now["Line"].([]any)
	var out []share
	for _, v := range list {
		line, _ := v.(fields)
		if err := known(line, x.c.schema["Line"]); err != nil {
			return nil, err
		}
		amount, sent, err := decimal(line, "Amount")
		if err != nil || !sent {
			return nil, missing("Line.Amount")
		}
		links, _ := line["LinkedTxn"].([]any)
		if len(links) != 1 {
			return nil, missing("Line.LinkedTxn")
		}
		link, _ := links[0].(fields)
		f := form(text(link, "TxnType"))
		if f != invoiceForm && f != creditForm {
			return nil, badEnum("Line.LinkedTxn.TxnType", string(f))
		}
		if amount.Sign() < 0 {
			return nil, business("A line of a payment is 0 or greater: %s", num(amount))
		}
		out = append(out, share{form: f, txn: text(link, "TxnId"), amount: cents(amount)})
	}
	return out, nil
}

// apply settles part of an invoice or uses part of a credit memo, or takes that
// back when the amount is below zero. It moves the SyncToken of either: a
// client must not rely on that.
func (x *call) apply(payment, customer string, s share) error {
	o := x.tx.Get(s.form.typ(), s.txn)
	if o == nil || o.Deleted {
		return badRef("Transaction", "Line.LinkedTxn.TxnId", s.txn)
	}
	now := engine.Clone(x.tx.Data(o))
	if ref(now, "CustomerRef") != customer {
		return business("The payment and the %s have different customers", s.form)
	}
	balance := sub(stored(now, "Balance"), s.amount)
	if balance.Sign() < 0 {
		return business("The payment is more than the balance of %s %s: %s", s.form, s.txn, text(now, "Balance"))
	}
	setFact(x.tx, paidFact(s.txn), add(fact(x.tx, paidFact(s.txn)), s.amount))
	x.owes(customer, s.form.signed(new(big.Rat).Neg(s.amount)))
	x.setBalance(s.form, now, balance)
	now["LinkedTxn"] = linked(now, payment, s.amount.Sign() > 0)
	x.write(x.c.kinds[s.form.typ()], s.txn, now)
	return nil
}

// linked is an invoice's list of payments with one added or taken out.
func linked(now fields, payment string, with bool) []any {
	out := []any{}
	list, _ := now["LinkedTxn"].([]any)
	for _, v := range list {
		if link, ok := v.(fields); ok && text(link, "TxnId") != payment {
			out = append(out, link)
		}
	}
	if with {
		out = append(out, fields{"TxnId": payment, "TxnType": "Payment"})
	}
	return out
}

// withdraw undoes what a payment did.
func (x *call) withdraw(id string, was fields) {
	shares, err := x.shares(was)
	if err != nil {
		return // a stored payment was judged before
	}
	for _, s := range shares {
		_ = x.apply(id, ref(was, "CustomerRef"), share{s.form, s.txn, new(big.Rat).Neg(s.amount)})
	}
	x.owes(ref(was, "CustomerRef"), stored(was, "UnappliedAmt"))
}

// unlink takes every payment off a transaction; the money stays with the customer.
func (x *call) unlink(f form, txn string) error {
	list, _ := x.tx.Data(x.tx.Get(f.typ(), txn))["LinkedTxn"].([]any)
	for _, v := range list {
		link, _ := v.(fields)
		id := text(link, "TxnId")
		o := x.tx.Get("payment", id)
		if o == nil {
			continue
		}
		was := x.tx.Data(o)
		x.withdraw(id, was)
		now := engine.Clone(was)
		var keep []any
		lines, _ := now["Line"].([]any)
		for _, l := range lines {
			if s, err := x.shares(fields{"Line": []any{l}}); err == nil && s[0].txn != txn {
				keep = append(keep, l)
			}
		}
		now["Line"] = keep
		if err := x.checkPayment(id, nil, now); err != nil {
			return err
		}
		x.write(x.c.kinds["payment"], id, now)
	}
	return nil
}

func (x *call) voidPayment(id string, was fields) (fields, error) {
	if err := x.removePayment(id, was); err != nil {
		return nil, err
	}
	now := engine.Clone(was)
	now["Line"], now["TotalAmt"], now["UnappliedAmt"] = []any{}, num(new(big.Rat)), num(new(big.Rat))
	now["PrivateNote"] = voidedNote(text(now, "PrivateNote"))
	return now, nil
}

func (x *call) removePayment(id string, was fields) error {
	if x.closed(text(was, "TxnDate")) {
		return periodClosed()
	}
	x.withdraw(id, was)
	return nil
}
