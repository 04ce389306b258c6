package quickbooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

// wire is an Intuit of one answer.
type wire func(*http.Request) (status int, body string)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := w(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

// anyToken always has another one.
type anyToken struct{}

func (anyToken) Token(context.Context) (string, error)           { return "x", nil }
func (anyToken) Refresh(context.Context, string) (string, error) { return "y", nil }

// says opens a connection to an Intuit that always answers the same.
func says(t *testing.T, status int, body string) connector.Target {
	t.Helper()
	conn, err := Open(connector.Config{
		Account: "quickbooks/1", Tokens: anyToken{}, Now: time.Now, HTTP: wire(func(*http.Request) (int, string) { return status, body }),
		Settings: map[string]string{"throttle_wait": "60s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn.Target
}

// published is every code of Intuit's that this path can meet.
var published = []struct {
	code, typ   string
	status      int
	write, read fault.Kind
	field       string // where it is not the element
}{
	{"120", "AuthorizationFault", 400, fault.Unauthorized, fault.Unauthorized, ""},
	{"3100", "SERVICE", 403, fault.Unauthorized, fault.Unauthorized, ""},
	{"003100", "SERVICE", 400, fault.Unauthorized, fault.Unauthorized, ""},
	{"3200", "AUTHENTICATION", 401, fault.Unauthorized, fault.Unauthorized, ""},
	{"003200", "AUTHENTICATION", 400, fault.Unauthorized, fault.Unauthorized, ""},
	{"6190", "ValidationFault", 400, fault.Unauthorized, fault.Unauthorized, ""},
	{"3001", "SERVICE", 429, fault.RateLimited, fault.RateLimited, ""},
	{"003001", "SERVICE", 429, fault.RateLimited, fault.RateLimited, ""},
	{"003001", "SERVICE", 200, fault.RateLimited, fault.RateLimited, ""},
	{"5010", "ValidationFault", 400, fault.Conflict, fault.Conflict, ""},
	{"6240", "ValidationFault", 400, fault.Conflict, fault.Conflict, "name"},
	{"610", "ValidationFault", 400, fault.NotFound, fault.NotFound, ""},
	{"620", "ValidationFault", 400, fault.NotFound, fault.NotFound, ""},
	{"2500", "ValidationFault", 400, fault.Unresolved, fault.Unresolved, ""},
	{"6210", "ValidationFault", 400, fault.Rejected, fault.Rejected, "period"},
	{"6070", "ValidationFault", 400, fault.Rejected, fault.Rejected, "amount"},
	{"6140", "ValidationFault", 400, fault.Rejected, fault.Rejected, "number"},
	{"1040", "ValidationFault", 400, fault.Rejected, fault.Rejected, fault.FieldBatch},
	{"500", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"2010", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"2020", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"2040", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"2050", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"2170", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"4000", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"4001", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"6000", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"6540", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"600", "ValidationFault", 400, fault.InDoubt, fault.Transient, ""},
	{"3000", "SystemFault", 500, fault.InDoubt, fault.Transient, ""},
	{"10000", "SystemFault", 500, fault.InDoubt, fault.Transient, ""},
	{"10000", "SystemFault", 200, fault.InDoubt, fault.Transient, ""},
	// a failure of theirs under a code that nobody published
	{"9999", "SystemFault", 400, fault.InDoubt, fault.Transient, ""},
	{"9999", "ValidationFault", 500, fault.InDoubt, fault.Transient, ""},
	{"9999", "ValidationFault", 400, fault.Rejected, fault.Rejected, ""},
	{"", "ValidationFault", 200, fault.InDoubt, fault.Transient, ""},
}

func body(code, typ string) string {
	return fmt.Sprintf(`{"Fault":{"Error":[{"Message":"What","Detail":"Why","code":%q,"element":"Line"}],"type":%q},"time":"2026-11-24T09:17:31.892-07:00"}`, code, typ)
}

func TestEveryPublishedCodeHasItsKind(t *testing.T) {
	ref := event.Ref{System: System, Account: "1", Type: typeInvoice, ID: "7"}
	item := connector.Item{Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{"DisplayName":"Ada"}`)}
	for _, c := range published {
		// Intuit writes some faults in lower case
		for _, text := range []string{body(c.code, c.typ), strings.NewReplacer(`"Fault"`, `"fault"`, `"Error"`, `"error"`, `"Message"`, `"message"`, `"Detail"`, `"detail"`).Replace(body(c.code, c.typ))} {
			tgt := says(t, c.status, text)
			w := fault.As(tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: []connector.Item{item}})[0].Err)
			_, err := tgt.Get(t.Context(), document.InvoiceKind, ref)
			if r := fault.As(err); w == nil || r == nil || w.Kind != c.write || r.Kind != c.read {
				t.Errorf("%s %s %d: write %v, read %v; want %s, %s", c.code, c.typ, c.status, w, r, c.write, c.read)
				continue
			}
			field := c.field
			if field == "" {
				field = "Line"
			}
			if w.Text != "What: Why" || w.Code != strings.TrimLeft(c.code, "0") || w.Field != field || w.Status != c.status {
				t.Errorf("%s %s %d: %+v", c.code, c.typ, c.status, w)
			}
			if w.Kind == fault.RateLimited && w.RetryAfter != time.Minute {
				t.Errorf("%s: waits %s", c.code, w.RetryAfter)
			}
		}
	}
}

// An item of a batch is judged as it would be alone.
func TestAnItemsFaultIsJudgedAsAnAnswers(t *testing.T) {
	item := connector.Item{Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{"DisplayName":"Ada"}`)}
	for _, c := range published {
		if c.status == 401 || c.status == 403 || c.status == 500 { // of the whole request, never of an item
			continue
		}
		text := fmt.Sprintf(`{"BatchItemResponse":[{"bId":"1",%s,{"bId":"2","Customer":{"Id":"5","SyncToken":"0","DisplayName":"Ada"}}]}`, strings.TrimPrefix(body(c.code, c.typ), "{"))
		out := says(t, http.StatusOK, text).Put(t.Context(), connector.Call{Key: batchKey, Items: []connector.Item{item, item}})
		f := fault.As(out[0].Err)
		if f == nil || f.Kind != c.write || out[1].Err != nil || out[1].Posting.Ref.ID != "5" {
			t.Errorf("%s %s: %v, and beside it %v", c.code, c.typ, f, out[1].Err)
		}
		if f.Kind == fault.RateLimited && f.RetryAfter != time.Minute {
			t.Errorf("%s: waits %s", c.code, f.RetryAfter)
		}
	}
}

// What has no code is judged by its status.
func TestAnswersWithoutACode(t *testing.T) {
	item := connector.Item{Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{"DisplayName":"Ada"}`)}
	for status, want := range map[int]fault.Kind{
		301: fault.InDoubt, 400: fault.Rejected, 401: fault.Unauthorized, 403: fault.Unauthorized, 404: fault.NotFound, 408: fault.InDoubt, 413: fault.Rejected,
		429: fault.RateLimited, 500: fault.InDoubt, 502: fault.InDoubt, 503: fault.InDoubt, 504: fault.InDoubt,
	} {
		for _, text := range []string{"", "<html>gateway</html>", `<?xml version="1.0"?><IntuitResponse><Fault type="AUTHENTICATION"/></IntuitResponse>`, `{}`, `null`} {
			err := says(t, status, text).Put(t.Context(), connector.Call{Key: batchKey, Items: []connector.Item{item}})[0].Err
			if fault.KindOf(err) != want || fault.As(err).Text == "" {
				t.Errorf("%d %s: %v, want %s", status, text, err, want)
			}
		}
	}
}

// hollow are answers of status 200 that bring nothing and prove nothing.
func hollow() map[string]string {
	return map[string]string{
		"a fault of nothing":     `{"Fault":{}}`,
		"a fault without errors": `{"Fault":{"Error":[],"type":"SystemFault"},"QueryResponse":{}}`,
		"a fault beside rows":    `{"fault":{"error":[{"message":"x"}],"type":"SERVICE"},"QueryResponse":{},"Invoice":{"Id":"7"},"Customer":{"Id":"7"}}`,
		"a fault that is a word": `{"Fault":"yes","QueryResponse":{}}`,
		"nothing":                ``,
		"an empty object":        `{}`,
		"null":                   `null`,
		"an array":               `[]`,
		"a word":                 `"ok"`,
		"time alone":             `{"time":"2026-11-24T09:17:31.892-07:00"}`,
		"null response":          `{"QueryResponse":null,"BatchItemResponse":null,"Customer":null,"Invoice":null,"Preferences":null}`,
		"rows of another kind":   `{"QueryResponse":{"Bill":[{"Id":"1"}],"maxResults":1},"Bill":{"Id":"1"}}`,
		"rows announced":         `{"QueryResponse":{"startPosition":1,"maxResults":3}}`,
		"rows are null":          `{"QueryResponse":{"Invoice":null,"Customer":null,"Item":null,"Account":null,"TaxCode":null,"Term":null}}`,
		"a row is null":          `{"QueryResponse":{"Invoice":[null],"Customer":[null],"Item":[null],"Account":[null],"TaxCode":[null],"Term":[null]}}`,
		"rows are an object":     `{"QueryResponse":{"Invoice":{},"Customer":{},"Item":{},"Account":{},"TaxCode":{},"Term":{}}}`,
		"cut short":              `{"QueryResponse":{"Invoice":[{"Id":"1","Sync`,
		"text behind":            `{"QueryResponse":{}}<!-- proxy -->`,
		"a page of HTML":         `<html><body>Welcome to our Wi-Fi</body></html>`,
	}
}

// A hollow answer is a failure that passes, and never "there is nothing" or
// "the books are open".
func TestAHollowAnswerIsNoEmptyList(t *testing.T) {
	ctx := t.Context()
	for name, text := range hollow() {
		tgt := says(t, http.StatusOK, text)
		for call, do := range map[string]func() error{
			"get": func() error {
				_, err := tgt.Get(ctx, document.InvoiceKind, event.Ref{System: System, Account: "1", Type: typeInvoice, ID: "7"})
				return err
			},
			"find invoice": func() error {
				_, err := tgt.Find(ctx, connector.Probe{Kind: document.InvoiceKind, Mark: "TO-1"})
				return err
			},
			"find customer": func() error {
				_, err := tgt.Find(ctx, connector.Probe{Kind: document.CustomerKind, Name: "A", Wide: true})
				return err
			},
			"find item": func() error { _, err := tgt.Find(ctx, connector.Probe{Kind: document.ItemKind, SKU: "A"}); return err },
			"list": func() (last error) {
				for _, err := range tgt.List(ctx, document.InvoiceKind, "2026-01-01", "2026-02-01") {
					last = err
				}
				return last
			},
			"references":   func() error { _, err := tgt.(connector.Referencer).References(ctx); return err },
			"closing date": func() error { _, err := tgt.(connector.Locker).LockedThrough(ctx); return err },
		} {
			if err := do(); fault.KindOf(err) != fault.Transient {
				t.Errorf("%s, %s: %v", call, name, err)
			}
		}
	}
	drill.Injected(t, int64(len(hollow())), 66, 73)
}

// The same after a write does not say whether it was done; nor does a batch
// whose answers name no item, another one or one twice.
func TestAHollowAnswerToAWriteIsDoubt(t *testing.T) {
	items := []connector.Item{{Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{}`)}, {Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{}`)}}
	answers := hollow()
	answers["no bId"] = `{"BatchItemResponse":[{"Customer":{"Id":"1"}},{"Customer":{"Id":"2"}}]}`
	answers["others' bIds"] = `{"BatchItemResponse":[{"bId":"3","Customer":{"Id":"1"}},{"bId":"4","Customer":{"Id":"2"}}]}`
	answers["one bId twice"] = `{"BatchItemResponse":[{"bId":"1","Customer":{"Id":"1"}},{"bId":"1","Customer":{"Id":"2"}}]}`
	answers["items are null"] = `{"BatchItemResponse":[null,null]}`
	answers["an item of nothing"] = `{"BatchItemResponse":[{"bId":"1"},{"bId":"2","Fault":{}}]}`
	answers["an item of another kind"] = `{"BatchItemResponse":[{"bId":"1","Bill":{"Id":"1"}},{"bId":"2","Customer":{"Id":"2"},"Fault":{"type":"SystemFault"}}]}`
	for name, text := range answers {
		tgt := says(t, http.StatusOK, text)
		for _, n := range []int{1, 2} {
			for i, o := range tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: items[:n]}) {
				if fault.KindOf(o.Err) != fault.InDoubt {
					t.Errorf("%d items, %s, item %d: %+v, %v", n, name, i, o.Posting, o.Err)
				}
			}
		}
	}
}

// Only a token that is refused is worth asking for another one.
func TestARefusalOfTheCompanyIsAskedOnce(t *testing.T) {
	for status, want := range map[int]int{http.StatusForbidden: 1, http.StatusBadRequest: 1} {
		asked := 0
		conn, err := Open(connector.Config{Account: "quickbooks/1", Tokens: anyToken{}, Now: time.Now, HTTP: wire(func(*http.Request) (int, string) { asked++; return status, body("6190", "ValidationFault") })})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Target.(connector.Locker).LockedThrough(t.Context()); fault.KindOf(err) != fault.Unauthorized || asked != want {
			t.Errorf("%d: %v after %d requests", status, err, asked)
		}
	}
}

// No answer, whatever it holds, makes the decoders panic, and none but a whole
// one counts: what is read has ids, and no write is taken for done without one.
func FuzzAnswers(f *testing.F) {
	for _, text := range hollow() {
		f.Add(200, []byte(text))
	}
	for _, c := range published {
		f.Add(c.status, []byte(body(c.code, c.typ)))
	}
	f.Add(200, []byte(`{"QueryResponse":{"Customer":[{"Id":"1","DisplayName":"A","CurrencyRef":{"value":"EUR"}}],"Invoice":[{"Id":"9","TotalAmt":1e2,"CurrencyRef":{"value":"EUR"},"CustomerRef":{"value":"1"},"Line":[{"Amount":1,"SalesItemLineDetail":{"Qty":1}}]}]}}`))
	f.Add(200, []byte(`{"BatchItemResponse":[{"bId":"1","Customer":{"Id":"5"}},{"bId":"2","Fault":{"Error":[{"code":"6240"}]}}],"Customer":{"Id":"5"},"Preferences":{"AccountingInfoPrefs":{"BookCloseDate":"2026-01-31"}}}`))
	items := []connector.Item{{Kind: document.CustomerKind, Effect: connector.Create, Body: []byte(`{}`)}, {Kind: document.InvoiceKind, Effect: connector.Void, Body: []byte(`{}`)}}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		if status < 200 || status > 599 {
			return
		}
		tgt := says(t, status, string(text))
		fine := json.Valid(text) && status < 300
		for _, n := range []int{1, 2} {
			for _, o := range tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: items[:n]}) {
				if (o.Err == nil) == (o.Posting == nil) || (o.Err == nil && (!fine || o.Posting.Ref.ID == "")) {
					t.Fatalf("%+v, %v", o.Posting, o.Err)
				}
			}
		}
		for _, kind := range []document.Kind{document.CustomerKind, document.ItemKind, document.InvoiceKind} {
			rows := 0
			for p, err := range tgt.List(t.Context(), kind, "", "") {
				if err == nil && p.Ref.ID == "" {
					t.Fatalf("a posting without an id: %+v", p)
				}
				if rows++; err != nil {
					rows = -1 << 20
				}
			}
			if rows >= 0 && (!fine || !bytes.Contains(bytes.ToLower(text), []byte("queryresponse"))) {
				t.Fatalf("%d rows of %s out of %q", rows, kind, text)
			}
		}
		if _, err := tgt.(connector.Locker).LockedThrough(t.Context()); err == nil && !fine {
			t.Fatalf("the closing date out of %q", text)
		}
	})
}
