package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"tieout.dev/services/cmd/tieout/crm"
)

// page is a page of the console.
func (o *outside) page(path string) string {
	o.t.Helper()
	resp, err := http.Get(o.file.Console + path)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		o.t.Fatalf("%s: %d %s (%v)", path, resp.StatusCode, b, err)
	}
	return string(b)
}

type comparison struct {
	Rows []struct {
		Explained   []struct{ Cause string }
		Unexplained struct{ Count int }
	}
	Breaks []struct{ ID, Cause, State, Actor, Reason string }
}

func (o *outside) compare() (c comparison, code int) {
	o.t.Helper()
	said, code := o.try("reconcile", "-o", "json")
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&c); err != nil {
		o.t.Fatalf("%v: %s", err, said)
	}
	return c, code
}

// What a person edits in the books is named on the record's page, and accepted
// with a reason it is explained, until the next edit.
func TestAPersonAcceptsADifference(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 1)
	d.win("first")
	o.settle(1)
	deal := "deal/" + d.ids["first"]
	var j struct {
		Number string `json:"invoice_number"`
	}
	if err := json.Unmarshal([]byte(o.run("journey", deal, "-o", "json")), &j); err != nil {
		t.Fatal(err)
	}
	o.run("sandbox", "books", "edit", j.Number, "--note", "by phone")
	c, code := o.compare()
	if code != 5 || len(c.Breaks) != 1 || c.Breaks[0].Cause != "edited_in_books" {
		t.Fatalf("exit %d: %+v", code, c)
	}
	if page := o.page("/record/" + deal); !strings.Contains(page, "edited_in_books") || strings.Contains(page, `aria-label="marker`) {
		t.Errorf("the record's page does not name the difference, or takes a marker for a document: %s", page)
	}
	o.until("its journey names the difference", func() bool { return strings.Contains(o.run("journey", deal), "break.opened") })
	accept := []string{"reconcile", "accept", c.Breaks[0].ID, "--reason", "agreed by phone"}
	if said := o.run(append(accept, "--dry-run")...); !strings.HasPrefix(said, "would accept") {
		t.Errorf("a dry run says %s", said)
	}
	if _, code := o.compare(); code != 5 {
		t.Errorf("a dry run changed it: exit %d", code)
	}
	o.run(accept...)
	c, code = o.compare()
	if b := c.Breaks[0]; code != 0 || b.State != "accepted" || b.Actor == "" || b.Reason != "agreed by phone" {
		t.Errorf("exit %d: %+v", code, c)
	}
	o.run("sandbox", "books", "edit", j.Number, "--note", "and once more")
	if c, code := o.compare(); code != 5 || c.Breaks[0].State != "open" {
		t.Errorf("another edit: exit %d: %+v", code, c)
	}
}

// A deal of two companies waits for a person: status says since when, its page
// says why, and what was done about it is on the trail.
func TestAPersonDiscardsADealOfTwoCompanies(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 2)
	id, err := o.portal.Deal(t.Context(), crm.Deal{Name: "both", Others: d.company, Currency: "EUR", Lines: []crm.Line{{Name: "Item", Quantity: "1", Price: "10.00"}}})
	if err == nil {
		err = o.portal.Move(t.Context(), id, crm.Won)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.until("the exception is open", func() bool { return len(o.exceptions()) == 1 })
	open := o.exceptions()[0]
	if !strings.HasPrefix(open.ID, "i-") {
		t.Fatalf("%+v", open)
	}
	var status struct {
		Exceptions struct{ Oldest string }
	}
	if err := json.Unmarshal([]byte(o.run("status", "-o", "json")), &status); err != nil || status.Exceptions.Oldest == "" {
		t.Errorf("status does not say since when: %v", err)
	}
	o.until("its page links to the exception", func() bool {
		resp, err := http.Get(o.file.Console + "/record/" + open.Subject)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(b), `<a href="/exceptions/`+open.ID+`">`)
	})
	o.run("exceptions", "discard", open.ID, "--reason", "made twice", "--yes")
	for _, command := range [][]string{{"audit", "search", "--ref", open.Subject}, {"journey", open.Subject}} {
		o.until(strings.Join(command, " ")+" tells it", func() bool {
			said, _ := o.try(command...)
			return strings.Contains(said, "exception.acted") && strings.Contains(said, "made twice")
		})
	}
	if said := o.run("reconcile"); !strings.Contains(said, "discarded") { // exit 0: it is explained
		t.Errorf("the reconciliation says\n%s", said)
	}
}
