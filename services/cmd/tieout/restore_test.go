package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tieout.dev/services/cmd/tieout/crm"
)

// databases are the files of services' databases.
func (o *outside) databases(services []string) (files []string) {
	o.t.Helper()
	for _, service := range services {
		found, err := filepath.Glob(filepath.Join(o.dir, service+".db*"))
		if err != nil || len(found) == 0 {
			o.t.Fatalf("no database of %s: %v", service, err)
		}
		files = append(files, found...)
	}
	return files
}

// backUp copies services' databases while nothing runs, and returns how to go
// back to the copies.
func (o *outside) backUp(services ...string) (goBack func()) {
	o.t.Helper()
	o.kill()
	defer o.up()
	copies := map[string][]byte{}
	for _, f := range o.databases(services) {
		b, err := os.ReadFile(f)
		if err != nil {
			o.t.Fatal(err)
		}
		copies[f] = b
	}
	return func() {
		o.t.Helper()
		o.kill()
		defer o.up()
		for _, f := range o.databases(services) {
			if err := os.Remove(f); err != nil {
				o.t.Fatal(err)
			}
		}
		for f, b := range copies {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				o.t.Fatal(err)
			}
		}
	}
}

// states are those of the connections, by id.
func (o *outside) states() map[string]string {
	o.t.Helper()
	var v struct {
		Connections []struct{ ID, State string }
	}
	if err := json.Unmarshal([]byte(o.run("status", "-o", "json")), &v); err != nil {
		o.t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range v.Connections {
		out[c.ID] = c.State
	}
	return out
}

// between is what happens after the backup: deals are won, changed, lost, and
// lost and won again.
func between(o *outside, d *deals) {
	o.t.Helper()
	ctx := context.Background()
	for i := range 6 {
		d.win(fmt.Sprintf("Meanwhile %d", i))
	}
	d.push("Pushed meanwhile")
	o.settle(1)
	for _, name := range []string{"Before 0", "Meanwhile 0"} {
		lines, err := o.portal.Lines(ctx, d.ids[name])
		if err == nil {
			err = o.portal.Change(ctx, "line_items", lines[0], map[string]string{"price": "1.00", "quantity": "1"})
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	for _, name := range []string{"Before 1", "Meanwhile 1", "Before 2"} {
		o.move(d.ids[name], crm.Lost, 1)
	}
	o.move(d.ids["Before 2"], crm.Won, 1)
	delete(d.want, "Before 1")
	delete(d.want, "Meanwhile 1")
	o.settle(1)
	live := o.live()
	for _, name := range []string{"Before 0", "Meanwhile 0"} { // what they came to is right: it was checked by others
		d.want[name] = live[name][0].net()
	}
	d.check("before the database is set back")
}

// after: changes flow, nothing is asked of a person, and the reconciliation is empty.
func after(o *outside, d *deals, invoices int) {
	o.t.Helper()
	d.check("after the database was set back")
	if n := len(o.invoices()); n != invoices {
		o.t.Errorf("%d invoices, void ones with them; there were %d", n, invoices)
	}
	d.push("Pushed meanwhile") // as its caller is told to: a restored ingest may not know it
	d.win("After")
	for _, name := range []string{"Meanwhile 2", "Before 0"} {
		o.move(d.ids[name], crm.Lost, 1)
		delete(d.want, name)
	}
	o.settle(1)
	d.check("when life goes on")
	if list := o.run("exceptions", "list"); !strings.Contains(list, "no open exceptions") {
		o.t.Errorf("a person is asked: %s", list)
	}
	o.run("reconcile")
	d.checkWrittenBack()
}

// setBack posts some deals, copies services' databases, lets life go on, and sets
// the databases back to the copies. It returns how many invoices there were.
func setBack(t *testing.T, services ...string) (o *outside, d *deals, invoices int) {
	t.Helper()
	o = start(t)
	d = newDeals(o, 3)
	for i := range 4 {
		d.win(fmt.Sprintf("Before %d", i))
	}
	d.push("Pushed before")
	o.settle(5)
	goBack := o.backUp(services...)
	between(o, d)
	invoices = len(o.invoices())
	goBack()
	return o, d, invoices
}

// The writer's database set back to a copy from before some invoices were
// posted, changed and voided: still one invoice a deal, and changes flow.
func TestTheWritersDatabaseIsSetBack(t *testing.T) {
	t.Parallel()
	o, d, invoices := setBack(t, "writer")
	o.recovers()
	after(o, d, invoices)
}

// recovers waits until the books were in recovery and are no more.
func (o *outside) recovers() {
	o.t.Helper()
	o.until("the books in recovery", func() bool { return o.states()["books"] == "recovery" })
	o.until("everything at rest", func() bool {
		o.settle(1)
		o.t.Log(o.run("status"), o.run("exceptions", "list"))
		return o.states()["books"] == "active"
	})
}

// The same of ingest's: numbers that were given are not given again.
func TestIngestsDatabaseIsSetBack(t *testing.T) {
	t.Parallel()
	o, d, invoices := setBack(t, "ingest")
	o.settle(1)
	after(o, d, invoices)
}

// Both at once: the writer waits for what ingest reads again, and nothing older than
// what stands in the books is written over it.
func TestBothDatabasesAreSetBack(t *testing.T) {
	t.Parallel()
	o, d, invoices := setBack(t, "ingest", "writer")
	o.recovers()
	after(o, d, invoices)
}
