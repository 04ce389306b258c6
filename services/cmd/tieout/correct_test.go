package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
)

// note is a credit note as a person's own client sees it.
type note struct {
	ID, SyncToken, TxnDate, PrivateNote string
	TotalAmt                            json.Number
}

// A deal changes, and another is lost, after their period was closed: nothing there
// is touched, a person agrees, and both are corrected on the first open day.
func TestWhatStandsInAClosedPeriodIsCorrected(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	companies := newDeals(o, 2).company
	win := func(company int, name, price string) string {
		id, err := o.portal.Deal(ctx, crm.Deal{Name: name, Company: companies[company], Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "3", Price: price}}})
		if err == nil {
			err = o.portal.Move(ctx, id, crm.Won)
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	less, lost := win(0, "Less", "33.33"), win(1, "Lost", "10.01")
	o.settle(2)
	before := o.live()
	closed := before["Less"][0].TxnDate
	o.run("sandbox", "books", "close", closed)
	if err := o.portal.Move(ctx, lost, crm.Lost); err != nil {
		t.Fatal(err)
	}
	lines, err := o.portal.Lines(ctx, less)
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	if err := o.portal.Change(ctx, "line_items", lines[0], map[string]string{"quantity": "2"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{less, lost} {
		if said, code := o.try("wait", "--for", "deal/"+id+"=parked", "--timeout", "30s"); code != 0 {
			t.Fatal(said, o.run("exceptions", "list"), o.run("journey", "deal/"+id), o.run("status"), less, lost)
		}
	}
	for _, e := range o.exceptions() {
		if e.Kind != "period" || !strings.Contains(e.Fix, "reissue") {
			t.Fatalf("exception %+v", e)
		}
		o.run("exceptions", "reissue", e.ID, "--reason", "agreed with the customer")
	}
	o.run("wait", "--settled", "--timeout", "90s")
	day, err := time.Parse(time.DateOnly, closed)
	if err != nil {
		t.Fatal(err)
	}
	open := day.AddDate(0, 0, 1).Format(time.DateOnly)
	var notes []note
	o.query("CreditMemo", "", &notes)
	credited := map[string]bool{}
	for _, n := range notes {
		credited[n.TotalAmt.String()] = true
		if n.TxnDate != open {
			t.Errorf("credit note %+v is not dated %s", n, open)
		}
	}
	now := o.live()
	if len(notes) != 2 || !credited[before["Less"][0].TotalAmt.String()] || !credited[before["Lost"][0].TotalAmt.String()] {
		t.Errorf("credit notes %+v of %+v", notes, before)
	}
	if len(now["Less"]) != 2 || len(now["Lost"]) != 1 {
		t.Fatalf("invoices %+v", now)
	}
	for _, v := range now["Less"] {
		if v.ID != before["Less"][0].ID && (v.TxnDate != open || v.net().FloatString(2) != "66.66") {
			t.Errorf("issued anew: %+v", v)
		}
	}
	o.run("reconcile")
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		t.Errorf("something is left: %s", list)
	}
	o.until("the deals say what became of them", func() bool {
		a, err := o.portal.Record(ctx, "deals", less, "tieout_invoice_status")
		b, err2 := o.portal.Record(ctx, "deals", lost, "tieout_invoice_status")
		return err == nil && err2 == nil && a["tieout_invoice_status"] == "open" && b["tieout_invoice_status"] == "credited"
	})
	o.run("sandbox", "books", "close", "")
	o.creditNoteGoes(notes[0])
	if err := o.portal.Change(ctx, "deals", less, map[string]string{"dealname": "Less and less"}); err != nil {
		t.Fatal(err)
	}
	o.run("reconcile", "accept", o.creditBreak()[:10], "--reason", "the client keeps the credit")
	o.until("the new invoice follows the deal", func() bool { return len(o.live()["Less and less"]) == 1 })
	o.run("reconcile")
}

// creditNoteGoes has a person delete a credit note: the reconciliation says so, also for
// its month, and doctor that it does not tie out.
func (o *outside) creditNoteGoes(n note) {
	o.t.Helper()
	o.deleteInBooks("creditmemo", n.ID, n.SyncToken)
	for _, period := range []string{"", n.TxnDate[:7]} {
		said, code := o.try("reconcile", "--period", period)
		if code != 5 || !strings.Contains(said, "credit_deleted_in_books") {
			o.t.Errorf("period %q: exit %d\n%s", period, code, said)
		}
	}
	if said, code := o.try("doctor"); code != 5 || !strings.Contains(said, "unexplained") {
		o.t.Errorf("doctor: exit %d\n%s", code, said)
	}
}

// deleteInBooks has a person delete a document there.
func (o *outside) deleteInBooks(entity, id, token string) {
	o.t.Helper()
	sb := o.file.Sandboxes["quickbooks"]
	body := fmt.Sprintf(`{"Id":%q,"SyncToken":%q}`, id, token)
	req, err := http.NewRequest(http.MethodPost, sb.BaseURL+"/v3/company/"+sb.RealmID+"/"+entity+"?operation=delete&minorversion=75", strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+sb.ReaderToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		o.t.Fatalf("delete %s %s: %s", entity, id, resp.Status)
	}
}

// creditBreak is the id of the break about the credit note.
func (o *outside) creditBreak() string {
	o.t.Helper()
	said, _ := o.try("reconcile", "-o", "json")
	var v struct {
		Breaks []struct{ ID, Cause, State string }
	}
	if err := json.Unmarshal([]byte(said), &v); err != nil {
		o.t.Fatalf("%v: %s", err, said)
	}
	for _, b := range v.Breaks {
		if b.Cause == "credit_deleted_in_books" {
			return b.ID
		}
	}
	o.t.Fatalf("no break about a credit note: %s", said)
	return ""
}
