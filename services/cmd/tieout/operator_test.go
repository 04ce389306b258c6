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
