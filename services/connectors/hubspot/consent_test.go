package hubspot

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

const back = "http://127.0.0.1:1/callback"

// agree opens the consent page as a browser would and reads where it leads back.
func agree(t *testing.T, page string) url.Values {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound || !strings.HasPrefix(to.String(), back) {
		t.Fatalf("the page answers %s, and leads to %q (%v)", resp.Status, to, err)
	}
	return to.Query()
}

func (s *stage) trade(code string) (connector.Granted, error) {
	return s.conn.Consent.Trade(s.t.Context(), connector.ConsentAnswer{Code: connector.Secret(code), Redirect: back})
}

func TestConsentIsTradedOnce(t *testing.T) {
	s := newStage(t, nil)
	s.conn = s.reopen(map[string]string{"authorize_url": s.url + "/oauth/authorize"})
	q := agree(t, s.conn.Consent.URL(back, "s&1"))
	if q.Get("state") != "s&1" {
		t.Fatalf("state came back as %q", q.Get("state"))
	}
	g, err := s.trade(q.Get("code"))
	if err != nil || g.Account != s.portal.Account || g.Grant.Access == "" || g.Grant.Refresh == "" || !g.Grant.Expires.After(s.clock.Now()) {
		t.Fatalf("%+v, %v", g, err)
	}
	if strings.Join(g.Scopes, " ") != strings.Join(scopesNeeded(), " ") {
		t.Errorf("scopes %v", g.Scopes)
	}
	if _, err := s.trade(q.Get("code")); fault.KindOf(err) != fault.Rejected || !strings.Contains(err.Error(), "begin the consent again") {
		t.Errorf("a code was good twice: %v", err)
	}
	s.tokens.now = g.Grant.Access.Reveal()
	for _, c := range s.conn.Check(t.Context()) {
		if !c.OK && c.Name != "properties" {
			t.Errorf("%+v", c)
		}
	}
	if again, err := s.conn.RefreshToken(t.Context(), g.Grant.Refresh.Reveal()); err != nil || again.Access == g.Grant.Access {
		t.Errorf("the refresh token is not good: %v", err)
	}
}

// A consent for another portal is refused and given back.
func TestConsentOfAnotherPortalIsGivenBack(t *testing.T) {
	s := newStage(t, nil)
	s.control("accounts", map[string]any{"id": "5151"})
	s.conn = s.reopen(map[string]string{"authorize_url": s.url + "/oauth/5151/authorize"})
	_, err := s.trade(agree(t, s.conn.Consent.URL(back, "s")).Get("code"))
	f := fault.As(err)
	if f == nil || f.Kind != fault.Rejected || f.Field != connector.FieldAccount || !strings.Contains(f.Text, "5151") || !strings.Contains(f.Text, "48213") {
		t.Fatalf("%v", err)
	}
	n := 0
	for _, r := range s.requestsOf("5151") {
		if strings.HasPrefix(r, "DELETE /oauth/v1/refresh-tokens/") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the grant was given back %d times", n)
	}
}

func TestChecksNameWhatIsMissing(t *testing.T) {
	s := newStage(t, nil)
	find := func(name string) connector.Check {
		t.Helper()
		for _, c := range s.conn.Check(t.Context()) {
			if c.Name == name {
				return c
			}
		}
		t.Fatalf("nothing is said of %s", name)
		return connector.Check{}
	}
	if c := find("properties"); c.OK || !strings.Contains(c.Detail, propertyNumber) || !strings.Contains(c.Next, "prepare") {
		t.Errorf("%+v", c)
	}
	want, err := s.conn.Missing(t.Context())
	if err != nil || len(want) != 3 {
		t.Fatalf("%v, %v", want, err)
	}
	if err := s.conn.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := find("properties"); !c.OK {
		t.Errorf("%+v", c)
	}
	if want, err := s.conn.Missing(t.Context()); err != nil || len(want) != 0 {
		t.Errorf("%v, %v", want, err)
	}
	if c := find("scopes"); !c.OK || !strings.Contains(c.Detail, "private app") {
		t.Errorf("%+v", c)
	}
	s.conn = s.reopen(map[string]string{"authorize_url": s.url + "/oauth/authorize", "scopes": "oauth crm.objects.deals.read"})
	g, err := s.trade(agree(t, s.conn.Consent.URL(back, "s")).Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	s.conn, s.tokens.now = s.reopen(nil), g.Grant.Access.Reveal()
	if c := find("scopes"); c.OK || !strings.Contains(c.Detail, "crm.schemas.deals.write") || strings.Contains(c.Detail, "crm.objects.deals.read ") {
		t.Errorf("%+v", c)
	}
	s.control("faults", map[string]any{"effect": "status", "status": 403, "match": map[string]any{"path": "/crm/v3/objects/products"}})
	if c := find("products"); c.OK || !strings.Contains(c.Next, "crm.objects.products.read") {
		t.Errorf("%+v", c)
	}
	s.control("faults", map[string]any{"effect": "status", "status": 401, "match": map[string]any{"path": "/account-info/v3/details"}})
	if all := s.conn.Check(t.Context()); len(all) != 1 || all[0].OK || !strings.Contains(all[0].Next, "authorize") {
		t.Errorf("%+v", all)
	}
}

func TestAddressesAndPortalOfAConsent(t *testing.T) {
	s := newStage(t, nil)
	if u := s.conn.Consent.URL(back, "x"); !strings.HasPrefix(u, "https://app.hubspot.com/oauth/"+s.portal.Account[len("hubspot/"):]+"/authorize?") {
		t.Errorf("%s", u)
	}
	cfg := connector.Config{Account: "hubspot/1", Tokens: s.tokens, Settings: map[string]string{"authorize_url": "http://example.com/authorize"}}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "authorize_url") {
		t.Errorf("a consent page in the clear was taken: %v", err)
	}
}

// An error never shows the token that stood in the address.
func TestErrorsHideTheTokenInAnAddress(t *testing.T) {
	c, err := newClient(connector.Config{BaseURL: "http://127.0.0.1:1", Tokens: &tokens{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.tokenInfo(t.Context(), "very-secret"); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("%v", err)
	}
}
