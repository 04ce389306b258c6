package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// real is a company on the wall clock, asked by a client that takes broken
// answers.
func real(t *testing.T, dir string) *books {
	t.Helper()
	s, err := New(Config{Dir: dir, Preset: "IE"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); srv.Close() })
	c := s.Credentials()
	b := &books{T: t, s: s, url: srv.URL, token: c.AccessToken, creds: c}
	b.control("settings", `{"limits":{"per_second":0}}`)
	return b
}

// try sends once; status 0 is an answer that did not arrive whole.
func (b *books) try(method, path, body string) (int, string) {
	b.Helper()
	req, err := http.NewRequest(method, b.url+apiPath+DefaultRealm+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(raw)
}

// customers asks as a person's own script does, which faults leave alone.
func (b *books) customers() int {
	b.Helper()
	main := b.token
	b.token = b.creds.ReaderToken
	defer func() { b.token = main }()
	return len(b.query("select * from Customer"))
}

func TestEveryEffect(t *testing.T) {
	const create, batch = `{"DisplayName":"Ada"}`, `{"BatchItemRequest":[{"bId":"1","operation":"create","Customer":{"DisplayName":"A"}},{"bId":"2","operation":"create","Customer":{"DisplayName":"B"}}]}`
	for _, c := range []struct {
		fault, path, body string
		status            int
		contains          string
		done              int
	}{
		{`{"effect":"status","status":503}`, "/customer", create, 503, "<html>", 0},
		{`{"effect":"reset_before"}`, "/customer", create, 0, "", 0},
		{`{"effect":"reset_after"}`, "/customer", create, 0, "", 1},
		{`{"effect":"hang","delay":"5ms"}`, "/customer", create, 0, "", 0},
		{`{"effect":"delay","delay":"5ms"}`, "/customer", create, 200, `"Ada"`, 1},
		{`{"effect":"slow_body","delay":"1us"}`, "/customer", create, 200, `"Ada"`, 1},
		{`{"effect":"truncate"}`, "/customer", create, 0, "", 1},
		{`{"effect":"corrupt"}`, "/customer", create, 200, "\x00", 1},
		{`{"effect":"throttle"}`, "/customer", create, 429, "errorCode=003001", 0},
		{`{"effect":"fault_in_200"}`, "/customer", create, 200, `"code":"10000"`, 0},
		{`{"effect":"partial_batch"}`, "/batch", batch, 200, `"code":"10000"`, 1},
		{`{"effect":"forget_keys"}`, "/customer?requestid=k1", create, 200, `"Ada"`, 1},
		{`{"effect":"expire_token"}`, "/customer", create, 401, "errorCode=003200", 0},
		{`{"effect":"revoke_consent"}`, "/customer", create, 401, "Token revoked", 0},
		{`{"effect":"search_lag","delay":"1h"}`, "/customer", create, 200, `"Ada"`, 1},
	} {
		t.Run(c.fault, func(t *testing.T) {
			b := real(t, "")
			b.control("faults", strings.Replace(c.fault, "{", `{"times":1,`, 1))
			status, raw := b.try("POST", c.path, c.body)
			if status != c.status || !strings.Contains(raw, c.contains) {
				t.Errorf("the client saw %d %q, want %d %q", status, raw, c.status, c.contains)
			}
			if got := b.customers(); got != c.done {
				t.Errorf("%d were done, want %d", got, c.done)
			}
			if _, list, _ := b.send("GET", "/_sandbox/faults", "", nil); !strings.Contains(list, `"hits":1`) {
				t.Errorf("not counted: %s", list)
			}
		})
	}
}

func TestALateCommitAndItsKey(t *testing.T) {
	b := real(t, "")
	b.control("faults", `{"effect":"late_commit","delay":"50ms","times":1}`)
	if status, _ := b.try("POST", "/customer?requestid=k", `{"DisplayName":"Late"}`); status != 503 {
		t.Fatalf("answered %d", status)
	}
	if status, _ := b.try("POST", "/customer?requestid=k", `{"DisplayName":"Late"}`); status != 200 {
		t.Fatalf("the repeat was answered %d", status)
	}
	b.control("faults", `{"effect":"late_commit","delay":"50ms","times":1}`)
	b.try("POST", "/customer?requestid=k2", `{"DisplayName":"Later"}`)
	for end := time.Now().Add(10 * time.Second); b.customers() != 2; {
		if time.Now().After(end) {
			t.Fatalf("%d customers, want one under each key", b.customers())
		}
	}
	status, raw, _ := b.send("POST", "/_sandbox/faults", `{"effect":"late_commit","delay":"3001ms"}`, nil)
	if status != 400 || !strings.Contains(raw, "longest_request") {
		t.Errorf("a later commit than a connector may claim: %d %s", status, raw)
	}
}

func TestASearchThatLagsOnce(t *testing.T) {
	b := real(t, "")
	b.post("/customer", `{"DisplayName":"Ada"}`)
	b.control("faults", `{"match":{"path":"/v3/company/*/query"},"effect":"search_lag","delay":"1h","times":1}`)
	for i, want := range []int{0, 1} {
		if got := len(b.query("select * from Customer")); got != want {
			t.Errorf("search %d finds %d, want %d", i, got, want)
		}
	}
}

// What was acknowledged is in the file when the answer arrives, so a process
// that is killed then has lost nothing.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	b := real(t, dir)
	b.post("/customer?requestid=k", `{"DisplayName":"Ada"}`)
	b.control("faults", `{"match":{"nth":2},"effect":"throttle"}`)
	b.post("/customer", `{"DisplayName":"Bob"}`)
	raw, err := os.ReadFile(filepath.Join(dir, "quickbooks.jsonl")) // as a kill -9 leaves it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "quickbooks.jsonl"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	again := real(t, copied)
	if got := again.customers(); got != 2 {
		t.Errorf("%d customers after the kill, want 2", got)
	}
	if status, raw := again.try("POST", "/customer", `{"DisplayName":"Cyd"}`); status != 429 {
		t.Errorf("the fault was forgotten, or which request is its second: %d %s", status, raw)
	}
}

func TestSeveralCompanies(t *testing.T) {
	dir := t.TempDir()
	b := real(t, dir)
	status, raw, _ := b.send("POST", "/_sandbox/accounts", `{"id":"99","preset":"US"}`, nil)
	var opened struct {
		ID, Preset  string
		Credentials map[string]string
	}
	if err := json.Unmarshal([]byte(raw), &opened); status != 200 || err != nil || opened.Preset != "US" {
		t.Fatalf("%d %s", status, raw)
	}
	c := opened.Credentials
	if c["client_id"] != b.creds.ClientID || c["verifier_token"] != b.creds.VerifierToken || c["access_token"] == b.creds.AccessToken || c["realm_id"] != "99" {
		t.Errorf("credentials %v", c)
	}
	if _, again, _ := b.send("POST", "/_sandbox/accounts", `{"id":"99"}`, nil); again != raw {
		t.Errorf("opened again: %s", again)
	}
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	if status, raw, _ := b.send("GET", apiPath+"99/companyinfo/99", "", bearer(c["access_token"])); status != 200 || !strings.Contains(raw, `"Country":"US"`) {
		t.Errorf("the other company: %d %s", status, raw)
	}
	if status, _, _ := b.send("GET", apiPath+DefaultRealm+"/companyinfo/1", "", bearer(c["access_token"])); status != 401 {
		t.Errorf("its token at the first one: %d", status)
	}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	(&http.Request{Header: h}).SetBasicAuth(c["client_id"], c["client_secret"])
	if status, raw, _ := b.send("POST", tokenPath, refreshWith(c["refresh_token"]).Encode(), h); status != 200 {
		t.Errorf("refresh: %d %s", status, raw)
	}
	b.post("/customer", `{"DisplayName":"First only"}`)
	_, first, _ := b.send("GET", "/_sandbox/export", "", nil)
	_, other, _ := b.send("GET", "/_sandbox/export?account=99", "", nil)
	if !strings.Contains(first, "First only") || strings.Contains(other, "First only") || !strings.Contains(other, "USD") {
		t.Error("the worlds are mixed up")
	}
	for _, bad := range []string{`{"id":"../x"}`, `{"id":""}`, `{"id":"7","preset":"DE"}`, `{"realm":"7"}`, `{`} {
		if status, raw, _ := b.send("POST", "/_sandbox/accounts", bad, nil); status != 400 || !strings.Contains(raw, "error") {
			t.Errorf("%s: %d %s", bad, status, raw)
		}
	}
	if status, raw, _ := b.send("GET", "/_sandbox/export?account=5", "", nil); status != 404 || !strings.Contains(raw, "99") {
		t.Errorf("no such account: %d %s", status, raw)
	}
	b.s.Close()
	again := real(t, dir)
	if _, list, _ := again.send("GET", "/_sandbox/accounts", "", nil); list != fmt.Sprintf(`{"items":[{"id":%q,"preset":"IE"},{"id":"99","preset":"US"}]}`+"\n", DefaultRealm) {
		t.Errorf("after a restart: %s", list)
	}
}

func TestConsentOfTheOtherCompanyAndDenial(t *testing.T) {
	b := real(t, "")
	b.send("POST", "/_sandbox/accounts", `{"id":"99"}`, nil)
	q := url.Values{"client_id": {b.creds.ClientID}, "redirect_uri": {"http://127.0.0.1:1/cb"}, "response_type": {"code"}, "scope": {scope}, "state": {"s&1"}, "realmId": {"99"}}
	ask := func() url.Values {
		status, raw, head := b.send("GET", authorizePath+"?"+q.Encode(), "", nil)
		to, err := url.Parse(head.Get("Location"))
		if status != 302 || err != nil || to.Query().Get("state") != "s&1" {
			t.Fatalf("authorize: %d %s %v", status, raw, head)
		}
		return to.Query()
	}
	got := ask()
	if got.Get("realmId") != "99" {
		t.Errorf("the consent is of company %s", got.Get("realmId"))
	}
	if status, out, _ := b.grant(url.Values{"grant_type": {"authorization_code"}, "code": {got.Get("code")}, "redirect_uri": {"http://127.0.0.1:1/cb"}}); status != 200 {
		t.Errorf("its code: %d %v", status, out)
	}
	b.control("settings?account=99", `{"consent":"deny"}`)
	if got := ask(); got.Get("error") != "access_denied" || got.Get("code") != "" || got.Get("realmId") != "" {
		t.Errorf("denied: %v", got)
	}
	for change, want := range map[string]string{
		"client_id=x": "invalid_client", "redirect_uri=/cb": "invalid_request", "response_type=token": "unsupported_response_type", "scope=openid": "invalid_scope",
	} {
		wrong, _ := url.ParseQuery(q.Encode())
		k, v, _ := strings.Cut(change, "=")
		wrong.Set(k, v)
		if status, raw, _ := b.send("GET", authorizePath+"?"+wrong.Encode(), "", nil); status != 400 || !strings.Contains(raw, want) {
			t.Errorf("%s: %d %s", change, status, raw)
		}
	}
}
