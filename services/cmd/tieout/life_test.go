package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
)

// books reads a list of the books, also what is out of use.
func (o *outside) books(entity string, into any) {
	o.t.Helper()
	o.query(entity, "where Active in (true, false) maxresults 1000", into)
}

// query asks the books for an entity with a person's own token.
func (o *outside) query(entity, which string, into any) {
	o.t.Helper()
	sb := o.file.Sandboxes["quickbooks"]
	q := url.Values{"query": {"select * from " + entity + " " + which}, "minorversion": {"75"}}
	req, err := http.NewRequest(http.MethodGet, sb.BaseURL+"/v3/company/"+sb.RealmID+"/query?"+q.Encode(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+sb.ReaderToken)
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ QueryResponse map[string]json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		o.t.Fatal(err)
	}
	if raw := answer.QueryResponse[entity]; raw != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			o.t.Fatal(err)
		}
	}
}

type named struct{ ID, DisplayName, Name string }

func (o *outside) customers() map[string]string {
	var list []named
	o.books("Customer", &list)
	out := map[string]string{}
	for _, c := range list {
		out[c.DisplayName] = c.ID
	}
	return out
}

// A company renamed while its first invoice is made keeps its customer in the
// books, in every currency, under the new name.
func TestARenamedCompanyKeepsItsCustomer(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	id, err := o.portal.Company(ctx, map[string]string{"name": "Old Name Ltd"})
	if err != nil {
		t.Fatal(err)
	}
	for _, currency := range []string{"EUR", "USD"} {
		deal, err := o.portal.Deal(ctx, crm.Deal{Name: currency, Company: id, Currency: currency, Lines: []crm.Line{{Name: "Widget", Quantity: "1", Price: "10.00"}}})
		if err == nil {
			err = o.portal.Move(ctx, deal, crm.Won)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := o.portal.Change(ctx, "companies", id, map[string]string{"name": "New Name Ltd"}); err != nil {
		t.Fatal(err)
	}
	o.settle(3)
	got := o.customers()
	if got["New Name Ltd"] == "" || got["New Name Ltd (USD)"] == "" || len(got) != 2 {
		t.Fatalf("customers %v\n%s", got, o.run("exceptions", "list"))
	}
}

// Two companies merged with invoices in flight: nothing is made twice, and the
// survivor's next deal goes to the customer that it has.
func TestCompaniesMergedInFlight(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	d := newDeals(o, 2)
	for i := range 6 {
		d.win(fmt.Sprintf("Before %d", i))
	}
	survivor, err := o.portal.Merge(ctx, "companies", d.company[0], d.company[1])
	if err != nil {
		t.Fatal(err)
	}
	o.settle(6)
	d.company = []string{survivor}
	before := len(o.customers())
	d.win("After")
	d.win("After too")
	o.settle(8)
	d.check("after the merge")
	kinds := o.run("exceptions", "list", "-o", "json")
	for _, kind := range []string{`"kind": "match"`, `"kind": "unsupported"`, `"kind": "conflict"`, `"kind": "dependency"`} {
		if strings.Contains(kinds, kind) {
			t.Errorf("an exception that the merge does not explain: %s", kinds)
		}
	}
	if after := len(o.customers()); after > before+2 {
		t.Errorf("%d customers before, %d after", before, after)
	}
	o.run("reconcile")
}

// Two deals that were billed are merged: neither is billed again. Two invoices
// stand for one deal then, and a person says which of them is owed.
func TestMergedDealsAreNotBilledAgain(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	company := newDeals(o, 1).company[0]
	var ids []string
	for _, name := range []string{"First", "Second"} {
		id, err := o.portal.Deal(ctx, crm.Deal{Name: name, Company: company, Currency: "EUR", Lines: []crm.Line{{Name: name, Quantity: "1", Price: "100.01"}}})
		if err == nil {
			err = o.portal.Move(ctx, id, crm.Won)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	o.settle(2)
	survivor, err := o.portal.Merge(ctx, "deals", ids[0], ids[1])
	if err != nil {
		t.Fatal(err)
	}
	o.run("wait", "--for", "deal/"+survivor+"=parked", "--timeout", "60s")
	var open struct{ Items []struct{ ID, Kind string } }
	if err := json.Unmarshal([]byte(o.run("exceptions", "list", "-o", "json")), &open); err != nil {
		t.Fatal(err)
	}
	if len(open.Items) != 1 || open.Items[0].Kind != "merge" || len(o.invoices()) != 2 {
		t.Fatalf("exceptions %+v, %d invoices", open.Items, len(o.invoices()))
	}
	o.run("sandbox", "books", "void", o.live()["Second"][0].DocNumber)
	o.run("exceptions", "retry", open.Items[0].ID, "--reason", "the second was voided")
	o.settle(2)
	if all := o.invoices(); len(all) != 2 || len(o.live()["First"]) != 1 {
		t.Fatalf("invoices %+v", all)
	}
	o.run("reconcile")
}

// A vendor that is away: one exception, and everything flows again by itself.
func TestTheBooksAreAwayForAWhile(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 3)
	d.win("First")
	o.settle(1)
	o.fault("quickbooks", `{"match":{"app":"app"},"effect":"status","status":503}`)
	for i := range 6 {
		d.win(fmt.Sprintf("While away %d", i))
	}
	var open []opened
	o.until("one exception about the connection, with all that waits for it", func() bool {
		open = o.exceptions()
		return len(open) == 1 && open[0].Kind == "connection" && open[0].Held.Count >= 6
	})
	if e := open[0]; len(e.Held.Sum) == 0 || e.WaitingUntil == "" {
		t.Errorf("the exception says %+v", e)
	}
	o.clearFaults("quickbooks")
	o.settle(7)
	d.check("after the outage")
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		t.Errorf("something is left: %s", list)
	}
}

// Every fault that a vendor has, each at one request in ten, and kills. Each
// ends after a few: while more than half of all requests fail, the breaker
// rightly waits ever longer, and a test has an end.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	o := start(t)
	for _, effect := range []string{
		`"effect":"reset_after"`, `"effect":"reset_before"`, `"effect":"late_commit","delay":"2s","status":500`, `"effect":"partial_batch"`, `"effect":"throttle"`,
		`"effect":"expire_token"`, `"effect":"truncate"`, `"effect":"fault_in_200"`,
	} {
		o.fault("quickbooks", `{"match":{"path":"/v3/**","probability":0.1,"app":"app"},"times":4,`+effect+`}`)
	}
	d := newDeals(o, 4)
	for kill := range 4 {
		for i := range 4 {
			d.win(fmt.Sprintf("Deal %d-%d", kill, i))
		}
		<-time.After(700 * time.Millisecond)
		o.kill()
		o.up()
	}
	o.run("wait", "--settled", "--at-least", "16", "--timeout", "300s")
	d.check("under every fault")
	o.clearFaults("quickbooks")
	o.run("reconcile")
}

func (o *outside) clearFaults(system string) {
	o.t.Helper()
	req, err := http.NewRequest(http.MethodDelete, o.file.Sandboxes[system].BaseURL+"/_sandbox/faults", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	resp.Body.Close()
}

func (o *outside) until(what string, ok func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); <-time.After(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatalf("%s did not come", what)
		}
	}
}

// What was there before is read in bulk; what is won meanwhile does not wait.
func TestBackfillLetsWonDealsPass(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 5)
	o.post(o.file.Sandboxes["hubspot"].BaseURL+"/_sandbox/settings", `{"webhooks":{"deliver":false}}`)
	for i := range 60 {
		d.win(fmt.Sprintf("Old %d", i))
	}
	o.settle(60)
	var run struct {
		State                             string
		Total, Read, Duplicates, Admitted int64
	}
	out := o.run("backfill", "--connection", "crm", "--type", "deal", "--from", "2026-01-01", "-o", "json")
	if err := json.Unmarshal([]byte(out), &run); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r := run; r.State != "done" || r.Read != 60 || r.Duplicates != 60 || r.Admitted != 0 {
		t.Fatalf("run %+v", r)
	}
	d.check("after a backfill of what was known")
	o.run("reconcile")
	o.narrows()
	if out := o.run("topics", "apply", "--plan", "-o", "json"); !strings.Contains(out, `"items": []`) {
		t.Errorf("the topics of a running installation differ: %s", out)
	}
}

// narrows: the only tenant has all there is, and nobody else is known.
func (o *outside) narrows() {
	o.t.Helper()
	for _, list := range [][]string{{"connections", "list"}, {"exceptions", "list"}, {"runs", "list"}, {"events", "tail"}, {"audit", "search", "--limit", "500"}, {"notifications", "list"}} {
		args := append(list, "-o", "json")
		whole, theirs := o.run(args...), o.run(append(args, "--tenant", "acme")...)
		if whole != theirs {
			o.t.Errorf("%v: the tenant is shown\n%s, the installation has\n%s", list, theirs, whole)
		}
		if said, code := o.try(append(args, "--tenant", "nobody")...); code != 4 || !strings.Contains(said, `no tenant \"nobody\"`) {
			o.t.Errorf("%v: of a tenant that is not there: %d %s", list, code, said)
		}
	}
}

// A private person is one customer of the books, however often they buy, also
// under a new name and after two contacts of theirs were merged.
func TestAPrivatePersonIsOneCustomer(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	person := func(properties map[string]string) string {
		id, err := o.portal.Contact(ctx, properties)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	buy := func(contact, what string) {
		deal, err := o.portal.Deal(ctx, crm.Deal{Name: what, Contact: contact, Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "1", Price: "10.00"}}})
		if err == nil {
			err = o.portal.Move(ctx, deal, crm.Won)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ann := person(map[string]string{"firstname": "Ann", "lastname": "Byrne", "email": "ann@mail.example", "country": "Germany"})
	buy(ann, "First")
	buy(ann, "Second")
	o.settle(2)
	first := o.customers()
	if len(first) != 1 || first["Ann Byrne"] == "" {
		t.Fatalf("customers %v\n%s", first, o.run("exceptions", "list"))
	}
	twin := person(map[string]string{"firstname": "Ann", "lastname": "Byrne-Kelly", "email": "a.kelly@mail.example"})
	one, err := o.portal.Merge(ctx, "contacts", ann, twin)
	if err == nil {
		err = o.portal.Change(ctx, "contacts", one, map[string]string{"firstname": "Anna"})
	}
	if err != nil {
		t.Fatal(err)
	}
	buy(one, "Third")
	o.settle(3)
	o.until("the customer has the new name", func() bool { return len(o.customers()) == 1 && o.customers()["Anna Byrne"] == first["Ann Byrne"] })
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		t.Errorf("something is left: %s", list)
	}
}

// Two companies whose names differ in case only: the books hold one of them, and
// a person is told which record that is and whose.
func TestANameThatIsTakenNamesItsOwner(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	var ids []string
	for _, name := range []string{"Acme One", "ACME ONE"} {
		id, err := o.portal.Company(ctx, map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		deal, err := o.portal.Deal(ctx, crm.Deal{Name: name, Company: id, Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "1", Price: "10.00"}}})
		if err == nil {
			err = o.portal.Move(ctx, deal, crm.Won)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 1 {
			o.settle(1)
		}
	}
	owner := "customer/" + o.customers()["Acme One"]
	var open struct {
		Items []struct{ Kind, Reason string }
	}
	o.until("the second one stops", func() bool {
		open.Items = nil
		if err := json.Unmarshal([]byte(o.run("exceptions", "list", "-o", "json")), &open); err != nil {
			t.Fatal(err)
		}
		return len(open.Items) == 1
	})
	if e := open.Items[0]; e.Kind != "match" || !strings.Contains(e.Reason, owner) || !strings.Contains(e.Reason, "company/"+ids[0]) {
		t.Errorf("%+v names neither %s nor company %s", e, owner, ids[0])
	}
}
