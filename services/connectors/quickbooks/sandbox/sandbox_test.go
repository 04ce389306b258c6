package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// testClock moves a second with every reading, so versions are told apart and
// no limit is reached by accident.
type testClock struct {
	mu  sync.Mutex
	now time.Time
	// step is how far each reading moves it.
	step time.Duration
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *testClock) After(time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch
}

func (c *testClock) add(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

// books is a client of a sandbox of its own.
type books struct {
	*testing.T
	s     *Sandbox
	url   string
	token string
	creds Credentials
	clock *testClock
}

func open(t *testing.T, cfg Config) *books {
	t.Helper()
	clock := &testClock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), step: time.Second}
	cfg.Clock = clock
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); srv.Close() })
	c := s.Credentials()
	return &books{T: t, s: s, url: srv.URL, token: c.AccessToken, creds: c, clock: clock}
}

func (b *books) send(method, path, body string, header http.Header) (int, string, http.Header) {
	b.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

func (b *books) call(method, path, body string) (int, fields) {
	b.Helper()
	h := http.Header{"Authorization": {"Bearer " + b.token}, "Accept": {"application/json"}, "Content-Type": {"application/json"}}
	status, raw, head := b.send(method, apiPath+DefaultRealm+path, body, h)
	if head.Get("intuit_tid") == "" {
		b.Fatalf("%s %s: no intuit_tid", method, path)
	}
	out, err := decodeBody([]byte(raw))
	if err != nil {
		b.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	return status, out
}

// post creates or changes and answers the entity.
func (b *books) post(path, body string) fields {
	b.Helper()
	status, out := b.call("POST", path, body)
	if status != 200 {
		b.Fatalf("POST %s %s: %d %v", path, body, status, out)
	}
	for name, v := range out {
		if name != "time" {
			f, _ := v.(fields)
			return f
		}
	}
	return nil
}

func (b *books) get(path string) fields {
	b.Helper()
	status, out := b.call("GET", path, "")
	if status != 200 {
		b.Fatalf("GET %s: %d %v", path, status, out)
	}
	return out
}

// refused expects a Fault with the code.
func (b *books) refused(code, path, body string) {
	b.Helper()
	method := "POST"
	if body == "" {
		method = "GET"
	}
	status, out := b.call(method, path, body)
	list, _ := at(out, "Fault", "Error").([]any)
	if status != 400 || len(list) != 1 || text(list[0].(fields), "code") != code || text(out, "time") == "" || text(out, "Fault", "type") != "ValidationFault" {
		b.Errorf("%s %s: %d %v, want code %s", path, body, status, out, code)
	}
}

func (b *books) query(q string) []any {
	b.Helper()
	r := b.get("/query?query=" + url.QueryEscape(q))
	for name, v := range r["QueryResponse"].(fields) {
		if list, ok := v.([]any); ok && name != "startPosition" {
			return list
		}
	}
	return nil
}

func (b *books) control(path, body string) string {
	b.Helper()
	status, out, _ := b.send("POST", "/_sandbox/"+path, body, nil)
	if status != 200 {
		b.Fatalf("%s %s: %d %s", path, body, status, out)
	}
	return out
}

// stocked has customer 1 and items 1 and 2.
func stocked(t *testing.T, cfg Config) *books {
	b := open(t, cfg)
	b.post("/customer", `{"DisplayName":"Acme Ltd","PrimaryEmailAddr":{"Address":"ap@acme.example"}}`)
	b.post("/item", `{"Name":"Licence","Type":"Service","IncomeAccountRef":{"value":"4"},"UnitPrice":100}`)
	b.post("/item", `{"Name":"Support","Type":"Service","IncomeAccountRef":{"value":"5"}}`)
	return b
}

func line(amount, qty, price, code string) string {
	d := fmt.Sprintf(`"ItemRef":{"value":"1"},"TaxCodeRef":{"value":%q}`, code)
	if qty != "" {
		d += fmt.Sprintf(`,"Qty":%s,"UnitPrice":%s`, qty, price)
	}
	return fmt.Sprintf(`{"Amount":%s,"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{%s}}`, amount, d)
}

func invoice(lines ...string) string {
	return `{"CustomerRef":{"value":"1"},"Line":[` + strings.Join(lines, ",") + `]}`
}

func (b *books) expect(f fields, want map[string]string) {
	b.Helper()
	for path, w := range want {
		if got := text(f, strings.Split(path, ".")...); got != w {
			b.Errorf("%s is %q, want %q in %v", path, got, w, f)
		}
	}
}

func TestInvoiceOfAnIrishCompany(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	inv := b.post("/invoice", `{"CustomerRef":{"value":"1"},"TxnDate":"2026-10-01","SalesTermRef":{"value":"3"},"Line":[`+
		line("29.97", "3", "9.99", "1")+`,`+line("0.05", "1", "0.05", "2")+`,`+line("10.00", "", "", "6")+`]}`)
	// 29.97 at 23 % is 6.8931, 0.05 at 13.5 % is 0.00675
	b.expect(inv, map[string]string{"TotalAmt": "46.92", "Balance": "46.92", "TxnTaxDetail.TotalTax": "6.9", "DocNumber": "1001", "SyncToken": "0",
		"DueDate": "2026-10-31", "CurrencyRef.value": "EUR", "CustomerRef.name": "Acme Ltd", "GlobalTaxCalculation": "TaxExcluded", "domain": "QBO"})
	if list := inv["TxnTaxDetail"].(fields)["TaxLine"].([]any); len(list) != 2 || text(list[0].(fields), "Amount") != "6.89" || text(list[1].(fields), "TaxLineDetail", "NetAmountTaxable") != "0.05" {
		t.Errorf("tax lines %v", list)
	}
	if list := inv["Line"].([]any); len(list) != 4 || text(list[2].(fields), "Id") != "3" || text(list[3].(fields), "DetailType") != "SubTotalLineDetail" {
		t.Errorf("lines %v", list)
	}
	if c := b.get("/customer/1")["Customer"].(fields); text(c, "Balance") != "46.92" {
		t.Errorf("customer balance %v", c["Balance"])
	}
	if got := b.get("/invoice/" + text(inv, "Id"))["Invoice"].(fields); text(got, "TotalAmt") != "46.92" {
		t.Errorf("read back %v", got)
	}
}

func TestTaxIsRoundedOnEachLine(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	// 0.10 at 13.5 % is 0.0135: three lines make 0.03, the sum would make 0.04
	inv := b.post("/invoice", invoice(line("0.10", "", "", "2"), line("0.10", "", "", "2"), line("0.10", "", "", "2")))
	b.expect(inv, map[string]string{"TxnTaxDetail.TotalTax": "0.03", "TotalAmt": "0.33"})
	// 1.50 at 23 % is 0.345: half goes up
	b.expect(b.post("/invoice", invoice(line("1.50", "", "", "1"))), map[string]string{"TxnTaxDetail.TotalTax": "0.35"})
}

func TestInclusiveAndDiscountAndNone(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	gross := strings.Replace(line("81.30", "", "", "1"), `"ItemRef"`, `"TaxInclusiveAmt":100,"ItemRef"`, 1)
	inv := b.post("/invoice", strings.Replace(invoice(gross), "{", `{"GlobalTaxCalculation":"TaxInclusive",`, 1))
	b.expect(inv, map[string]string{"TotalAmt": "100", "TxnTaxDetail.TotalTax": "18.7"})
	b.refused("2020", "/invoice", strings.Replace(invoice(line("81.30", "", "", "1")), "{", `{"GlobalTaxCalculation":"TaxInclusive",`, 1))
	b.refused("2170", "/invoice", strings.Replace(invoice(line("1", "", "", "1")), "{", `{"GlobalTaxCalculation":"Sometimes",`, 1))
	discount := `{"DetailType":"DiscountLineDetail","DiscountLineDetail":{"PercentBased":true,"DiscountPercent":10}}`
	inv = b.post("/invoice", invoice(line("100", "", "", "1"), discount))
	b.expect(inv, map[string]string{"TotalAmt": "110.7", "TxnTaxDetail.TotalTax": "20.7"})
	inv = b.post("/invoice", strings.Replace(invoice(line("100", "", "", "1")), "{", `{"GlobalTaxCalculation":"NotApplicable",`, 1))
	b.expect(inv, map[string]string{"TotalAmt": "100", "TxnTaxDetail.TotalTax": "0"})
}

func TestSalesTaxOfAUSCompany(t *testing.T) {
	b := stocked(t, Config{Preset: "US"})
	body := strings.Replace(invoice(line("10.31", "", "", "TAX"), line("5", "", "", "NON")), "{", `{"TxnTaxDetail":{"TxnTaxCodeRef":{"value":"3"}},`, 1)
	// 10.31 at 7.1 % is 0.73, at 2 % is 0.21
	b.expect(b.post("/invoice", body), map[string]string{"TotalAmt": "16.25", "TxnTaxDetail.TotalTax": "0.94", "CurrencyRef.value": "USD"})
	b.expect(b.post("/invoice", invoice(line("10", "", "", "TAX"))), map[string]string{"TotalAmt": "10"})
	b.refused("2500", "/invoice", invoice(line("10", "", "", "2")))
}

func TestRefusals(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	ok := line("10", "", "", "1")
	long := strings.Repeat("9", 22)
	b.post("/invoice", strings.Replace(invoice(ok), "{", `{"DocNumber":"A-1",`, 1))
	b.post("/customer", `{"DisplayName":"Gone"}`)
	b.post("/customer", `{"Id":"2","SyncToken":"0","sparse":true,"Active":false}`)
	for _, c := range []struct{ code, path, body string }{
		{"6240", "/customer", `{"DisplayName":" ACME ltd "}`},
		{"6240", "/vendor", `{"DisplayName":"Acme Ltd"}`},
		{"6240", "/item", `{"Name":"licence","Type":"Service","IncomeAccountRef":{"value":"4"}}`},
		{"2020", "/customer", `{"Notes":"nameless"}`},
		{"2040", "/customer", `{"DisplayName":"A:B"}`},
		{"2010", "/customer", `{"DisplayName":"X","Nickname":"Y"}`},
		{"2010", "/customer", `not json`},
		{"2050", "/customer", fmt.Sprintf(`{"DisplayName":%q}`, strings.Repeat("n", 501))},
		{"2020", "/item", `{"Name":"No account"}`},
		{"2500", "/item", `{"Name":"X","IncomeAccountRef":{"value":"999"}}`},
		{"5010", "/customer", `{"Id":"1","SyncToken":"9","sparse":true,"Notes":"x"}`},
		{"2020", "/customer", `{"Id":"1","sparse":true,"Notes":"x"}`},
		{"610", "/customer", `{"Id":"999","SyncToken":"0","DisplayName":"X"}`},
		{"610", "/customer/999", ""},
		{"2020", "/invoice", `{"Line":[` + ok + `]}`},
		{"2020", "/invoice", `{"CustomerRef":{"value":"1"}}`},
		{"2500", "/invoice", strings.Replace(invoice(ok), `"1"`, `"999"`, 1)},
		{"610", "/invoice", strings.Replace(invoice(ok), `"1"`, `"2"`, 1)},
		{"2500", "/invoice", invoice(strings.Replace(ok, `"ItemRef":{"value":"1"}`, `"ItemRef":{"value":"99"}`, 1))},
		{"2500", "/invoice", invoice(line("10", "", "", "99"))},
		{"6000", "/invoice", invoice(`{"Amount":10,"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"ItemRef":{"value":"1"}}}`)},
		{"6070", "/invoice", invoice(line("10.00", "3", "3.33", "1"))},
		{"6070", "/invoice", invoice(line("10.001", "1", "10", "1"))},
		{"2010", "/invoice", invoice(line("1e999999999", "", "", "1"))},
		{"2170", "/invoice", invoice(`{"Amount":10,"DetailType":"Other"}`)},
		{"2020", "/invoice", invoice(`{"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"ItemRef":{"value":"1"}}}`)},
		{"2050", "/invoice", strings.Replace(invoice(ok), "{", `{"DocNumber":"`+long+`",`, 1)},
		{"6140", "/invoice", strings.Replace(invoice(ok), "{", `{"DocNumber":"A-1",`, 1)},
		{"6000", "/invoice", strings.Replace(invoice(ok), "{", `{"CurrencyRef":{"value":"USD"},`, 1)},
		{"500", "/estimate", `{}`},
		{"500", "/customer?operation=void", `{"Id":"1","SyncToken":"0"}`},
		{"4000", "/query?query=select+everything", ""},
		{"4000", "/query?query=" + url.QueryEscape(`select * from Invoice where Id = '1`), ""},
		{"4001", "/query?query=" + url.QueryEscape(`select * from Invoice where PrivateNote = 'x'`), ""},
		{"4001", "/query?query=" + url.QueryEscape(`select * from Invoice where CustomField = 'x'`), ""},
		{"4001", "/query?query=" + url.QueryEscape(`select * from Invoice where Nothing = 'x'`), ""},
		{"4001", "/query?query=" + url.QueryEscape(`select * from Invoice maxresults 1001`), ""},
		{"2050", "/customer?requestid=" + strings.Repeat("k", 51), `{"DisplayName":"K"}`},
	} {
		b.refused(c.code, c.path, c.body)
	}
	b.post("/invoice?include=allowduplicatedocnum", strings.Replace(invoice(ok), "{", `{"DocNumber":"A-1",`, 1))
	if n := len(b.query("select * from Invoice")); n != 2 {
		t.Errorf("a refused invoice was kept: %d", n)
	}
}

func TestClosedPeriod(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	old := b.post("/invoice", strings.Replace(invoice(line("10", "", "", "1")), "{", `{"TxnDate":"2026-09-30",`, 1))
	b.control("settings", `{"closing_date":"2026-09-30"}`)
	b.refused("6210", "/invoice", strings.Replace(invoice(line("10", "", "", "1")), "{", `{"TxnDate":"2026-09-30",`, 1))
	b.refused("6210", "/invoice", fmt.Sprintf(`{"Id":%q,"SyncToken":"0","sparse":true,"TxnDate":"2026-10-02"}`, text(old, "Id")))
	b.refused("6210", "/invoice?operation=void", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, text(old, "Id")))
	b.post("/invoice", strings.Replace(invoice(line("10", "", "", "1")), "{", `{"TxnDate":"2026-10-01",`, 1))
	p := b.get("/preferences")["Preferences"].(fields)
	b.expect(p, map[string]string{"AccountingInfoPrefs.BookCloseDate": "2026-09-30", "CurrencyPrefs.HomeCurrency.value": "EUR"})
}

func TestSparseAndFullUpdate(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	c := b.post("/customer", `{"Id":"1","SyncToken":"0","sparse":true,"Notes":"VIP","PrimaryTaxIdentifier":"IE1234567WA"}`)
	b.expect(c, map[string]string{"SyncToken": "1", "DisplayName": "Acme Ltd", "Notes": "VIP", "PrimaryEmailAddr.Address": "ap@acme.example", "PrimaryTaxIdentifier": "XXXXXX567WA"})
	c = b.post("/customer", `{"Id":"1","SyncToken":"1","DisplayName":"Acme Limited"}`)
	b.expect(c, map[string]string{"SyncToken": "2", "DisplayName": "Acme Limited", "Notes": "", "CurrencyRef.value": "EUR"})
	b.post("/customer", `{"DisplayName":"Acme Ltd"}`) // the old name is free

	inv := b.post("/invoice", strings.Replace(invoice(line("10", "", "", "1"), line("20", "", "", "1")), "{", `{"PrivateNote":"TO-1",`, 1))
	second := inv["Line"].([]any)[1]
	raw, _ := json.Marshal(second)
	inv = b.post("/invoice", fmt.Sprintf(`{"Id":%q,"SyncToken":"0","sparse":true,"Line":[%s,%s]}`, text(inv, "Id"), raw, line("5", "", "", "1")))
	list := inv["Line"].([]any)
	if len(list) != 3 || text(list[0].(fields), "Id") != "2" || text(list[1].(fields), "Id") == "2" || text(inv, "PrivateNote") != "TO-1" || text(inv, "TotalAmt") != "30.75" {
		t.Errorf("sparse update of lines: %v", inv)
	}
	c = b.get("/customer/1")["Customer"].(fields)
	b.expect(c, map[string]string{"Balance": "30.75"})
}

func TestDeactivatedNameIsFree(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	c := b.post("/customer", `{"Id":"1","SyncToken":"0","sparse":true,"Active":false}`)
	b.expect(c, map[string]string{"DisplayName": "Acme Ltd (deleted)"})
	if n := len(b.query("select * from Customer")); n != 0 {
		t.Errorf("a query shows inactive customers: %d", n)
	}
	if n := len(b.query("select * from Customer where Active in (true, false)")); n != 1 {
		t.Errorf("asked for, they are not shown: %d", n)
	}
	b.post("/customer", `{"DisplayName":"Acme Ltd"}`)
	b.refused("6240", "/customer", `{"Id":"1","SyncToken":"1","sparse":true,"Active":true}`)
}

func TestVoidAndPayment(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	inv := b.post("/invoice", strings.Replace(invoice(line("100", "2", "50", "1")), "{", `{"PrivateNote":"TO-7",`, 1))
	id := text(inv, "Id")
	pay := fmt.Sprintf(`{"CustomerRef":{"value":"1"},"TotalAmt":100,"Line":[{"Amount":60,"LinkedTxn":[{"TxnId":%q,"TxnType":"Invoice"}]}]}`, id)
	b.refused("6000", "/payment", strings.Replace(pay, `"Amount":60`, `"Amount":101`, 1))
	b.refused("2500", "/payment", strings.Replace(pay, `"TxnId":"`+id, `"TxnId":"9`+id, 1))
	p := b.post("/payment", pay)
	b.expect(p, map[string]string{"UnappliedAmt": "40", "TotalAmt": "100"})
	inv = b.get("/invoice/" + id)["Invoice"].(fields)
	b.expect(inv, map[string]string{"Balance": "63", "TotalAmt": "123", "SyncToken": "1"})
	b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": "23"})

	void := fmt.Sprintf(`{"Id":%q,"SyncToken":"1"}`, id)
	b.refused("6000", "/invoice?operation=void", void)
	b.control("settings", `{"void_paid":"unapply"}`)
	inv = b.post("/invoice?operation=void", void)
	b.expect(inv, map[string]string{"Balance": "0", "TotalAmt": "0", "TxnTaxDetail.TotalTax": "0", "PrivateNote": "Voided - TO-7"})
	if l := inv["Line"].([]any)[0].(fields); text(l, "Amount") != "0" || text(l, "SalesItemLineDetail", "Qty") != "0" {
		t.Errorf("void left %v", l)
	}
	b.expect(b.get("/payment/" + text(p, "Id"))["Payment"].(fields), map[string]string{"UnappliedAmt": "100"})
	b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": "-100"})
	b.refused("5010", "/invoice?operation=void", void)

	gone := b.post("/invoice", invoice(line("10", "", "", "1")))
	b.expect(b.post("/invoice?operation=delete", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, text(gone, "Id"))), map[string]string{"status": "Deleted"})
	b.refused("610", "/invoice/"+text(gone, "Id"), "")
	b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": "-100"})
}

func TestMulticurrency(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", `{"multicurrency":true}`)
	c := b.post("/customer", `{"DisplayName":"Acme Inc","CurrencyRef":{"value":"USD"}}`)
	body := fmt.Sprintf(`{"CustomerRef":{"value":%q},"CurrencyRef":{"value":"USD"},"ExchangeRate":0.9,"Line":[%s]}`, text(c, "Id"), line("10.01", "", "", "4"))
	inv := b.post("/invoice", body)
	b.expect(inv, map[string]string{"TotalAmt": "10.01", "HomeTotalAmt": "9.01", "ExchangeRate": "0.9", "CurrencyRef.name": "United States Dollar"})
	b.refused("2020", "/invoice", strings.Replace(body, `"CurrencyRef":{"value":"USD"},`, "", 1))
	b.refused("6000", "/invoice", strings.Replace(body, "USD", "EUR", 1))
	b.refused("6000", "/customer", fmt.Sprintf(`{"Id":%q,"SyncToken":"0","sparse":true,"CurrencyRef":{"value":"EUR"}}`, text(c, "Id")))
	b.post("/exchangerate", `{"SourceCurrencyCode":"USD","AsOfDate":"2026-11-01","Rate":0.95}`)
	r := b.get("/exchangerate?sourcecurrencycode=USD&asofdate=2026-11-01")["ExchangeRate"].(fields)
	b.expect(r, map[string]string{"Rate": "0.95", "TargetCurrencyCode": "EUR"})
	dated := strings.Replace(strings.Replace(body, `"ExchangeRate":0.9,`, "", 1), "{", `{"TxnDate":"2026-11-01",`, 1)
	b.expect(b.post("/invoice", dated), map[string]string{"ExchangeRate": "0.95"})
}

func TestQueries(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.post("/customer", `{"DisplayName":"Bob's \\ Co"}`)
	for i := range 5 {
		b.post("/invoice", strings.Replace(invoice(line(fmt.Sprint(10*(i+1)), "", "", "6")), "{", fmt.Sprintf(`{"DocNumber":"N%d","TxnDate":"2026-10-0%d",`, i, i+1), 1))
	}
	for q, want := range map[string]string{
		"select * from Invoice where DocNumber = 'N3'":                                             "N3",
		"SELECT * FROM Invoice WHERE DocNumber IN ('N1', 'N4')":                                    "N1 N4",
		"select * from Invoice where TotalAmt >= '30' and TxnDate < '2026-10-05'":                  "N2 N3",
		"select * from Invoice where CustomerRef = '1' orderby TxnDate desc maxresults 2":          "N4 N3",
		"select * from Invoice orderby DocNumber asc startposition 4 maxresults 10":                "N3 N4",
		"select * from Invoice where DocNumber like 'N%' and TotalAmt > '40'":                      "N4",
		"select Id, DocNumber from Invoice where MetaData.CreateTime >= '2026-11-02' maxresults 1": "N0",
		"select * from Invoice where MetaData.LastUpdatedTime > '2027-01-01T00:00:00Z'":            "",
		"select * from Invoice where CustomerRef = '9'":                                            "",
	} {
		var got []string
		for _, v := range b.query(q) {
			got = append(got, text(v.(fields), "DocNumber"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", q, got, want)
		}
	}
	if got := b.query(`select * from Customer where DisplayName = 'Bob\'s \\ Co'`); len(got) != 1 {
		t.Errorf("escaped name: %v", got)
	}
	if got := b.query(`select * from Customer where PrimaryEmailAddr = 'ap@acme.example'`); len(got) != 1 {
		t.Errorf("by e-mail: %v", got)
	}
	r := b.get("/query?query=" + url.QueryEscape("select count(*) from Invoice"))
	b.expect(r, map[string]string{"QueryResponse.totalCount": "5"})
	if got := b.query("select * from CompanyInfo"); len(got) != 1 {
		t.Errorf("company: %v", got)
	}
	if got := b.query("select * from TaxCode where Name = '23.0% S'"); len(got) != 1 {
		t.Errorf("tax code: %v", got)
	}
}

func TestRequestID(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	a := b.post("/invoice?requestid=k1", invoice(line("10", "", "", "1")))
	again := b.post("/invoice?requestid=k1", invoice(line("99", "", "", "1")))
	if text(a, "Id") != text(again, "Id") || text(again, "TotalAmt") != "12.3" {
		t.Errorf("second answer %v", again)
	}
	b.token = b.creds.ReaderToken
	if other := b.post("/invoice?requestid=k1", invoice(line("10", "", "", "1"))); text(other, "Id") == text(a, "Id") {
		t.Error("another app was given the first one's answer")
	}
	b.token = b.creds.AccessToken
	b.control("faults", `{"effect":"forget_keys","times":1}`)
	if twice := b.post("/invoice?requestid=k1", invoice(line("10", "", "", "1"))); text(twice, "Id") == text(a, "Id") {
		t.Error("the key was not forgotten")
	}
}

func TestBatch(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	item := func(id, rest string) string { return fmt.Sprintf(`{"bId":%q,%s}`, id, rest) }
	body := `{"BatchItemRequest":[` + strings.Join([]string{
		item("a", `"operation":"create","Invoice":`+invoice(line("10", "", "", "1"))),
		item("b", `"operation":"create","Customer":{"DisplayName":"Acme Ltd"}`),
		item("c", `"Query":"select * from Customer"`),
		item("d", `"operation":"update","optionsData":"void","Invoice":{"Id":"1","SyncToken":"0"}`),
	}, ",") + `]}`
	_, out := b.call("POST", "/batch?requestid=b1", body)
	list, _ := out["BatchItemResponse"].([]any)
	if len(list) != 4 {
		t.Fatalf("batch: %v", out)
	}
	b.expect(list[0].(fields), map[string]string{"bId": "a", "Invoice.TotalAmt": "12.3"})
	if e := at(list[1].(fields), "Fault", "Error").([]any); text(e[0].(fields), "code") != "6240" {
		t.Errorf("duplicate in batch: %v", list[1])
	}
	if at(list[2].(fields), "QueryResponse", "Customer") == nil {
		t.Errorf("query in batch: %v", list[2])
	}
	b.expect(list[3].(fields), map[string]string{"Invoice.TotalAmt": "0", "Invoice.PrivateNote": "Voided"})
	if _, again := b.call("POST", "/batch?requestid=b1", body); fmt.Sprint(again) != fmt.Sprint(out) {
		t.Errorf("batch under the same request id was done again")
	}
	b.refused("2010", "/batch", `{"BatchItemRequest":[`+item("elevenchars", `"Query":"select * from Item"`)+`]}`)
	b.control("settings", `{"batch_max":1}`)
	b.refused("1040", "/batch", body)
}

func TestPartialBatch(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("faults", `{"effect":"partial_batch","times":1}`)
	b.get("/customer/1") // not a batch: the fault waits
	var items []string
	for i := range 4 {
		items = append(items, fmt.Sprintf(`{"bId":"%d","operation":"create","Customer":{"DisplayName":"P%d"}}`, i, i))
	}
	_, out := b.call("POST", "/batch", `{"BatchItemRequest":[`+strings.Join(items, ",")+`]}`)
	var got []string
	for _, v := range out["BatchItemResponse"].([]any) {
		f := v.(fields)
		got = append(got, fmt.Sprint(text(f, "bId"), f["Fault"] != nil))
	}
	if fmt.Sprint(got) != "[0true 1false 2true]" {
		t.Errorf("answers %v", got)
	}
	if n := len(b.query("select * from Customer where DisplayName like 'P%'")); n != 2 {
		t.Errorf("%d were done, want the second and the unanswered fourth", n)
	}
}

func TestChangeDataCapture(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	since := b.clock.Now().Add(time.Second)
	inv := b.post("/invoice", invoice(line("10", "", "", "1")))
	gone := b.post("/invoice", invoice(line("10", "", "", "1")))
	b.post("/invoice?operation=delete", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, text(gone, "Id")))
	r := b.get("/cdc?entities=Invoice,Customer&changedSince=" + url.QueryEscape(since.Format(time.RFC3339)))
	answers := r["CDCResponse"].([]any)[0].(fields)["QueryResponse"].([]any)
	list, _ := answers[0].(fields)["Invoice"].([]any)
	if len(answers) != 2 || len(list) != 2 || text(list[0].(fields), "Id") != text(inv, "Id") || text(list[1].(fields), "status") != "Deleted" || len(answers[1].(fields)) != 0 {
		t.Errorf("changes %v", r)
	}
	b.refused("6000", "/cdc?entities=Invoice&changedSince=2026-09-01T00:00:00Z", "")
	b.refused("2020", "/cdc?changedSince=2026-11-01T00:00:00Z", "")
}

func TestSearchLagHidesYoungWrites(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.clock.add(time.Minute)
	b.control("settings", `{"search_lag":"30s"}`)
	b.post("/customer", `{"Id":"1","SyncToken":"0","sparse":true,"DisplayName":"New name"}`)
	if got := b.query("select * from Customer"); len(got) != 1 || text(got[0].(fields), "DisplayName") != "Acme Ltd" {
		t.Errorf("the search is not behind: %v", got)
	}
	b.expect(b.get("/customer/1")["Customer"].(fields), map[string]string{"DisplayName": "New name"})
	b.clock.add(30 * time.Second)
	if got := b.query("select * from Customer where DisplayName = 'New name'"); len(got) != 1 {
		t.Errorf("the search never catches up: %v", got)
	}
}

func TestLimits(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.clock.add(time.Minute)
	b.clock.step = 0
	for i := range 10 {
		if status, out := b.call("GET", "/customer/1", ""); status != 200 {
			t.Fatalf("request %d: %v", i, out)
		}
	}
	status, out := b.call("GET", "/customer/1", "")
	e, _ := at(out, "fault", "error").([]any)
	if status != 429 || len(e) != 1 || text(e[0].(fields), "message") != "message=ThrottleExceeded; errorCode=003001; statusCode=429" {
		t.Errorf("the eleventh in a second: %d %v", status, out)
	}
	b.token = b.creds.ReaderToken
	b.get("/customer/1")
}

func (b *books) grant(params url.Values) (int, fields, http.Header) {
	b.Helper()
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(b.creds.ClientID+":"+b.creds.ClientSecret))},
		"X-Include-Refresh-Token-Hard-Expires-In": {"true"}}
	status, raw, head := b.send("POST", tokenPath, params.Encode(), h)
	out, err := decodeBody([]byte(raw))
	if err != nil {
		b.Fatalf("token: %d %s", status, raw)
	}
	return status, out, head
}

func refreshWith(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

func TestTokens(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.clock.add(time.Hour)
	status, out := b.call("GET", "/customer/1", "")
	if e, _ := at(out, "fault", "error").([]any); status != 401 || len(e) != 1 || text(e[0].(fields), "code") != "3200" {
		t.Fatalf("expired token: %d %v", status, out)
	}
	status, got, head := b.grant(refreshWith(b.creds.RefreshToken))
	if status != 200 || text(got, "refresh_token") == b.creds.RefreshToken || text(got, "expires_in") != "3600" ||
		text(got, "x_refresh_token_expires_in") == "" || text(got, "x_refresh_token_hard_expires_in") == "" || head.Get("intuit_tid") == "" {
		t.Fatalf("refresh: %d %v", status, got)
	}
	b.token = text(got, "access_token")
	b.get("/customer/1")
	if c := b.s.Credentials(); c.RefreshToken != text(got, "refresh_token") || c.ClientID != b.creds.ClientID {
		t.Errorf("credentials are not the latest: %+v", c)
	}
	if status, _, _ = b.grant(refreshWith(b.creds.RefreshToken)); status != 200 {
		t.Error("the replaced refresh token is not good for a moment")
	}
	b.clock.add(11 * time.Minute)
	if status, out, _ := b.grant(refreshWith(b.creds.RefreshToken)); status != 400 || text(out, "error") != "invalid_grant" {
		t.Errorf("the replaced refresh token is good for ever: %v", out)
	}

	b.control("faults", `{"effect":"expire_token","times":1}`)
	if status, _ := b.call("GET", "/customer/1", ""); status != 401 {
		t.Errorf("expire_token: %d", status)
	}
	_, got, _ = b.grant(refreshWith(text(got, "refresh_token")))
	b.token = text(got, "access_token")
	b.get("/customer/1")

	b.control("faults", `{"effect":"revoke_consent","times":1}`)
	if status, _ := b.call("GET", "/customer/1", ""); status != 401 {
		t.Errorf("revoke_consent: %d", status)
	}
	if status, out, _ := b.grant(refreshWith(text(got, "refresh_token"))); status != 400 || text(out, "error") != "invalid_grant" {
		t.Errorf("refresh without consent: %v", out)
	}
	b.consent()
	b.get("/customer/1")
	b.token = b.creds.ReaderToken
	b.get("/customer/1")
}

// consent runs the person's part again.
func (b *books) consent() {
	b.Helper()
	q := url.Values{"client_id": {b.creds.ClientID}, "redirect_uri": {"http://127.0.0.1:1/cb"}, "response_type": {"code"}, "scope": {scope}, "state": {"s1"}}
	status, _, head := b.send("GET", authorizePath+"?"+q.Encode(), "", nil)
	to, err := url.Parse(head.Get("Location"))
	if status != 302 || err != nil || to.Query().Get("state") != "s1" || to.Query().Get("realmId") != DefaultRealm {
		b.Fatalf("authorize: %d %v", status, head)
	}
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {"http://127.0.0.1:1/cb"}}
	status, out, _ := b.grant(exchange)
	if status != 200 {
		b.Fatalf("code: %d %v", status, out)
	}
	if status, _, _ := b.grant(exchange); status != 400 {
		b.Errorf("a code was good twice: %d", status)
	}
	b.token = text(out, "access_token")
}

func TestStrangersStayOutside(t *testing.T) {
	b := open(t, Config{})
	b.token = "nonsense"
	if status, _ := b.call("GET", "/companyinfo/"+DefaultRealm, ""); status != 401 {
		t.Errorf("unknown token: %d", status)
	}
	h := http.Header{"Authorization": {"Bearer " + b.creds.AccessToken}}
	if status, _, _ := b.send("GET", "/v3/company/1/companyinfo/1", "", h); status != 403 {
		t.Errorf("another company: %d", status)
	}
	if status, _, _ := b.send("POST", tokenPath, refreshWith(b.creds.RefreshToken).Encode(), nil); status != 401 {
		t.Errorf("refresh without the app's keys: %d", status)
	}
}

func TestFaultsInTheVendorsShape(t *testing.T) {
	b := stocked(t, Config{Preset: "IE"})
	b.control("faults", `{"effect":"fault_in_200","times":1}`)
	status, out := b.call("POST", "/customer", `{"DisplayName":"X"}`)
	if status != 200 || text(out, "Fault", "type") != "SystemFault" {
		t.Errorf("fault_in_200: %d %v", status, out)
	}
	b.post("/customer", `{"DisplayName":"X"}`)
	b.control("faults", `{"effect":"status","status":500,"times":1}`)
	if status, out := b.call("GET", "/customer/1", ""); status != 500 || text(out, "Fault", "type") != "SystemFault" {
		t.Errorf("500: %d %v", status, out)
	}
	b.control("faults", `{"effect":"status","status":503,"times":1}`)
	h := http.Header{"Authorization": {"Bearer " + b.token}}
	if status, raw, head := b.send("GET", apiPath+DefaultRealm+"/customer/1", "", h); status != 503 || !strings.HasPrefix(raw, "<html>") || head.Get("Content-Type") != "text/html" {
		t.Errorf("503: %d %s", status, raw)
	}
	b.control("faults", `{"effect":"throttle","times":1}`)
	if status, _ := b.call("GET", "/customer/1", ""); status != 429 {
		t.Errorf("throttle: %d", status)
	}
}

func TestWebhooksAreSigned(t *testing.T) {
	type got struct {
		signature string
		body      []byte
	}
	arrived := make(chan got, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		arrived <- got{r.Header.Get("intuit-signature"), raw}
	}))
	defer hook.Close()
	b := stocked(t, Config{Preset: "IE"})
	b.control("settings", fmt.Sprintf(`{"webhooks":{"target":%q}}`, hook.URL))
	inv := b.post("/invoice", invoice(line("10", "", "", "1")))
	b.post("/invoice?operation=void", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, text(inv, "Id")))
	for _, want := range []string{"qbo.invoice.created.v1", "qbo.invoice.voided.v1"} {
		var g got
		select {
		case g = <-arrived:
		case <-time.After(10 * time.Second):
			t.Fatal("no webhook")
		}
		m := hmac.New(sha256.New, []byte(b.creds.VerifierToken))
		m.Write(g.body)
		if base64.StdEncoding.EncodeToString(m.Sum(nil)) != g.signature {
			t.Error("signature does not hold")
		}
		var events []map[string]any
		if err := json.Unmarshal(g.body, &events); err != nil || len(events) != 1 || events[0]["type"] != want ||
			events[0]["intuitentityid"] != text(inv, "Id") || events[0]["intuitaccountid"] != DefaultRealm {
			t.Errorf("event %s, want %s", g.body, want)
		}
	}
}

func TestBooksSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	b := stocked(t, Config{Dir: dir, Preset: "IE"})
	inv := b.post("/invoice?requestid=k1", invoice(line("10", "", "", "1")))
	_, before, _ := b.send("GET", "/_sandbox/export", "", nil)
	b.s.Close()
	again := open(t, Config{Dir: dir, Preset: "US"})
	if again.creds != b.creds {
		t.Errorf("credentials changed: %+v %+v", again.creds, b.creds)
	}
	if _, after, _ := again.send("GET", "/_sandbox/export", "", nil); after != before {
		t.Error("export changed")
	}
	if same := again.post("/invoice?requestid=k1", invoice(line("10", "", "", "1"))); text(same, "Id") != text(inv, "Id") {
		t.Error("request id forgotten")
	}
	again.expect(again.get("/customer/1")["Customer"].(fields), map[string]string{"Balance": "12.3"})
}
