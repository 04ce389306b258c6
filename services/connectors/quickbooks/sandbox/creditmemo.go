package sandbox

import (
	"math/big"
	"strings"
)

// form is a transaction with item lines, by the vendor's name for it.
type form string

const (
	invoiceForm form = "Invoice"
	creditForm  form = "CreditMemo"
)

// typ is the form's object type in the world.
func (f form) typ() string { return strings.ToLower(string(f)) }

// signed is what an open amount of the form adds to what the customer owes.
func (f form) signed(r *big.Rat) *big.Rat {
	if f == creditForm {
		return new(big.Rat).Neg(r)
	}
	return r
}

// checkCreditMemo judges a credit memo: an invoice the other way round, without
// terms. A payment uses it up; until then it lowers the customer's balance.
func (x *call) checkCreditMemo(id string, was, now fields) error {
	return x.checkForm(creditForm, id, was, now)
}

func (x *call) removeCreditMemo(id string, was fields) error {
	return x.removeForm(creditForm, id, was)
}
