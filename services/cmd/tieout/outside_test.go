package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/cmd/tieout/endpoints"
)

// outside is a running 'tieout dev', seen from outside only: through its
// command line and the sandboxes' own APIs.
type outside struct {
	t      testing.TB
	bin    string
	dir    string
	cmd    *exec.Cmd
	output *bytes.Buffer
	file   *endpoints.File
	portal crm.Portal
}

func start(t testing.TB) *outside {
	t.Helper()
	return startIn(t, t.TempDir())
}

func startIn(t testing.TB, dir string) *outside {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the whole process is not started")
	}
	o := &outside{t: t, dir: dir, bin: filepath.Join(t.TempDir(), "tieout")}
	if out, err := exec.Command("go", "build", "-o", o.bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Cleanup(o.kill)
	o.up()
	return o
}

// up starts the process and waits for endpoints.json.
func (o *outside) up() {
	o.t.Helper()
	o.output = &bytes.Buffer{}
	o.cmd = exec.Command(o.bin, "dev", "--no-story", "--dir", o.dir)
	o.cmd.Stdout, o.cmd.Stderr = o.output, o.output
	if err := o.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		f, err := endpoints.Read(o.dir)
		if err == nil && f.PID == o.cmd.Process.Pid {
			o.file = f
			o.portal = crm.Portal{BaseURL: f.Sandboxes["hubspot"].BaseURL, Token: f.Sandboxes["hubspot"].ReaderToken}
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("not ready: %v\n%s", err, o.output)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// kill is a kill -9.
func (o *outside) kill() {
	if o.cmd != nil && o.cmd.Process != nil {
		_ = o.cmd.Process.Kill()
		_ = o.cmd.Wait()
	}
}

// run runs the command line and returns its output; it must succeed.
func (o *outside) run(args ...string) string {
	o.t.Helper()
	cmd := exec.Command(o.bin, append(args, "--dir", o.dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(o.dir, "tieout.log"))
		o.t.Fatalf("tieout %s: %v\n%s%s\nlog: %s", strings.Join(args, " "), err, out, stderr.String(), log[max(0, len(log)-3000):])
	}
	return string(out)
}

func (o *outside) settle(atLeast int) {
	o.t.Helper()
	o.run("wait", "--settled", "--at-least", fmt.Sprint(atLeast), "--timeout", "120s")
}

// invoice is one of the books', read with a person's own token.
type invoice struct {
	ID, DocNumber, PrivateNote, SyncToken string
	TxnDate                               string
	TotalAmt                              json.Number
	TxnTaxDetail                          struct{ TotalTax json.Number }
	CustomerRef                           struct{ Value string }
}

func (v invoice) net() *big.Rat {
	gross, _ := new(big.Rat).SetString(v.TotalAmt.String())
	tax := new(big.Rat)
	if v.TxnTaxDetail.TotalTax != "" {
		tax, _ = tax.SetString(v.TxnTaxDetail.TotalTax.String())
	}
	return gross.Sub(gross, tax)
}

func (v invoice) void() bool { return strings.HasPrefix(v.PrivateNote, "Voided") }

// invoices reads all of them, a page at a time.
func (o *outside) invoices() (all []invoice) {
	o.t.Helper()
	const most = 1000 // of one answer
	for {
		var page []invoice
		o.query("Invoice", fmt.Sprintf("startposition %d maxresults %d", len(all)+1, most), &page)
		all = append(all, page...)
		if len(page) < most {
			return all
		}
	}
}

// live are the invoices that are not void, by the deal's name in their memo.
func (o *outside) live() map[string][]invoice {
	o.t.Helper()
	out := map[string][]invoice{}
	for _, v := range o.invoices() {
		if !v.void() {
			_, name, _ := strings.Cut(v.PrivateNote, " · ")
			out[name] = append(out[name], v)
		}
	}
	return out
}

func (o *outside) fault(system, body string) {
	o.t.Helper()
	o.post(o.file.Sandboxes[system].BaseURL+"/_sandbox/faults", body)
}

func (o *outside) post(address, body string) {
	o.t.Helper()
	resp, err := http.Post(address, "application/json", strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		o.t.Fatalf("%s: %s %s", address, resp.Status, b)
	}
}

// deals are made once and remembered with what they must come to.
type deals struct {
	o       *outside
	random  *rand.Rand
	company []string
	want    map[string]*big.Rat // by name: the net
	ids     map[string]string
}

func newDeals(o *outside, companies int) *deals {
	o.t.Helper()
	d := &deals{o: o, random: rand.New(rand.NewPCG(3, 5)), want: map[string]*big.Rat{}, ids: map[string]string{}}
	for i := range companies {
		id, err := o.portal.Company(context.Background(), map[string]string{"name": fmt.Sprintf("Company %d & Söhne", i)})
		if err != nil {
			o.t.Fatal(err)
		}
		d.company = append(d.company, id)
	}
	return d
}

// win makes a deal of one to three lines and wins it.
func (d *deals) win(name string) {
	d.o.t.Helper()
	ctx := context.Background()
	deal := crm.Deal{Name: name, Company: d.company[d.random.IntN(len(d.company))], Currency: []string{"EUR", "EUR", "USD", "GBP"}[d.random.IntN(4)]}
	sum := new(big.Rat)
	for range 1 + d.random.IntN(3) {
		cents, quantity := 1+d.random.IntN(99999), 1+d.random.IntN(20)
		item := fmt.Sprintf("Item %d", d.random.IntN(8))
		deal.Lines = append(deal.Lines, crm.Line{Name: item, Quantity: fmt.Sprint(quantity), Price: fmt.Sprintf("%d.%02d", cents/100, cents%100)})
		sum.Add(sum, big.NewRat(int64(cents*quantity), 100))
	}
	id, err := d.o.portal.Deal(ctx, deal)
	if err == nil {
		err = d.o.portal.Move(ctx, id, crm.Won)
	}
	if err != nil {
		d.o.t.Fatal(err)
	}
	d.want[name], d.ids[name] = sum, id
}

// push hands over a deal that is not in the CRM.
func (d *deals) push(name string) {
	d.o.t.Helper()
	var admitted map[string]any
	d.o.api(http.MethodPost, "/v1/events", fmt.Sprintf(`{"connection":"crm","type":"deal","id":%q,"related":{"company/p":{"name":"Pushed Ltd"}},
		"data":{"hs_is_closed":true,"hs_is_closed_won":true,"amount":"100.10","deal_currency_code":"EUR","dealname":%q,"customer":"company/p"}}`, name, name), &admitted)
	d.want[name] = big.NewRat(10010, 100)
}

// check: every deal is one live invoice with the right cents, and nothing else lives.
func (d *deals) check(when string) {
	d.o.t.Helper()
	live := d.o.live()
	for name, want := range d.want {
		got := live[name]
		if len(got) != 1 || got[0].net().Cmp(want) != 0 {
			d.o.t.Errorf("%s: deal %q should be one invoice of net %s, and is %+v", when, name, want.FloatString(2), got)
		}
		delete(live, name)
	}
	for name, extra := range live {
		d.o.t.Errorf("%s: nobody asked for %q: %+v", when, name, extra)
	}
}

func TestFiftyDealsBecomeFiftyInvoices(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 6)
	for i := range 50 {
		d.win(fmt.Sprintf("Deal %d", i))
	}
	o.settle(50)
	d.check("after 50 deals")
	o.run("reconcile")
	d.checkWrittenBack()
	d.checkJourney()
}

// checkWrittenBack: the deal carries number and id of its invoice.
func (d *deals) checkWrittenBack() {
	d.o.t.Helper()
	for name, got := range d.o.live() {
		if d.ids[name] == "" {
			continue // it was pushed
		}
		p, err := d.o.portal.Record(context.Background(), "deals", d.ids[name], "tieout_invoice_number", "tieout_invoice_id", "tieout_invoice_status")
		if err != nil || p["tieout_invoice_number"] != got[0].DocNumber || p["tieout_invoice_id"] != got[0].ID || p["tieout_invoice_status"] != "open" {
			d.o.t.Errorf("deal %q carries %v (%v), its invoice is number %s, id %s", name, p, err, got[0].DocNumber, got[0].ID)
		}
	}
}

// checkJourney: an invoice number leads to every hop, in time order.
func (d *deals) checkJourney() {
	d.o.t.Helper()
	number := d.o.live()["Deal 7"][0].DocNumber
	var j struct {
		Subject       string `json:"subject"`
		InvoiceNumber string `json:"invoice_number"`
		Steps         []struct{ At, What, Service string }
	}
	if err := json.Unmarshal([]byte(d.o.run("journey", number, "-o", "json")), &j); err != nil {
		d.o.t.Fatal(err)
	}
	seen, last := map[string]bool{}, ""
	for _, s := range j.Steps {
		if s.At < last {
			d.o.t.Errorf("step %s at %s stands after %s", s.What, s.At, last)
		}
		last = s.At
		seen[s.Service+" "+s.What] = true
	}
	for _, want := range []string{"ingest event.admitted", "transform event.rendered", "writer slot.received", "writer call.sent", "writer op.settled", "writer slot.ended"} {
		if !seen[want] {
			d.o.t.Errorf("journey %s of %s lacks %s: %v", number, j.Subject, want, seen)
		}
	}
	if j.InvoiceNumber != number || !strings.HasSuffix(j.Subject, "/deal/"+d.ids["Deal 7"]) {
		d.o.t.Errorf("journey %s is of %s, number %s", number, j.Subject, j.InvoiceNumber)
	}
}

func TestTheSameChangesTwiceAndTheWayBack(t *testing.T) {
	t.Parallel()
	o := start(t)
	ctx := context.Background()
	d := newDeals(o, 1)
	d.win("Once")
	o.settle(1)
	first := o.live()["Once"][0]

	o.redeliver(d.ids["Once"], 10)
	o.settle(1)
	d.check("after ten webhooks")

	lines, err := o.portal.Lines(ctx, d.ids["Once"])
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if err := o.portal.Change(ctx, "line_items", l, map[string]string{"price": "10.10", "quantity": "3"}); err != nil {
			t.Fatal(err)
		}
	}
	o.settle(2)
	d.want["Once"] = big.NewRat(int64(3030*len(lines)), 100)
	d.check("after a change")
	if got := o.live()["Once"][0]; got.ID != first.ID || got.DocNumber != first.DocNumber {
		t.Errorf("the change made another invoice: %+v, was %+v", got, first)
	}

	o.move(d.ids["Once"], crm.Lost, 3)
	if len(o.live()) != 0 {
		t.Errorf("a lost deal has a live invoice: %+v", o.live())
	}
	o.move(d.ids["Once"], crm.Won, 4)
	d.check("won again")
	if all := o.invoices(); len(all) != 2 {
		t.Errorf("won, lost and won made %d invoices, one void and one open are wanted", len(all))
	}
}

func (o *outside) move(deal, stage string, revisions int) {
	o.t.Helper()
	if err := o.portal.Move(context.Background(), deal, stage); err != nil {
		o.t.Fatal(err)
	}
	o.settle(revisions)
}

// redeliver touches a deal so that its webhook comes, with the sandbox
// delivering every one of them twice, and asks the property back and forth.
func (o *outside) redeliver(deal string, times int) {
	o.t.Helper()
	o.post(o.file.Sandboxes["hubspot"].BaseURL+"/_sandbox/settings", `{"webhooks":{"duplicate":1.0}}`)
	for range times {
		if err := o.portal.Move(context.Background(), deal, crm.Won); err != nil {
			o.t.Fatal(err)
		}
	}
	o.post(o.file.Sandboxes["hubspot"].BaseURL+"/_sandbox/settings", `{"webhooks":{"duplicate":0}}`)
}

func TestLostAnswersMakeNoSecondInvoice(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.fault("quickbooks", `{"match":{"method":"POST","path":"/v3/company/**","nth":3},"effect":"reset_after"}`)
	d := newDeals(o, 4)
	for i := range 15 {
		d.win(fmt.Sprintf("Deal %d", i))
	}
	o.settle(15)
	d.check("with every third answer lost")
}

func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 4)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for kill := range 10 {
		for i := range 3 {
			d.win(fmt.Sprintf("Deal %d-%d", kill, i))
		}
		pause := time.Duration(random.IntN(900)) * time.Millisecond
		t.Logf("kill %d after %v", kill, pause)
		<-time.After(pause)
		o.kill()
		o.up()
	}
	o.settle(30)
	d.check("after ten kills")
	o.run("reconcile")
}
