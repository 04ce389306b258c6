package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// consent is the person's part: the page sends them back with a code.
func (b *bench) consent(path string, change ...string) (int, string, url.Values) {
	b.t.Helper()
	q := url.Values{"client_id": {b.portal.ClientID}, "redirect_uri": {"http://127.0.0.1:1/cb?x=1"}, "scope": {"oauth crm.objects.deals.read"}, "state": {"s&1"}}
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(b.server.URL + path + "?" + q.Encode())
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, to.Host + to.Path, to.Query()
}

func (b *bench) exchange(status int, params ...string) reply {
	b.t.Helper()
	f := url.Values{"client_id": {b.portal.ClientID}, "client_secret": {b.portal.AppSecret}}
	for i := 0; i+1 < len(params); i += 2 {
		f.Set(params[i], params[i+1])
	}
	r := b.send("POST", tokenPath, f.Encode())
	if r.status != status {
		b.t.Fatalf("token %v: %d %s", params, r.status, r.raw)
	}
	return r
}

func TestConsent(t *testing.T) {
	b := open(t, "")
	status, where, back := b.consent("/oauth/authorize")
	if status != 302 || where != "127.0.0.1:1/cb" || back.Get("x") != "1" || back.Get("state") != "s&1" || back.Get("code") == "" {
		t.Fatalf("%d %s %v", status, where, back)
	}
	code := []string{"grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri"}
	if r := b.exchange(400, append(code, "http://127.0.0.1:1/other")...); r.at("status") != "BAD_REDIRECT_URI" {
		t.Errorf("%s", r.raw)
	}
	r := b.exchange(200, append(code, "http://127.0.0.1:1/cb?x=1")...)
	if r.at("token_type") != "bearer" || r.at("expires_in") != "1800" {
		t.Errorf("%s", r.raw)
	}
	if again := b.exchange(400, append(code, "http://127.0.0.1:1/cb?x=1")...); again.at("status") != "BAD_AUTH_CODE" {
		t.Errorf("a code was good twice: %s", again.raw)
	}
	b.token = r.at("access_token")
	b.do(200, "GET", "/crm/v3/objects/deals", "")
	if info := b.do(200, "GET", "/oauth/v1/refresh-tokens/"+r.at("refresh_token"), ""); info.at("hub_id") != "48213" || info.at("token_type") != "refresh" {
		t.Errorf("%s", info.raw)
	}
	b.exchange(400, "grant_type", "refresh_token", "refresh_token", b.portal.RefreshToken) // of the consent before
	b.exchange(200, "grant_type", "refresh_token", "refresh_token", r.at("refresh_token"))
	b.do(204, "DELETE", "/oauth/v1/refresh-tokens/"+r.at("refresh_token"), "")
	b.exchange(400, "grant_type", "refresh_token", "refresh_token", r.at("refresh_token"))

	_, _, back = b.consent("/oauth/48213/authorize")
	b.clock.move(11 * time.Minute)
	if late := b.exchange(400, "grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", "http://127.0.0.1:1/cb?x=1"); late.at("status") != "BAD_AUTH_CODE" {
		t.Errorf("%s", late.raw)
	}
}

func TestConsentRefused(t *testing.T) {
	b := open(t, "")
	for _, c := range [][]string{{"client_id", "x"}, {"redirect_uri", "cb"}, {"redirect_uri", "ftp://a/b"}, {"scope", ""}} {
		if status, _, _ := b.consent("/oauth/authorize", c...); status != 400 {
			t.Errorf("%v: %d", c, status)
		}
	}
	if status, _, _ := b.consent("/oauth/5/authorize"); status != 404 {
		t.Errorf("another portal: %d", status)
	}
	b.do(200, "POST", "/_sandbox/settings", `{"consent":"deny"}`)
	if status, _, back := b.consent("/oauth/authorize"); status != 302 || back.Get("error") != "access_denied" || back.Get("code") != "" || back.Get("state") != "s&1" {
		t.Errorf("denied: %d %v", status, back)
	}
	for _, c := range []struct{ status, kind, secret string }{{"BAD_CLIENT_SECRET", "refresh_token", "x"}, {"BAD_GRANT_TYPE", "password", ""}} {
		params := []string{"grant_type", c.kind}
		if c.secret != "" {
			params = append(params, "client_secret", c.secret)
		}
		if r := b.exchange(400, params...); r.at("status") != c.status {
			t.Errorf("%s", r.raw)
		}
	}
}

// Without consent nothing works until a person agrees again, also after a
// restart, and the other app never notices.
func TestARevokedConsentStaysRevoked(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	given := b.exchange(200, "grant_type", "refresh_token", "refresh_token", b.portal.RefreshToken)
	b.do(200, "POST", "/_sandbox/faults", `{"effect":"revoke_consent","times":1}`)
	b.do(401, "GET", "/crm/v3/objects/deals", "")
	b.close()
	b = open(t, dir)
	for _, token := range []string{b.portal.AccessToken, given.at("access_token")} {
		b.token = token
		if r := b.do(401, "GET", "/crm/v3/objects/deals", ""); r.at("category") != "INVALID_AUTHENTICATION" {
			t.Errorf("%s", r.raw)
		}
	}
	if r := b.exchange(400, "grant_type", "refresh_token", "refresh_token", b.portal.RefreshToken); r.at("status") != "BAD_REFRESH_TOKEN" {
		t.Errorf("%s", r.raw)
	}
	b.token = b.portal.ReaderToken
	b.do(200, "GET", "/crm/v3/objects/deals", "")
	_, _, back := b.consent("/oauth/authorize")
	r := b.exchange(200, "grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", "http://127.0.0.1:1/cb?x=1")
	for token, status := range map[string]int{b.portal.AccessToken: 200, r.at("access_token"): 200, given.at("access_token"): 401} {
		b.token = token
		b.do(status, "GET", "/crm/v3/objects/deals", "")
	}
}

func TestAnExpiredTokenNamesItsApp(t *testing.T) {
	b := open(t, "")
	b.token = b.exchange(200, "grant_type", "refresh_token", "refresh_token", b.portal.RefreshToken).at("access_token")
	b.clock.move(31 * time.Minute)
	if r := b.do(401, "GET", "/crm/v3/objects/deals", ""); r.at("category") != "EXPIRED_AUTHENTICATION" {
		t.Errorf("%s", r.raw)
	}
	log := string(b.do(200, "GET", "/_sandbox/requests?since=1", "").raw)
	if !strings.Contains(log, `"app":"app"`) || !strings.Contains(log, `"status":401`) {
		t.Errorf("%s", log)
	}
}
