package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onWall is a portal on the wall clock.
func onWall(t *testing.T, dir string) *bench {
	t.Helper()
	p, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, portal: p, server: httptest.NewServer(p), token: p.AccessToken}
	t.Cleanup(b.close)
	b.unlimited()
	return b
}

// try sends once; status 0 is an answer that did not arrive whole.
func (b *bench) try(method, path, body string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
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

// companies asks as a person's own script does, which faults leave alone.
func (b *bench) companies() int {
	b.t.Helper()
	main := b.token
	b.token = b.portal.ReaderToken
	defer func() { b.token = main }()
	return len(b.do(200, "GET", "/crm/v3/objects/companies?limit=100", "").body["results"].([]any))
}

func TestEveryEffect(t *testing.T) {
	const path, create = "/crm/v3/objects/companies", `{"properties":{"name":"Ada"}}`
	const batch = `{"inputs":[{"properties":{"name":"Ada"}},{"properties":{"name":"Bob"}}]}`
	for _, c := range []struct {
		fault, path, body string
		status            int
		contains          string
		done              int
	}{
		{`{"effect":"status","status":502}`, path, create, 502, "<html>", 0},
		{`{"effect":"reset_before"}`, path, create, 0, "", 0},
		{`{"effect":"reset_after"}`, path, create, 0, "", 1},
		{`{"effect":"hang","delay":"5ms"}`, path, create, 0, "", 0},
		{`{"effect":"delay","delay":"5ms"}`, path, create, 201, `"Ada"`, 1},
		{`{"effect":"slow_body","delay":"1us"}`, path, create, 201, `"Ada"`, 1},
		{`{"effect":"truncate"}`, path, create, 0, "", 1},
		{`{"effect":"corrupt"}`, path, create, 201, "\x00", 1},
		{`{"effect":"throttle"}`, path, create, 429, "TEN_SECONDLY_ROLLING", 0},
		{`{"effect":"fault_in_200"}`, path, create, 200, `"status":"error"`, 0},
		{`{"effect":"partial_batch"}`, path + "/batch/create", batch, 207, `"numErrors":1`, 1},
		{`{"effect":"forget_keys"}`, path, create, 201, `"Ada"`, 1},
		{`{"effect":"expire_token"}`, path, create, 401, "EXPIRED_AUTHENTICATION", 0},
		{`{"effect":"revoke_consent"}`, path, create, 401, "INVALID_AUTHENTICATION", 0},
		{`{"effect":"search_lag","delay":"1h"}`, path, create, 201, `"Ada"`, 1},
	} {
		t.Run(c.fault, func(t *testing.T) {
			b := onWall(t, "")
			b.do(200, "POST", "/_sandbox/faults", "%s", strings.Replace(c.fault, "{", `{"times":1,`, 1))
			status, raw := b.try("POST", c.path, c.body)
			if status != c.status || !strings.Contains(raw, c.contains) {
				t.Errorf("the client saw %d %q, want %d %q", status, raw, c.status, c.contains)
			}
			if got := b.companies(); got != c.done {
				t.Errorf("%d were done, want %d", got, c.done)
			}
			if r := b.do(200, "GET", "/_sandbox/faults", ""); r.at("items", 0, "hits") != "1" {
				t.Errorf("not counted: %s", r.raw)
			}
		})
	}
}

func TestALateCommit(t *testing.T) {
	b := onWall(t, "")
	b.do(200, "POST", "/_sandbox/faults", `{"effect":"late_commit","delay":"50ms","times":1}`)
	if status, _ := b.try("POST", "/crm/v3/objects/companies", `{"properties":{"name":"Late"}}`); status != 503 {
		t.Fatalf("answered %d", status)
	}
	for end := time.Now().Add(10 * time.Second); b.companies() != 1; {
		if time.Now().After(end) {
			t.Fatal("never done")
		}
	}
	if r := b.do(400, "POST", "/_sandbox/faults", `{"effect":"late_commit","delay":"4s"}`); !strings.Contains(string(r.raw), "longest_request") {
		t.Errorf("%s", r.raw)
	}
}

func TestASearchThatLagsOnce(t *testing.T) {
	b := onWall(t, "")
	b.make("companies", `{"name":"Ada"}`)
	b.do(200, "POST", "/_sandbox/faults", `{"match":{"path":"*/search"},"effect":"search_lag","delay":"1h","times":1}`)
	for i, want := range []string{"0", "1"} {
		if r := b.do(200, "POST", "/crm/v3/objects/companies/search", `{}`); r.at("total") != want {
			t.Errorf("search %d: %s", i, r.raw)
		}
	}
}

// What was acknowledged is in the file when the answer arrives, so a process
// that is killed then has lost nothing.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	b := onWall(t, dir)
	b.make("companies", `{"name":"Ada"}`)
	raw, err := os.ReadFile(filepath.Join(dir, "hubspot.jsonl")) // as a kill -9 leaves it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "hubspot.jsonl"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	again := onWall(t, copied)
	if got := again.companies(); got != 1 || again.portal.AccessToken != b.portal.AccessToken {
		t.Errorf("%d companies after the kill, want 1", got)
	}
}

func TestSeveralPortals(t *testing.T) {
	dir := t.TempDir()
	hooks := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hooks <- string(body)
	}))
	defer srv.Close()
	b := onWall(t, dir)
	made := b.do(200, "POST", "/_sandbox/accounts", `{"id":"700"}`)
	if made.at("credentials", "app_secret") != b.portal.AppSecret || made.at("credentials", "access_token") == b.portal.AccessToken {
		t.Errorf("%s", made.raw)
	}
	b.do(200, "POST", "/_sandbox/settings?account=700", `{"webhooks":{"target":%q}}`, srv.URL)
	first := b.token
	b.token = made.at("credentials", "access_token")
	if r := b.do(200, "GET", "/account-info/v3/details", ""); r.at("portalId") != "700" {
		t.Errorf("%s", r.raw)
	}
	if r := b.do(400, "POST", "/crm/v3/objects/deals", `{"properties":{"amount":"x"}}`); !strings.Contains(r.at("message"), `"portalId":700`) {
		t.Errorf("%s", r.raw)
	}
	b.make("companies", `{"name":"Other"}`)
	select {
	case body := <-hooks:
		if !strings.Contains(body, `"portalId":700`) {
			t.Errorf("%s", body)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no webhook")
	}
	token := b.do(200, "POST", "/oauth/v1/token", "grant_type=refresh_token&client_id=%s&client_secret=%s&refresh_token=%s",
		b.portal.ClientID, b.portal.AppSecret, made.at("credentials", "refresh_token")).at("access_token")
	if r := b.do(200, "GET", "/oauth/v1/access-tokens/"+token, ""); r.at("hub_id") != "700" {
		t.Errorf("%s", r.raw)
	}
	b.token = first
	if r := b.do(200, "GET", "/crm/v3/objects/companies", ""); r.at("results", 0) != "<none>" {
		t.Errorf("the portals are mixed up: %s", r.raw)
	}
	for _, bad := range []string{`{"id":"x"}`, `{"id":"-1"}`, `{"id":"0700"}`, `{"id":"701","preset":"IE"}`} {
		b.do(400, "POST", "/_sandbox/accounts", "%s", bad)
	}
	b.close()
	b = onWall(t, dir)
	if r := b.do(200, "GET", "/_sandbox/accounts", ""); r.at("items", 1, "id") != "700" || r.at("items", 2) != "<none>" {
		t.Errorf("after a restart: %s", r.raw)
	}
	b.do(200, "POST", "/_sandbox/reset?account=700", "")
	b.do(400, "POST", "/_sandbox/reset", `{"preset":"US"}`)
}

// A delivery that failed is sent again, signed anew, and says how often.
func TestRetriesOfADelivery(t *testing.T) {
	type delivery struct {
		header http.Header
		body   string
		url    string
	}
	got := make(chan delivery, 10)
	tries := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if tries++; tries < 3 {
			w.WriteHeader(500)
		}
		got <- delivery{r.Header, string(body), r.URL.String()}
	}))
	defer srv.Close()
	b := onWall(t, "")
	target := srv.URL + "/hook?a=b%20c%3Ad"
	b.do(200, "POST", "/_sandbox/settings", `{"webhooks":{"target":%q}}`, target)
	b.make("companies", `{"name":"Ada"}`)
	v := vendor{hooks: hooks{secret: b.portal.AppSecret}}
	for try := range 3 {
		var d delivery
		select {
		case d = <-got:
		case <-time.After(10 * time.Second):
			t.Fatal("no retry")
		}
		if n := strings.Count(d.body, fmt.Sprintf(`"attemptNumber":%d`, try)); n == 0 || n != strings.Count(d.body, "attemptNumber") {
			t.Errorf("try %d: %s", try, d.body)
		}
		var ms int64
		_, _ = fmt.Sscan(d.header.Get("X-HubSpot-Request-Timestamp"), &ms)
		want := v.Sign(target, []byte(d.body), time.UnixMilli(ms)).Get("X-Hubspot-Signature-V3")
		if want == "" || d.header.Get("X-HubSpot-Signature-v3") != want {
			t.Errorf("try %d is not signed", try)
		}
	}
}

func TestRateHeadersFollowTheSettings(t *testing.T) {
	b := open(t, "")
	b.do(200, "POST", "/_sandbox/settings", `{"limits":{"ten_secondly_rolling":3,"daily":4}}`)
	for i := range 3 {
		h := b.do(200, "GET", "/crm/v3/objects/deals", "").header
		if h.Get("X-HubSpot-RateLimit-Max") != "3" || h.Get("X-HubSpot-RateLimit-Remaining") != fmt.Sprint(2-i) || h.Get("X-HubSpot-RateLimit-Daily-Remaining") != fmt.Sprint(3-i) {
			t.Errorf("request %d: %v", i, h)
		}
	}
	if r := b.do(429, "GET", "/crm/v3/objects/deals", ""); r.header.Get("X-HubSpot-RateLimit-Max") != "3" || r.header.Get("X-HubSpot-RateLimit-Remaining") != "0" {
		t.Errorf("%v", r.header)
	}
	b.clock.move(10 * time.Second)
	b.do(200, "GET", "/crm/v3/objects/deals", "")
	b.clock.move(10 * time.Second)
	if r := b.do(429, "GET", "/crm/v3/objects/deals", ""); r.at("policyName") != "DAILY" || r.header.Get("X-HubSpot-RateLimit-Daily") != "4" {
		t.Errorf("%s %v", r.raw, r.header)
	}
}

func TestSettingsSayWhatIsAllowed(t *testing.T) {
	b := open(t, "")
	for body, want := range map[string]string{
		`{"webhook_form":"both"}`: "typed", `{"consent":1}`: "deny", `{"colour":1}`: "webhook_form", `{"limits":{"x":1}}`: "ten_secondly_rolling", `{"preset":"US"}`: "EU",
	} {
		if r := b.do(400, "POST", "/_sandbox/settings", "%s", body); !strings.Contains(r.at("error"), want) {
			t.Errorf("%s: %s", body, r.raw)
		}
	}
}

func TestTheWindowOfASearch(t *testing.T) {
	b := open(t, "")
	b.unlimited()
	for body, status := range map[string]int{
		`{"limit":200,"after":"9800"}`: 200, `{"limit":200,"after":"9801"}`: 400, `{"limit":201}`: 400, `{"limit":0}`: 400,
		`{"after":"9999999999999999999"}`: 400, `{"after":"-1"}`: 400, `{"after":"9223372036854775807","limit":10}`: 400,
	} {
		if r := b.send("POST", "/crm/v3/objects/deals/search", body); r.status != status {
			t.Errorf("%s: %d %s", body, r.status, r.raw)
		}
	}
}
