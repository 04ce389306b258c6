package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// bench is a company without a server: what a request writes is dropped.
type bench struct {
	c      *company
	engine *engine.Sandbox
	token  string
}

func newBench(f testing.TB) *bench {
	c, err := newCompany(DefaultRealm, nil)
	if err != nil {
		f.Fatal(err)
	}
	b := &bench{c: c}
	if b.engine, err = engine.New(engine.Config{Name: "quickbooks", Preset: "IE", Clock: &testClock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}}, c); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { b.engine.Close() })
	b.engine.View(func(tx *engine.Tx) { b.token = loadGrant[client](tx, clientFact(engine.AppMain)).Access })
	return b
}

// serve answers a request in a world with a customer, an item, an invoice, a
// credit memo and a payment of both.
func (b *bench) serve(t *testing.T, method, path, query, body string) engine.Response {
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Skip("not a query a server would hand on")
	}
	var out engine.Response
	b.engine.View(func(tx *engine.Tx) {
		for _, step := range [][2]string{
			{"/customer", `{"DisplayName":"Acme"}`},
			{"/item", `{"Name":"Licence","IncomeAccountRef":{"value":"4"}}`},
			{"/invoice", invoice(line("10", "", "", "1"))},
			{"/creditmemo", invoice(line("4", "", "", "1"))},
			{"/payment", `{"CustomerRef":{"value":"1"},"TotalAmt":1,"Line":[{"Amount":3,"LinkedTxn":[{"TxnId":"1","TxnType":"Invoice"}]},{"Amount":2,"LinkedTxn":[{"TxnId":"2","TxnType":"CreditMemo"}]}]}`},
		} {
			if r := b.one(tx, "POST", step[0], nil, step[1]); r.Status != 200 {
				t.Fatalf("%s: %s", step[0], r.Body)
			}
		}
		out = b.one(tx, method, path, q, body)
	})
	return out
}

func (b *bench) one(tx *engine.Tx, method, path string, query url.Values, body string) engine.Response {
	if query == nil {
		query = url.Values{}
	}
	r := &engine.Request{N: 1, Now: tx.Now(), Method: method, Path: apiPath + DefaultRealm + path, Query: query,
		Header: http.Header{"Authorization": {"Bearer " + b.token}}, Body: []byte(body)}
	b.c.Identify(tx, r)
	return b.c.Serve(tx, r)
}

func seeds() [][4]string {
	return [][4]string{
		{"POST", "/invoice", "", invoice(line("10.00", "3", "3.33", "1"))},
		{"POST", "/invoice", "operation=void", `{"Id":"1","SyncToken":"1"}`},
		{"POST", "/invoice", "operation=delete", `{"Id":"1","SyncToken":"1"}`},
		{"POST", "/invoice", "", `{"Id":"1","SyncToken":"1","sparse":true,"Line":[null,{"DetailType":"SubTotalLineDetail"}]}`},
		{"POST", "/creditmemo", "include=allowduplicatedocnum", invoice(line("1e2", "", "", "1"), `{"DetailType":"DiscountLineDetail","DiscountLineDetail":{"PercentBased":true,"DiscountPercent":10}}`)},
		{"POST", "/payment", "include=void", `{"Id":"3","SyncToken":"0","sparse":true}`},
		{"POST", "/payment", "", `{"CustomerRef":{"value":"1"},"TotalAmt":-1,"Line":[{"Amount":1,"LinkedTxn":[{}]}]}`},
		{"POST", "/customer", "", `{"Id":"1","SyncToken":"0","sparse":true,"Active":false,"CurrencyRef":{"value":"USD"}}`},
		{"POST", "/item", "requestid=k", `{"Name":"A:B","Type":"Group"}`},
		{"POST", "/batch", "", `{"BatchItemRequest":[{"bId":"1","operation":"create","Customer":{"DisplayName":"B"}},{"bId":"2","Query":"select * from Invoice"},{"bId":"3","operation":"update","optionsData":"void","Invoice":{"Id":"1","SyncToken":"1"}}]}`},
		{"POST", "/exchangerate", "", `{"SourceCurrencyCode":"USD","AsOfDate":"2026-11-01","Rate":0.95}`},
		{"GET", "/query", "query=select+*+from+Invoice+where+TotalAmt+%3E+%2710%27+orderby+DocNumber+desc+startposition+1+maxresults+5", ""},
		{"GET", "/cdc", "entities=Invoice,Customer&changedSince=2026-11-01T00:00:00Z", ""},
		{"GET", "/invoice/1", "", ""},
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s[0], s[1], s[2], s[3])
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		late := time.AfterFunc(20*time.Second, func() { panic("no answer after 20 s: " + method + " " + path + "?" + query + " " + body) })
		defer late.Stop()
		r := b.serve(t, method, path, query, body)
		if r.Status >= 500 || r.Status < 200 || !json.Valid(r.Body) {
			t.Errorf("%s %s?%s %s: %d %q", method, path, query, body, r.Status, r.Body)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"select * from Invoice where DocNumber in ('1001', '2') and CustomerRef = '1' orderby MetaData.CreateTime, TotalAmt desc",
		"select count(*) from Customer where Active in (true,false)", `select Id from Customer where DisplayName like '%c\'%'`,
		"select * from Item startposition 2 maxresults 1000", "select * from TaxCode where", "'", "select * from Invoice maxresults 99999999999999999999",
	} {
		f.Add(s)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, q string) {
		r := b.serve(t, "GET", "/query", url.Values{"query": {q}}.Encode(), "")
		if r.Status != 200 && r.Status != 400 || !json.Valid(r.Body) {
			t.Errorf("%q: %d %q", q, r.Status, r.Body)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=x")
	f.Add("application/json", `{"token":"x"}`)
	f.Add("application/json; charset", `{"grant_type":1}`)
	b := newBench(f)
	f.Fuzz(func(t *testing.T, kind, body string) {
		b.engine.View(func(tx *engine.Tx) {
			app := loadGrant[client](tx, clientFact(engine.AppMain))
			r := &engine.Request{N: 1, Now: tx.Now(), Method: "POST", Path: tokenPath, Query: url.Values{}, Body: []byte(body), Header: http.Header{"Content-Type": {kind}}}
			(&http.Request{Header: r.Header}).SetBasicAuth(app.ID, app.Secret)
			for _, path := range []string{tokenPath, revokePath} {
				r.Path = path
				b.c.Identify(tx, r)
				b.c.Claims(tx, r)
				if resp := b.c.Serve(tx, r); resp.Status != 400 && !strings.Contains(body, app.Refresh) {
					t.Errorf("%s %s: %d %s", path, body, resp.Status, resp.Body)
				}
			}
		})
	})
}

// spoilt is a body with each of its parts in turn replaced by something that
// does not belong there.
func spoilt(t *testing.T, body string) []string {
	var whole any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatal(err)
	}
	var out []string
	junk := []any{nil, "", "x", "1", 0, -1, json.Number("1e99"), true, []any{}, []any{nil}, map[string]any{}, map[string]any{"value": 1}}
	var walk func(v any, put func(any))
	walk = func(v any, put func(any)) {
		for _, j := range junk {
			put(j)
			raw, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(raw))
		}
		put(v)
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(inner, func(x any) { v[k] = x })
			}
		case []any:
			for i, inner := range v {
				walk(inner, func(x any) { v[i] = x })
			}
		}
	}
	walk(whole, func(x any) { whole = x })
	return out
}

func TestEveryPartOfABodyCanBeWrong(t *testing.T) {
	b := newBench(t)
	for _, seed := range seeds() {
		if seed[3] == "" {
			continue
		}
		for _, body := range spoilt(t, seed[3]) {
			if r := b.serve(t, seed[0], seed[1], seed[2], body); r.Status >= 500 || !json.Valid(r.Body) {
				t.Errorf("%s %s %s: %d %s", seed[0], seed[1], body, r.Status, r.Body)
			}
		}
	}
}
