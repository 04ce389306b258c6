package ingest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// call sends a request to the API and returns status and body.
func (w *world) call(method, path, body string, headers ...string) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer k")
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	out := httptest.NewRecorder()
	w.in.Handler().ServeHTTP(out, r)
	w.asDescribed(r, body, out)
	var v map[string]any
	if err := json.Unmarshal(out.Body.Bytes(), &v); err != nil {
		w.t.Fatalf("%s %s: %d %s", method, path, out.Code, out.Body)
	}
	if out.Code >= 400 && (out.Header().Get("Content-Type") != "application/problem+json" || v["detail"] == "" || v["title"] == "") {
		w.t.Errorf("%s %s: %d is no problem that says what is wrong: %v", method, path, out.Code, v)
	}
	return out.Code, v
}

const one = `{"connection":"crm","type":"deal","id":"a1","data":{"customer":"company/5","amount":12.50}}`

func TestAPushIsAdmittedBeforeItsAnswer(t *testing.T) {
	w := open(t)
	code, v := w.call(http.MethodPost, "/v1/events", one)
	items, _ := v["items"].([]any)
	if code != http.StatusAccepted || len(items) != 1 {
		t.Fatalf("%d %v", code, v)
	}
	first := items[0].(map[string]any)
	ids := first["event_ids"].([]any)
	if first["revision"] != 1.0 || first["duplicate"] != false || len(ids) != 1 {
		t.Fatalf("%v", first)
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE lane = 'hubspot/1/company/5' AND event_id = $1`, ids[0]); n != 1 {
		t.Fatalf("%d events in the customer's lane", n)
	}
	code, v = w.call(http.MethodGet, "/v1/events/"+ids[0].(string), "")
	if code != http.StatusOK || v["state"] != "open" || v["ref"] != "hubspot/1/deal/a1" {
		t.Fatalf("%d %v", code, v)
	}
	if _, v = w.call(http.MethodPost, "/v1/events", one); v["items"].([]any)[0].(map[string]any)["duplicate"] != true {
		t.Errorf("the same record again: %v", v)
	}
	if code, _ := w.call(http.MethodGet, "/v1/events/none", ""); code != http.StatusNotFound {
		t.Errorf("an event that is not there: %d", code)
	}
}

func TestAKeyAnswersOnceAndForAll(t *testing.T) {
	w := open(t)
	_, first := w.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "x")
	code, again := w.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "x")
	if a, b := first["items"].([]any)[0].(map[string]any), again["items"].([]any)[0].(map[string]any); code != http.StatusAccepted || b["duplicate"] != false || a["revision"] != b["revision"] {
		t.Errorf("%d %v, then %v", code, first, again)
	}
	if code, _ := w.call(http.MethodPost, "/v1/events", strings.Replace(one, "12.50", "13", 1), "Idempotency-Key", "x"); code != http.StatusUnprocessableEntity {
		t.Errorf("another body under the same key: %d", code)
	}
	if n := w.count(`SELECT COUNT(*) FROM event`); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestBadPushesAdmitNothing(t *testing.T) {
	w := open(t)
	with := func(old, text string) string { return strings.Replace(one, old, text, 1) }
	for name, c := range map[string]struct {
		body string
		code int
		says string
	}{
		"broken":                {`{"connection":`, 400, ""},
		"text behind":           {one + "x", 400, ""},
		"a key twice":           {with(`"id":"a1"`, `"id":"a1","id":"a2"`), 400, "twice"},
		"a key twice, deep":     {with(`"amount":12.50`, `"amount":1,"amount":2`), 400, "twice"},
		"NaN":                   {with("12.50", "NaN"), 400, ""},
		"1e400":                 {with("12.50", "1e400"), 400, "no decimal"},
		"no connection":         {with(`"connection":"crm",`, ""), 400, "may be pushed: crm deal"},
		"unknown type":          {with("deal", "order"), 400, "may be pushed"},
		"unknown field":         {with(`"type"`, `"kind":"x","type"`), 400, "no such field"},
		"no id":                 {with(`"id":"a1",`, ""), 400, "your own id"},
		"no data":               {`{"connection":"crm","type":"deal","id":"a1"}`, 400, "whole record"},
		"an instant":            {with(`"data"`, `"occurred_at":"yesterday","data"`), 400, "RFC 3339"},
		"a customer":            {with("company/5", "5"), 400, "ref"},
		"none":                  {"[]", 400, "1 to 100"},
		"too many":              {"[" + strings.Repeat(one+",", 100) + one + "]", 400, "1 to 100"},
		"one of two":            {"[" + one + `,{"connection":"crm"}]`, 400, "item 1"},
		"too deep":              {with("12.50", strings.Repeat("[", 40)+strings.Repeat("]", 40)), 400, "deep"},
		"no UTF-8":              {with("deal", "de\xffal"), 400, "UTF-8"},
		"half a pair":           {with("12.50", `"a\ud83d"`), 400, "half of a pair"},
		"two first halves":      {with("12.50", `"\ud83d\ud83d\ude00"`), 400, "half of a pair"},
		"a second half":         {with("12.50", `"\\\ude00"`), 400, "half of a pair"},
		"NUL in an id":          {with("a1", `a\u00001`), 400, "u0000"},
		"NUL in the record":     {with("12.50", `"a\u0000"`), 400, "u0000"},
		"a line end in an id":   {with("a1", `a\n1`), 400, "one line"},
		"a line end in a key":   {with("amount", `a\nb`), 400, "control"},
		"a customer's NUL":      {with("company/5", `company/5\t`), 400, "ref"},
		"related to nothing":    {with(`"data"`, `"related":[],"data"`), 400, "company/5"},
		"related, no ref":       {with(`"data"`, `"related":{"5":{}},"data"`), 400, "ref"},
		"related, no record":    {with(`"data"`, `"related":{"company/5":"x"},"data"`), 400, "ref"},
		"too large":             {with("12.50", `"`+strings.Repeat("x", 10<<20)+`"`), 413, "fewer"},
		"a record that is huge": {with("12.50", `"`+strings.Repeat("x", 1<<20)+`"`), 400, "bytes"},
	} {
		code, v := w.call(http.MethodPost, "/v1/events", c.body)
		text, _ := json.Marshal(v)
		if code != c.code || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	if code, _ := w.call(http.MethodPost, "/v1/events", one, "Authorization", "Bearer other"); code != http.StatusUnauthorized {
		t.Errorf("another key: %d", code)
	}
	if code, _ := w.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "a\xff"); code != http.StatusBadRequest {
		t.Errorf("a key that is no UTF-8: %d", code)
	}
	for _, id := range []string{"%00", "%ff", "a%0ab"} {
		if code, _ := w.call(http.MethodGet, "/v1/events/"+id, ""); code != http.StatusNotFound {
			t.Errorf("an event of the id %s: %d", id, code)
		}
	}
	if code, _ := w.call(http.MethodPost, "/v1/events", one, "Content-Type", "text/plain"); code != http.StatusUnsupportedMediaType {
		t.Errorf("plain text: %d", code)
	}
	if n := w.count(`SELECT COUNT(*) FROM event`) + w.count(`SELECT COUNT(*) FROM object`); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
}

func TestABodyThatIsCutOffIsSaidToBe(t *testing.T) {
	for _, cut := range []string{one[:len(one)-2], `[`, `{"a"`, ``} {
		if _, why := (&Ingest{}).decodePush([]byte(cut)); why == nil || !strings.Contains(why.Detail, "ends before it is complete") {
			t.Errorf("%.20q: %+v", cut, why)
		}
	}
}

// A whole pair, an escaped backslash before a u and plain text pass.
func TestWellFormedTextPasses(t *testing.T) {
	w := open(t)
	for i, text := range []string{`\ud83d\ude00`, `\\ud83d`, `é😀`, `a\n\tb`} {
		body := strings.Replace(strings.Replace(one, "12.50", `"`+text+`"`, 1), "a1", "t"+string(rune('a'+i)), 1)
		if code, v := w.call(http.MethodPost, "/v1/events", body); code != http.StatusAccepted {
			t.Errorf("%s: %d %v", text, code, v)
		}
	}
}

// related is what the event of a pushed deal says of other records.
func (w *world) related(id string) string {
	w.t.Helper()
	r, err := w.in.Server().GetRecord(w.t.Context(), &controlv1.GetRecordRequest{Ref: dealRef(id).String()})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(r.GetRelated())
}

// A pushed record is known with its customer: as the caller describes it, or
// else as it was admitted last, also where the one that is named was merged away.
func TestAPushedRecordKnowsItsCustomer(t *testing.T) {
	w := open(t)
	w.in.deps.Registry.Routes = append(w.in.deps.Registry.Routes, registry.Route{ID: "companies", Connection: "crm", Type: "company", Target: "quickbooks/9", Entity: "ie", Mapping: "c"})
	push := func(body string) map[string]any {
		t.Helper()
		code, v := w.call(http.MethodPost, "/v1/events", body)
		if code != http.StatusAccepted {
			t.Fatalf("%d %v", code, v)
		}
		return v["items"].([]any)[0].(map[string]any)
	}
	push(one)
	if got := w.related("a1"); got != "" {
		t.Errorf("nobody is known, yet: %s", got)
	}
	told := strings.Replace(one, `"data"`, `"related":{"company/5":{"name":"Acme"}},"data"`, 1)
	if a := push(told); a["revision"] != 2.0 || w.related("a1") != `{"hubspot/1/company/5":{"id":"5","name":"Acme"}}` {
		t.Errorf("%v: %s", a, w.related("a1"))
	}
	if a := push(told); a["duplicate"] != true {
		t.Errorf("the same again: %v", a)
	}
	push(`{"connection":"crm","type":"company","id":"5","data":{"name":"Acme Ltd"}}`)
	push(strings.Replace(one, "a1", "a2", 1))
	if got := w.related("a2"); got != `{"hubspot/1/company/5":{"id":"5","name":"Acme Ltd"}}` {
		t.Errorf("what was admitted: %s", got)
	}
	if err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alias (ref, survivor) VALUES ('hubspot/1/company/4', 'hubspot/1/company/5')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	push(strings.Replace(strings.Replace(one, "a1", "a3", 1), "company/5", "company/4", 1))
	if got := w.related("a3"); got != `{"hubspot/1/company/5":{"id":"5","name":"Acme Ltd"}}` {
		t.Errorf("of the survivor: %s", got)
	}
}

// A caller learns that a person must look, and why, until that is settled.
func TestAPushedEventIsSeenParked(t *testing.T) {
	w := open(t)
	w.run()
	_, v := w.call(http.MethodPost, "/v1/events", one)
	id := v["items"].([]any)[0].(map[string]any)["event_ids"].([]any)[0].(string)
	state := func() map[string]any { _, v := w.call(http.MethodGet, "/v1/events/"+id, ""); return v }
	tell := func(f trail.Fact) {
		t.Helper()
		f.Stream, f.Target, f.Exception = "writer/quickbooks/9/ie", "quickbooks/9", "w-1"
		if err := w.db.Write(t.Context(), func(tx *store.Tx) error { return trail.Append(tx, f) }); err != nil {
			t.Fatal(err)
		}
		w.in.facts.Wake()
	}
	if v := state(); v["state"] != "open" || v["exception"] != nil {
		t.Fatalf("%v", v)
	}
	tell(trail.Fact{Type: "exception.opened", SourceEventID: id, Outcome: "validation", Detail: "company.name is empty"})
	w.until("it is parked", func() bool { return state()["state"] == "parked" })
	if e, _ := state()["exception"].(map[string]any); e["id"] != "w-1" || e["kind"] != "validation" || e["reason"] != "company.name is empty" || e["owner"] == "" || e["fix"] == "" {
		t.Errorf("%v", e)
	}
	tell(trail.Fact{Type: "exception.acted", Outcome: "refused"})
	tell(trail.Fact{Type: "exception.acted", Outcome: "retry"})
	w.until("it goes on", func() bool { return state()["state"] == "open" })
	tell(trail.Fact{Type: "exception.opened", SourceEventID: id, Outcome: "validation", Detail: "still"})
	w.until("it is parked again", func() bool { return state()["state"] == "parked" })
	tell(trail.Fact{Type: "slot.ended", SourceEventID: id, Outcome: "discarded"})
	w.until("it has ended", func() bool { return state()["state"] == "ended" })
	if v := state(); v["exception"] != nil || v["outcome"] != "discarded" {
		t.Errorf("%v", v)
	}
}

// A caller who sends all of a body before it reads the answer is answered too.
func TestABodyThatIsTooLargeIsAnswered(t *testing.T) {
	w := open(t)
	server := httptest.NewServer(w.in.Handler())
	defer server.Close()
	for _, path := range []string{"/v1/events", "/webhooks/hubspot"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat("x", 20<<20)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		if err != nil {
			t.Errorf("%s: the body was not taken: %v", path, err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: answered %v, %v", path, answer, err)
		}
		_ = conn.Close() // the answer is all that was wanted
	}
}

func TestManyPushesAtOnce(t *testing.T) {
	w := open(t)
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			w.call(http.MethodPost, "/v1/events", strings.Replace(one, "a1", string(rune('a'+i%10)), 1), "Idempotency-Key", string(rune('a'+i%10)))
		})
	}
	wait.Wait()
	if n := w.count(`SELECT COUNT(*) FROM event`); n != 10 {
		t.Errorf("%d events of 10 records", n)
	}
}

// The document that callers read is the one that is served.
func TestTheOpenAPIDocumentIsServedAndPublished(t *testing.T) {
	published, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil || string(published) != string(openapi) {
		t.Errorf("docs/openapi.yaml is not services/ingest/openapi.yaml: %v", err)
	}
	var doc struct {
		OpenAPI string                            `yaml:"openapi"`
		Paths   map[string]map[string]interface{} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(openapi, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Paths["/v1/events"]["post"] == nil || doc.Paths["/v1/events/{id}"]["get"] == nil {
		t.Errorf("%v %v", doc, err)
	}
}

func FuzzPush(f *testing.F) {
	for _, s := range []string{one, "[" + one + "]", `{"a":[1,2,{"b":null}]}`, `[[[[`, `{"a":1e400}`, `"x"`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	in := &Ingest{}
	f.Fuzz(func(t *testing.T, body []byte) {
		if items, why := in.decodePush(body); why == nil || len(items) != 0 {
			t.Fatalf("nothing is configured, yet %v was taken", items)
		}
	})
}
