package quickbooks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/connectors/quickbooks/sandbox"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

const back = "http://127.0.0.1:1/callback"

// office is a company that knows our app, and nothing of it is granted yet.
type office struct {
	t    *testing.T
	url  string
	now  time.Time
	conn *connector.Connection
}

func newOffice(t *testing.T) *office {
	t.Helper()
	sb, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sb)
	t.Cleanup(func() { srv.Close(); sb.Close() })
	o, c := &office{t: t, url: srv.URL, now: time.Now()}, sb.Credentials()
	o.conn, err = Open(connector.Config{
		Account: "quickbooks/" + c.RealmID, BaseURL: srv.URL, Tokens: fixedToken(c.AccessToken), Now: func() time.Time { return o.now },
		Settings: map[string]string{"authorize_url": srv.URL + "/connect/oauth2", "token_url": srv.URL + "/oauth2/v1/tokens/bearer", "revoke_url": srv.URL + "/v2/oauth2/tokens/revoke"},
		Secrets:  map[string]connector.Secret{secretClientID: connector.Secret(c.ClientID), secretClientSecret: connector.Secret(c.ClientSecret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) control(path, body string) {
	o.t.Helper()
	(&books{t: o.t, url: o.url}).control(path, body)
}

// agree opens the consent page as a browser would and reads where it leads back.
func (o *office) agree(page string) url.Values {
	o.t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(page)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound || !strings.HasPrefix(to.String(), back) {
		o.t.Fatalf("the page answers %s, and leads to %q (%v)", resp.Status, to, err)
	}
	return to.Query()
}

func (o *office) trade(q url.Values) (connector.Granted, error) {
	return o.conn.Consent.Trade(o.t.Context(), connector.ConsentAnswer{
		Code: connector.Secret(q.Get("code")), Redirect: back, Params: map[string]string{"realmId": q.Get("realmId")},
	})
}

func TestConsentIsTradedOnce(t *testing.T) {
	o := newOffice(t)
	q := o.agree(o.conn.Consent.URL(back, "s&1"))
	if q.Get("state") != "s&1" {
		t.Fatalf("state came back as %q", q.Get("state"))
	}
	g, err := o.trade(q)
	if err != nil || g.Account != "quickbooks/"+q.Get("realmId") || g.Grant.Refresh == "" || g.Grant.RefreshExpires.Before(o.now.Add(90*24*time.Hour)) {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := o.trade(q); fault.KindOf(err) != fault.Rejected || !strings.Contains(err.Error(), "begin the consent again") {
		t.Errorf("a code was good twice: %v", err)
	}
	if _, err := o.conn.RefreshToken(t.Context(), g.Grant.Refresh.Reveal()); err != nil {
		t.Errorf("the refresh token is not good: %v", err)
	}
}

// A consent for another company is refused, also when the address that came
// back lies about it; then the grant is given back.
func TestConsentOfAnotherCompanyIsRefused(t *testing.T) {
	o := newOffice(t)
	o.control("accounts", `{"id":"99","preset":"US"}`)
	bound := o.agree(o.conn.Consent.URL(back, "s")).Get("realmId")
	q := o.agree(o.conn.Consent.URL(back, "s") + "&realmId=99")
	refused := func(what string, q url.Values) {
		t.Helper()
		_, err := o.trade(q)
		if f := fault.As(err); f == nil || f.Kind != fault.Rejected || f.Field != connector.FieldAccount {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("the address names another", q)
	refused("the address names none", url.Values{"code": {q.Get("code")}})
	if n := o.requests("/oauth2/v1/tokens/bearer"); n != 0 {
		t.Errorf("a code of another company was traded %d times", n)
	}
	q.Set("realmId", bound)
	refused("the address lies", q)
	if n := o.requests("/v2/oauth2/tokens/revoke"); n != 1 {
		t.Errorf("the grant was given back %d times", n)
	}
}

func (o *office) requests(path string) int {
	o.t.Helper()
	n := 0
	for _, account := range []string{"", "?account=99"} {
		resp, err := http.Get(o.url + "/_sandbox/requests" + account)
		if err != nil {
			o.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			o.t.Fatal(err)
		}
		n += strings.Count(string(b), `"path":"`+path+`"`)
	}
	return n
}

func TestTheCompanyIsChecked(t *testing.T) {
	o := newOffice(t)
	if c := o.conn.Check(t.Context()); len(c) != 1 || !c[0].OK || !strings.Contains(c[0].Detail, "is reached") {
		t.Errorf("%+v", c)
	}
	o.control("faults", `{"effect":"revoke_consent","times":1}`)
	for range 2 {
		if c := o.conn.Check(t.Context()); len(c) != 1 || c[0].OK || !strings.Contains(c[0].Next, "authorize") {
			t.Errorf("%+v", c)
		}
	}
}

func TestAddressesOfAConsentAreChecked(t *testing.T) {
	for _, name := range []string{"authorize_url", "token_url", "revoke_url"} {
		_, err := Open(connector.Config{Account: "quickbooks/1", Tokens: fixedToken("x"), Settings: map[string]string{name: "http://example.com/x"}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s in the clear was taken: %v", name, err)
		}
	}
	conn, err := Open(connector.Config{Account: "quickbooks/1", Tokens: fixedToken("x"), Secrets: map[string]connector.Secret{secretClientID: "a"}})
	if err != nil || !strings.HasPrefix(conn.Consent.URL(back, "x"), "https://appcenter.intuit.com/connect/oauth2?") {
		t.Errorf("%v", err)
	}
}

// An answer without the end of the refresh token leaves it unknown, not past.
func TestAnUnknownEndIsNotNow(t *testing.T) {
	g, err := grant([]byte(`{"access_token":"a","refresh_token":"r","expires_in":3600}`), time.Now())
	if err != nil || !g.RefreshExpires.IsZero() {
		t.Errorf("%v, %v", g.RefreshExpires, err)
	}
}

// Whichever end comes first: a grant that is refreshed in time still ends for good.
func TestTheEarlierEndCounts(t *testing.T) {
	now := time.Now()
	for body, want := range map[string]time.Duration{
		`"x_refresh_token_expires_in":8640000,"x_refresh_token_hard_expires_in":60`: time.Minute,
		`"x_refresh_token_expires_in":60,"x_refresh_token_hard_expires_in":8640000`: time.Minute,
		`"x_refresh_token_hard_expires_in":60`:                                      time.Minute,
	} {
		g, err := grant([]byte(`{"access_token":"a","refresh_token":"r","expires_in":3600,`+body+`}`), now)
		if err != nil || !g.RefreshExpires.Equal(now.Add(want)) {
			t.Errorf("%s: %v, %v", body, g.RefreshExpires, err)
		}
	}
}
