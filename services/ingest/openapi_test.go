package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"tieout.dev/services/internal/drill"
)

// described is the published document, as an independent validator reads it.
type described struct {
	requests validator.Validator
	answers  validator.Validator // strict: no field that the document does not name
}

func readDocument(t testing.TB) *described {
	t.Helper()
	b, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(b)
	if err != nil {
		t.Fatal(err)
	}
	requests, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	answers, more := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithStrictMode())
	if len(errs)+len(more) > 0 {
		t.Fatal(errs, more)
	}
	return &described{requests, answers}
}

// checkable is how large a body the validator takes in reasonable time.
const checkable = 64 << 10

// asDescribed holds an exchange against the document: what it does not allow is
// not taken, what was taken it allows, and every answer is one that it names.
func (w *world) asDescribed(r *http.Request, body string, out *httptest.ResponseRecorder) {
	w.t.Helper()
	doc := w.doc()
	if len(body) <= checkable {
		r.Body = readCloser{strings.NewReader(body)}
		if ok, errs := doc.requests.ValidateHttpRequest(r); !ok && out.Code < 400 {
			w.t.Errorf("%s %s was answered %d, and the document does not allow it: %v\n%.300s", r.Method, r.URL.Path, out.Code, errs, body)
		}
	}
	if ok, errs := doc.answers.ValidateHttpResponse(r, out.Result()); !ok {
		w.t.Errorf("%s %s: the answer is not one that the document describes: %d %s\n%v", r.Method, r.URL.Path, out.Code, out.Body, errs)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// The document itself is a valid OpenAPI 3.1 document.
func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	if ok, errs := readDocument(t).requests.ValidateDocument(); !ok {
		t.Error(errs)
	}
}

// The check is none if it passes anything: a changed answer must not pass.
func TestTheValidatorSeesWhatIsNotDescribed(t *testing.T) {
	doc := readDocument(t)
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(one))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer k")
	good := `{"items":[{"event_ids":["e"],"revision":1,"duplicate":false}]}`
	for _, c := range []struct {
		status     int
		kind, body string
		ok         bool
	}{
		{202, "application/json", good, true},
		{202, "application/json", strings.Replace(good, "revision", "rev", 1), false},
		{202, "application/json", strings.Replace(good, "1,", `"1",`, 1), false},
		{202, "application/json", strings.Replace(good, `"items"`, `"next":"x","items"`, 1), false},
		{200, "application/json", good, false},
		{202, "text/plain", good, false},
		{400, "application/json", `{"type":"about:blank","title":"t","status":400,"detail":"d"}`, false},
		{400, "application/problem+json", `{"type":"about:blank","title":"t","status":400,"detail":"d"}`, true},
		{418, "application/problem+json", `{"type":"about:blank","title":"t","status":418,"detail":"d"}`, false},
	} {
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {c.kind}}, Body: readCloser{strings.NewReader(c.body)}, Request: r}
		if ok, errs := doc.answers.ValidateHttpResponse(r, resp); ok != c.ok {
			t.Errorf("%d %s %s: allowed %v: %v", c.status, c.kind, c.body, ok, errs)
		}
	}
	for body, want := range map[string]bool{one: true, "[" + one + "]": true, "[]": false, `{"connection":"crm"}`: false, strings.Replace(one, `"type"`, `"kind":"x","type"`, 1): false} {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", bytes.NewReader([]byte(body)))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer k"}}
		if ok, errs := doc.requests.ValidateHttpRequest(r); ok != want {
			t.Errorf("%s: allowed %v: %s", body, ok, fmt.Sprint(errs))
		}
	}
}

// A database that is away is said so, in the document's words.
func TestADatabaseThatIsAwayAdmitsNothing(t *testing.T) {
	w := open(t)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	for method, path := range map[string]string{http.MethodPost: "/v1/events", http.MethodGet: "/v1/events/e"} {
		body := ""
		if method == http.MethodPost {
			body = one
		}
		if code, v := w.call(method, path, body); code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %v", method, code, v)
		}
	}
	drill.Injected(t, 1, 48)
}
