package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"tieout.dev/services/cmd/tieout/crm"
)

// opened is an exception as the command line shows it.
type opened struct {
	ID, Kind, Subject string
	Fix               string
	WaitingUntil      string `json:"waiting_until"`
	Held              struct {
		Count int
		Sum   []struct{ Minor int64 }
	}
	Refused *struct{ Action, Reason string }
}

// exceptions are the open ones.
func (o *outside) exceptions() []opened {
	o.t.Helper()
	var list struct{ Items []opened }
	if err := json.Unmarshal([]byte(o.run("exceptions", "list", "-o", "json")), &list); err != nil {
		o.t.Fatal(err)
	}
	return list.Items
}

// twin wins a deal of a second company with the name of the first one's, which a
// person has to tell apart.
func (d *deals) twin() (deal string) {
	d.o.t.Helper()
	ctx := context.Background()
	company, err := d.o.portal.Company(ctx, map[string]string{"name": "Company 0 & Söhne"})
	if err != nil {
		d.o.t.Fatal(err)
	}
	deal, err = d.o.portal.Deal(ctx, crm.Deal{Name: "twin", Company: company, Currency: "EUR", Lines: []crm.Line{{Name: "Item 0", Quantity: "1", Price: "12.00"}}})
	if err == nil {
		err = d.o.portal.Move(ctx, deal, crm.Won)
	}
	if err != nil {
		d.o.t.Fatal(err)
	}
	return deal
}

// A person hears that an action was refused, and why; and every command takes a
// record by its short ref.
func TestRefusedActionsAndShortRefs(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 1)
	d.win("first")
	o.settle(1)
	deal := "deal/" + d.twin()
	o.run("wait", "--for", deal+"=parked")
	open := o.exceptions()
	if len(open) != 1 || open[0].Kind != "match" {
		t.Fatalf("open are %+v", open)
	}
	said, code := o.try("exceptions", "link", open[0].ID, "--ref", "customer/99999", "--reason", "a guess")
	if code != 1 || !strings.Contains(said, "the books have no record") {
		t.Errorf("exit %d: %s", code, said)
	}
	if r := o.exceptions()[0].Refused; r == nil || r.Action != "link" || !strings.Contains(r.Reason, "the books have no record") {
		t.Errorf("the exception says %+v", r)
	}
	account := o.file.Sandboxes["hubspot"].Account
	for _, command := range [][]string{{"lanes", "show"}, {"open"}, {"journey"}, {"events", "tail", "--ref"}, {"audit", "search", "--ref"}} {
		for _, ref := range []string{deal, "hubspot/" + deal, account + "/" + deal} {
			if said, code := o.try(append(command, ref)...); code != 0 {
				t.Errorf("%v %s: exit %d: %s", command, ref, code, said)
			}
		}
		if said, code := o.try(append(command, "deal/404")...); code != 4 || strings.Contains(said, "rpc error") {
			t.Errorf("%v of nothing: exit %d: %s", command, code, said)
		}
	}
	if said, code := o.try("sandbox", "crm", "lose", "deal/404"); code != 4 {
		t.Errorf("exit %d: %s", code, said)
	}
	if said := o.run("exceptions", "discard", open[0].ID, "--reason", "made twice"); !strings.HasPrefix(said, "discard") {
		t.Errorf("it says %s", said)
	}
}

// Whoever names a tenant reaches nothing of another's, with any command. And one
// can wait for a record that is parked before it gets a lane.
func TestATenantThatIsNotThereReachesNothing(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	var companies []string
	for _, name := range []string{"One", "Other"} {
		id, err := o.portal.Company(ctx, map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		companies = append(companies, id)
	}
	joint, err := o.portal.Deal(ctx, crm.Deal{Name: "joint", Others: companies, Currency: "EUR", Lines: []crm.Line{{Name: "Item", Quantity: "1", Price: "5"}}})
	if err == nil {
		err = o.portal.Move(ctx, joint, crm.Won)
	}
	if err != nil {
		t.Fatal(err)
	}
	posted, err := o.portal.Deal(ctx, crm.Deal{Name: "posted", Company: companies[0], Currency: "EUR", Lines: []crm.Line{{Name: "Item", Quantity: "1", Price: "5"}}})
	if err == nil {
		err = o.portal.Move(ctx, posted, crm.Won)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"deal/" + joint, o.file.Sandboxes["hubspot"].Account + "/deal/" + joint} {
		o.run("wait", "--for", ref+"=parked", "--timeout", "60s")
	}
	o.settle(2)
	open := o.exceptions()
	if len(open) != 1 || !strings.HasPrefix(open[0].ID, "i-") {
		t.Fatalf("open are %+v", open)
	}
	deal := "deal/" + posted
	var pages struct {
		Source string   `json:"source_url"`
		Books  []string `json:"books_urls"`
	}
	if err := json.Unmarshal([]byte(o.run("open", deal, "-o", "json")), &pages); err != nil || !strings.Contains(pages.Source, posted) || len(pages.Books) != 1 || pages.Books[0] == pages.Source {
		t.Errorf("pages %+v (%v)", pages, err)
	}
	for _, command := range [][]string{
		{"journey", "1001"}, {"lanes", "show", deal}, {"open", deal}, {"mapping", "list"}, {"mapping", "show", "hubspot-deal-quickbooks-invoice"}, {"connections", "test", "books"},
		{"exceptions", "show", open[0].ID}, {"exceptions", "retry", open[0].ID, "--reason", "x"}, {"exceptions", "retry", "--all", "--reason", "x"},
		{"connections", "pause", "books", "--reason", "x"}, {"connections", "show", "books"}, {"events", "tail"}, {"status"}, {"restore", "mark", "writer"},
		{"reconcile"}, {"reconcile", "repair", "5f1c0a"}, {"backfill", "--connection", "crm", "--from", "2026-01-01", "--dry-run"}, {"notifications", "test"},
	} {
		if said, code := o.try(append([]string{"--tenant", "nope"}, command...)...); code != 4 || !strings.Contains(said, "nope") {
			t.Errorf("%v: exit %d: %s", command, code, said)
		}
	}
	if state := o.run("connections", "show", "books"); !strings.Contains(state, "active") {
		t.Errorf("the books are %s", state)
	}
	if still := o.exceptions(); len(still) != 1 || still[0].ID != open[0].ID {
		t.Errorf("open are %+v", still)
	}
	o.run("connections", "pause", "books", "--reason", "month end", "--dry-run")
	if state := o.run("connections", "show", "books"); !strings.Contains(state, "active") {
		t.Errorf("after a dry run the books are %s", state)
	}
	o.run("connections", "pause", "books", "--reason", "month end")
	if state := o.run("connections", "list"); !strings.Contains(state, "paused") || !strings.Contains(state, ": month end") {
		t.Errorf("the books are %s", state)
	}
	if said, code := o.try("wait", "--settled", "--timeout", "0s"); code != 10 || !strings.Contains(said, "still open: ") {
		t.Errorf("exit %d: %s", code, said)
	}
}
