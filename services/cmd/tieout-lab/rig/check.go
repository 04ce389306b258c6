package rig

import (
	"context"
	"fmt"
	"math/big"
	"strings"

	"tieout.dev/services/internal/lab/verify"
)

// Check holds the books against what the world knows that it did, without asking
// Tieout: each won deal is one live invoice of its worth, each lost one none.
// What waits for a person is left out and counted.
func (w *World) Check(ctx context.Context, s *verify.State) (violations []string, parked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	account := w.file.Sandboxes["hubspot"].Account
	live := liveInvoices(s, w.file.Sandboxes["quickbooks"].Account)
	for _, d := range w.deals {
		got := live[d.name]
		want := 0
		if d.won {
			want = 1
		}
		switch {
		case d.net == nil:
		case s.Waits(account + "/deal/" + d.id):
			parked++
		case len(got) > want:
			violations = append(violations, fmt.Sprintf("double: %s (deal %s) has %d live invoices, %d are wanted", d.name, d.id, len(got), want))
		case len(got) < want:
			violations = append(violations, fmt.Sprintf("lost: %s (deal %s) is won and has no live invoice", d.name, d.id))
		case want == 1 && got[0].Cmp(d.net) != 0:
			violations = append(violations, fmt.Sprintf("%s (deal %s) is worth %s, its invoice says %s", d.name, d.id, d.net.FloatString(2), got[0].FloatString(2)))
		}
		delete(live, d.name)
	}
	for name := range live {
		if name != "" && !strings.HasPrefix(name, "Deal ") {
			violations = append(violations, fmt.Sprintf("nobody asked for an invoice of %q", name))
		}
	}
	return violations, parked
}

// liveInvoices are the nets of invoices that are not void, by the deal's name in
// their memo.
func liveInvoices(s *verify.State, account string) map[string][]*big.Rat {
	out := map[string][]*big.Rat{}
	for _, o := range s.Accounts[account].Objects {
		data := o.Last().Data
		note, _ := data["PrivateNote"].(string)
		if o.Type != "invoice" || o.Deleted || strings.HasPrefix(note, "Voided") {
			continue
		}
		_, name, _ := strings.Cut(note, " · ")
		net := rat(data["TotalAmt"])
		if detail, ok := data["TxnTaxDetail"].(map[string]any); ok && detail["TotalTax"] != nil {
			net.Sub(net, rat(detail["TotalTax"]))
		}
		out[name] = append(out[name], net)
	}
	return out
}

func rat(v any) *big.Rat {
	r, ok := new(big.Rat).SetString(fmt.Sprint(v))
	if !ok {
		return new(big.Rat)
	}
	return r
}
