package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestCreditMemos(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	inv := text(b.post("/invoice", invoice(line("100", "", "", "1"))), "Id")
	memo := b.post("/creditmemo", strings.Replace(invoice(line("20", "", "", "1")), "{", `{"DocNumber":"C-1",`, 1))
	b.expect(memo, map[string]string{"TotalAmt": "24.6", "Balance": "24.6", "RemainingCredit": "24.6", "DueDate": "", "DocNumber": "C-1"})
	balance := func(want string) {
		t.Helper()
		b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": want})
	}
	balance("98.4")
	b.refused("6140", "/creditmemo", strings.Replace(invoice(line("20", "", "", "1")), "{", `{"DocNumber":"C-1",`, 1))
	b.post("/invoice", strings.Replace(invoice(line("1", "", "", "6")), "{", `{"DocNumber":"C-1",`, 1)) // numbers are of a kind
	balance("99.4")
	b.refused("500", "/creditmemo?operation=void", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, text(memo, "Id")))

	use := func(total, invoiced, credited string) string {
		return fmt.Sprintf(`{"CustomerRef":{"value":"1"},"TotalAmt":%s,"Line":[{"Amount":%s,"LinkedTxn":[{"TxnId":%q,"TxnType":"Invoice"}]},{"Amount":%s,"LinkedTxn":[{"TxnId":%q,"TxnType":"CreditMemo"}]}]}`,
			total, invoiced, inv, credited, text(memo, "Id"))
	}
	b.refused("6000", "/payment", use("0", "25", "24"))
	b.refused("6000", "/payment", use("0", "25", "25"))
	b.refused("6000", "/payment", use("0", "-1", "-1"))
	b.refused("2170", "/payment", strings.Replace(use("0", "1", "1"), "CreditMemo", "Bill", 1))
	p := b.post("/payment", use("5", "28", "24.6"))
	b.expect(p, map[string]string{"UnappliedAmt": "1.6"})
	b.expect(b.get("/creditmemo/" + text(memo, "Id"))["CreditMemo"].(fields), map[string]string{"RemainingCredit": "0", "TotalAmt": "24.6"})
	b.expect(b.get("/invoice/" + inv)["Invoice"].(fields), map[string]string{"Balance": "95"})
	balance("94.4")
	b.refused("6000", "/creditmemo?operation=delete", fmt.Sprintf(`{"Id":%q,"SyncToken":"1"}`, text(memo, "Id")))
	b.post("/payment?include=void", fmt.Sprintf(`{"Id":%q,"SyncToken":"0","sparse":true}`, text(p, "Id")))
	balance("99.4")
	b.post("/creditmemo?operation=delete", fmt.Sprintf(`{"Id":%q,"SyncToken":"2"}`, text(memo, "Id")))
	balance("124")
	r := b.get("/cdc?entities=CreditMemo&changedSince=2026-11-01T00:00:00Z")
	list := r["CDCResponse"].([]any)[0].(fields)["QueryResponse"].([]any)[0].(fields)["CreditMemo"].([]any)
	if len(list) != 1 || text(list[0].(fields), "status") != "Deleted" {
		t.Errorf("changes %v", r)
	}
}

// A payment that only stands with the help of the credit memo keeps it.
func TestACreditInUseIsNotPulledAway(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", `{"void_paid":"unapply"}`)
	b.post("/invoice", invoice(line("100", "", "", "1")))
	b.post("/creditmemo", invoice(line("20", "", "", "1")))
	b.post("/payment", `{"CustomerRef":{"value":"1"},"TotalAmt":0,"Line":[{"Amount":24.6,"LinkedTxn":[{"TxnId":"1","TxnType":"Invoice"}]},{"Amount":24.6,"LinkedTxn":[{"TxnId":"2","TxnType":"CreditMemo"}]}]}`)
	before := b.get("/customer/1")["Customer"].(fields)
	b.refused("6000", "/creditmemo?operation=delete", `{"Id":"2","SyncToken":"1"}`)
	b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": text(before, "Balance")})
	b.expect(b.get("/invoice/1")["Invoice"].(fields), map[string]string{"Balance": "98.4"})
}

func TestWhoMayWrite(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", `{"subscription":"EXPIRED"}`)
	b.refused("6190", "/customer", `{"DisplayName":"X"}`)
	b.get("/customer/1") // reading is allowed
	if got := b.query("select * from CompanyInfo"); !strings.Contains(fmt.Sprint(got), "EXPIRED") {
		t.Errorf("the company does not say so: %v", got)
	}
	b.control("settings", `{"subscription":"TRIAL","user":"removed"}`)
	for _, method := range []string{"GET", "POST"} {
		status, out := b.call(method, "/customer/1", "")
		e, _ := at(out, "Fault", "Error").([]any)
		if status != 403 || len(e) != 1 || text(e[0].(fields), "code") != "120" || text(out, "Fault", "type") != "AuthorizationFault" {
			t.Errorf("%s of a person who was removed: %d %v", method, status, out)
		}
	}
	b.control("settings", `{"user":"admin"}`)
	b.post("/customer", `{"DisplayName":"X"}`)
}

func TestSettingsSayWhatIsAllowed(t *testing.T) {
	b := open(t, Config{})
	for body, want := range map[string]string{
		`{"closing_date":"soon"}`:            "2026-10-31",
		`{"closing_date":5}`:                 "2026-10-31",
		`{"multicurrency":"yes"}`:            "true or false",
		`{"void_paid":"maybe"}`:              "refuse, unapply",
		`{"batch_max":0}`:                    "at least 1",
		`{"refresh_grace":"long"}`:           "duration",
		`{"webhook_form":null}`:              "cloudevents, legacy",
		`{"subscription":""}`:                "SUBSCRIBED",
		`{"colour":1}`:                       "closing_date",
		`{"preset":"DE"}`:                    "IE, US",
		`{"limits":{"hourly":1}}`:            "per_minute",
		`{"limits":5}`:                       "counts by name",
		`{"webhooks":{"target":"hook"}}`:     "http://",
		`{"webhooks":{"drop":2}}`:            "between 0 and 1",
		`{"longest_request":3}`:              `"3s"`,
		`[]`:                                 "object",
		`null`:                               "object",
		`{"seed":"x"}`:                       "whole number",
		`{"search_lag":"1s","colour":"red"}`: "colour",
	} {
		if status, raw, _ := b.send("POST", "/_sandbox/settings", body, nil); status != 400 || !strings.Contains(strings.ReplaceAll(raw, `\"`, `"`), want) {
			t.Errorf("%s: %d %s, want %s", body, status, raw, want)
		}
	}
	if _, raw, _ := b.send("GET", "/_sandbox/settings", "", nil); !strings.Contains(raw, `"search_lag":"0s"`) {
		t.Errorf("a refused body changed something: %s", raw)
	}
}

func TestLegacyWebhooks(t *testing.T) {
	arrived := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		arrived <- string(raw)
	}))
	defer hook.Close()
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", fmt.Sprintf(`{"webhook_form":"legacy","webhooks":{"target":%q}}`, hook.URL))
	b.post("/invoice", invoice(line("10", "", "", "1")))
	b.post("/invoice?operation=void", `{"Id":"1","SyncToken":"0"}`)
	b.post("/creditmemo", invoice(line("10", "", "", "1")))
	for _, want := range []string{`{"id":"1","lastUpdated":"`, `"name":"Invoice","operation":"Void"`, `"name":"CreditMemo","operation":"Create"`} {
		select {
		case got := <-arrived:
			if !strings.HasPrefix(got, `{"eventNotifications":[{"dataChangeEvent":{"entities":[`) || !strings.Contains(got, want) || !strings.Contains(got, `"realmId":"`+DefaultRealm+`"`) {
				t.Errorf("%s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no webhook")
		}
	}
}

func TestLimitsOfTheMinute(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", `{"limits":{"per_second":0}}`)
	b.clock.add(time.Minute)
	b.clock.step = 0
	batch := `{"BatchItemRequest":[{"bId":"1","Query":"select * from Item"}]}`
	for i := range 40 {
		if status, out := b.call("POST", "/batch", batch); status != 200 {
			t.Fatalf("batch %d: %v", i, out)
		}
	}
	if status, _ := b.call("POST", "/batch", batch); status != 429 {
		t.Errorf("the 41st batch of a minute: %d", status)
	}
	for i := range 460 {
		if status, out := b.call("GET", "/customer/1", ""); status != 200 {
			t.Fatalf("request %d: %v", i, out)
		}
	}
	if status, _ := b.call("GET", "/customer/1", ""); status != 429 {
		t.Errorf("the 501st request of a minute: %d", status)
	}
	if _, log, _ := b.send("GET", "/_sandbox/requests?since=0", "", nil); !strings.Contains(log, `"fault":"limit:per_minute"`) || !strings.Contains(log, `"fault":"limit:batches_per_minute"`) {
		t.Errorf("the log does not say which limit")
	}
	b.clock.add(time.Minute)
	b.get("/customer/1")
}

// The company has a limit of its own, whichever app asks.
func TestLimitOfTheCompany(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", `{"limits":{"per_second":0,"batches_per_minute_of_company":2}}`)
	b.clock.step = 0
	batch := `{"BatchItemRequest":[{"bId":"1","Query":"select * from Item"}]}`
	b.call("POST", "/batch", batch)
	b.token = b.creds.ReaderToken
	b.call("POST", "/batch", batch)
	if status, _ := b.call("POST", "/batch", batch); status != 429 {
		t.Errorf("the third batch of the company: %d", status)
	}
}

func TestRequestLog(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.post("/invoice?requestid=k7", invoice(line("10", "", "", "1")))
	_, log, _ := b.send("GET", "/_sandbox/requests?since=3", "", nil)
	got, err := decodeBody([]byte(log))
	if err != nil {
		t.Fatalf("%s: %v", log, err)
	}
	b.expect(got, map[string]string{"n": "4", "app": "app", "method": "POST", "path": "/v3/company/" + DefaultRealm + "/invoice",
		"query": "requestid=" + url.QueryEscape("k7"), "key": "k7", "bytes": fmt.Sprint(len(invoice(line("10", "", "", "1")))), "status": "200", "fault": ""})
	if text(got, "at") == "" || text(got, "done") < text(got, "at") || fmt.Sprint(got["effects"]) != "[invoice/1]" {
		t.Errorf("%s", log)
	}
	if status, raw, _ := b.send("GET", "/_sandbox/requests?since=x", "", nil); status != 400 || !strings.Contains(raw, "since") {
		t.Errorf("%d %s", status, raw)
	}
	_, export, _ := b.send("GET", "/_sandbox/export", "", nil)
	for _, want := range []string{`"type":"invoice","id":"1","version":1,"deleted":false,"created_at":"`, `"versions":[{"at":"`, `"request":4,"data":{`} {
		if !strings.Contains(export, want) {
			t.Errorf("the export lacks %s", want)
		}
	}
}
