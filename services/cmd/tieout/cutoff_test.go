package main

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
)

// startsLater has every route begin in an hour: what is won now was won before.
func (o *outside) startsLater() {
	o.t.Helper()
	o.kill()
	defer o.up()
	db, err := sql.Open("sqlite", filepath.Join(o.dir, "ingest.db"))
	if err == nil {
		_, err = db.Exec(`UPDATE route_start SET started_at = $1`, time.Now().Add(time.Hour).UnixMicro())
	}
	if err != nil {
		o.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		o.t.Fatal(err)
	}
}

// What was won before the cut-off is matched only, by whichever reading, until a
// person asks for it: by a break, or by the start of a backfill. It is billed once.
func TestWhatAPersonAsksForIsBilled(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.startsLater()
	d := newDeals(o, 2)
	for _, name := range []string{"One", "Two", "Three"} {
		d.win(name)
	}
	o.settle(3)
	o.run("backfill", "--connection", "crm", "--type", "deal", "--match-only")
	o.settle(3)
	if live := o.live(); len(live) != 0 {
		t.Fatalf("billed, and nobody asked: %v", live)
	}
	var report struct {
		Breaks []struct{ ID, Cause string }
	}
	said, code := o.try("reconcile", "-o", "json")
	if err := json.Unmarshal([]byte(said[:strings.LastIndex(said, "}")+1]), &report); err != nil || code != 5 || len(report.Breaks) != 3 || report.Breaks[0].Cause != "never_posted" {
		t.Fatalf("%v: %d %s", err, code, said)
	}
	o.run("reconcile", "repair", report.Breaks[0].ID)
	o.settle(3)
	if live := o.live(); len(live) != 1 {
		t.Errorf("one break was named, and these are billed: %v", live)
	}
	for range 2 {
		o.run("backfill", "--connection", "crm", "--type", "deal", "--from", "2026-01-01")
		o.settle(3)
		d.check("after a backfill that names its start")
	}
	o.run("reconcile")
}

// api asks ingest's HTTP API.
func (o *outside) api(method, path, body string, into any) {
	o.t.Helper()
	req, err := http.NewRequest(method, o.file.API.BaseURL+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.file.API.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 || json.Unmarshal(answer, into) != nil {
		o.t.Fatalf("%s %s: %d %s (%v)", method, path, resp.StatusCode, answer, err)
	}
}

// A deal that is pushed is posted with the mapping that is shipped; one that
// cannot be is told to its caller as parked, and one of the CRM's to finance.
func TestAPushedDealIsPosted(t *testing.T) {
	t.Parallel()
	o := start(t)
	push := func(id, related string) string {
		t.Helper()
		var out struct {
			Items []struct {
				EventIDs []string `json:"event_ids"`
			}
		}
		o.api(http.MethodPost, "/v1/events", `{"connection":"crm","type":"deal","id":"`+id+`",`+related+
			`"data":{"hs_is_closed":true,"hs_is_closed_won":true,"amount":"100.10","deal_currency_code":"EUR","dealname":"`+id+`","customer":"company/77`+id+`"}}`, &out)
		return out.Items[0].EventIDs[0]
	}
	ended := func(event, state string) {
		t.Helper()
		var e struct {
			State, Outcome string
			Exception      *struct{ ID, Reason string }
		}
		o.until("the event is "+state, func() bool { o.api(http.MethodGet, "/v1/events/"+event, "", &e); return e.State == state })
		if (e.Exception != nil) != (state == "parked") || (e.Outcome == "posted") != (state == "ended") {
			t.Errorf("%+v", e)
		}
	}
	o.t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.run("exceptions", "list", "-o", "json"))
		}
	})
	good, bad := push("1", `"related":{"company/771":{"name":"Pushed Ltd"}},`), push("2", "")
	ended(good, "ended")
	ended(bad, "parked")
	if live := o.live(); len(live["1"]) != 1 || live["1"][0].net().FloatString(2) != "100.10" {
		t.Errorf("%v", live)
	}
	company, err := o.portal.Company(t.Context(), map[string]string{"name": "Acme"})
	if err == nil {
		var deal string
		if deal, err = o.portal.Deal(t.Context(), crm.Deal{Name: "Too good", Company: company, Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "-1", Price: "10.00"}}}); err == nil {
			err = o.portal.Move(t.Context(), deal, crm.Won)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	o.settle(4)
	said, _ := o.try("reconcile", "-o", "json")
	if !strings.Contains(said, `"cause": "parked"`) {
		t.Errorf("a deal that is refused is not told: %s", said)
	}
}
