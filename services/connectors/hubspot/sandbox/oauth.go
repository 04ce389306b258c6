package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

const (
	tokenPath = "/oauth/v1/token"
	codeLife  = 10 * time.Minute
	// firstScopes are those of the consent that a portal begins with.
	firstScopes = "oauth crm.objects.deals.read crm.objects.deals.write crm.objects.companies.read crm.objects.contacts.read " +
		"crm.objects.line_items.read crm.objects.products.read crm.schemas.deals.read crm.schemas.deals.write"
)

// What the person at the consent page does, by the setting consent.
const (
	consentAgree = "agree"
	consentDeny  = "deny"
)

func isOAuth(r *engine.Request) bool { return strings.HasPrefix(r.Path, "/oauth/") }

func isAuthorize(r *engine.Request) bool {
	return isOAuth(r) && strings.HasSuffix(r.Path, "/authorize")
}

// authorize is the consent page, with a person who answers at once.
func (v *vendor) authorize(c *call) engine.Response {
	q := c.r.Query
	to, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case c.vars["portal"] != "" && c.vars["portal"] != v.id():
		return notFound().response(c.r)
	case !same(q.Get("client_id"), c.tx.Fact(factClientID)):
		return oauthError(c.r, "BAD_CLIENT_ID", "missing or unknown client id")
	case err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return oauthError(c.r, "BAD_REDIRECT_URI", "missing or invalid redirect uri")
	case q.Get("scope") == "":
		return oauthError(c.r, "BAD_SCOPE", "missing scopes")
	}
	back := to.Query()
	if v.consent == consentDeny {
		back.Set("error", "access_denied")
		back.Set("error_description", "The user denied access")
	} else {
		code := "eu1-" + hmacHex(c.tx.Fact(factSecret), "code/"+correlation(c.r.N)+stamp(c.tx.Now()))
		c.tx.SetFact(factCode+code, stamp(c.tx.Now().Add(codeLife))+" "+to.String()+" "+q.Get("scope"))
		back.Set("code", code)
	}
	if state := q.Get("state"); state != "" {
		back.Set("state", state)
	}
	to.RawQuery = back.Encode()
	return engine.Response{Status: http.StatusFound, Header: http.Header{"Location": {to.String()}}}
}

// token exchanges a code or a refresh token, which does not rotate.
func (v *vendor) token(c *call) engine.Response {
	f := form(c.r)
	if !same(f.Get("client_id"), c.tx.Fact(factClientID)) || !same(f.Get("client_secret"), c.tx.Fact(factSecret)) {
		return oauthError(c.r, "BAD_CLIENT_SECRET", "missing or invalid client secret")
	}
	switch f.Get("grant_type") {
	case "refresh_token":
		given := c.tx.Fact(factGiven + f.Get("refresh_token"))
		if given == "" || given != c.tx.Fact(factConsent) || c.tx.Fact(factRevoked+engine.AppMain) != "" {
			return oauthError(c.r, "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
		}
		return v.tokens(c, f.Get("refresh_token"))
	case "authorization_code":
		return v.exchange(c, f)
	}
	return oauthError(c.r, "BAD_GRANT_TYPE", "missing or unknown grant type")
}

// exchange takes a code once. A new consent ends what the one before gave,
// but for the token of the private app, which comes back to life.
func (v *vendor) exchange(c *call, f url.Values) engine.Response {
	end, rest, _ := strings.Cut(c.tx.Fact(factCode+f.Get("code")), " ")
	redirect, scopes, _ := strings.Cut(rest, " ") // an address has no space
	until, err := time.Parse(timeFormat, end)
	if err != nil || !until.After(c.tx.Now()) {
		return oauthError(c.r, "BAD_AUTH_CODE", "missing or unknown auth code")
	}
	if f.Get("redirect_uri") != redirect {
		return oauthError(c.r, "BAD_REDIRECT_URI", "missing or invalid redirect uri")
	}
	n, _ := strconv.Atoi(c.tx.Fact(factConsent))
	consent := strconv.Itoa(n + 1)
	refresh := "eu1-" + hmacHex(c.tx.Fact(factSecret), "refresh/"+consent+correlation(c.r.N)+stamp(c.tx.Now()))
	c.tx.SetFact(factCode+f.Get("code"), "")
	c.tx.SetFact(factRevoked+engine.AppMain, "")
	c.tx.SetFact(factConsent, consent)
	c.tx.SetFact(factGiven+refresh, consent)
	c.tx.SetFact(factRefresh, refresh)
	c.tx.SetFact(factScopes+consent, scopes)
	return v.tokens(c, refresh)
}

// tokens answers with a new access token. The same request makes the same one,
// so that a run can be repeated, and nobody else can guess it.
func (v *vendor) tokens(c *call, refresh string) engine.Response {
	token := "eu1-" + hmacHex(c.tx.Fact(factSecret), "access/"+refresh+correlation(c.r.N)+stamp(c.tx.Now()))
	c.tx.SetFact(factIssued+token, stamp(c.tx.Now().Add(tokenLife)))
	c.tx.SetFact(factOf+token, c.tx.Fact(factConsent))
	return engine.JSON(http.StatusOK, map[string]any{
		"token_type": "bearer", "refresh_token": refresh, "access_token": token, "expires_in": int(tokenLife / time.Second),
		"hub_id": v.portal, "scopes": scopes(c.tx),
	})
}

// scopes are what the consent in force covers. They are told, and not
// enforced: no path is refused for want of one.
func scopes(tx *engine.Tx) []string {
	return strings.Fields(cmp.Or(tx.Fact(factScopes+tx.Fact(factConsent)), firstScopes))
}

func oauthError(r *engine.Request, status, message string) engine.Response {
	return engine.JSON(http.StatusBadRequest, map[string]any{"status": status, "message": message, "correlationId": correlation(r.N)})
}

func (v *vendor) tokenInfo(c *call) engine.Response {
	token := c.vars["token"]
	end := issued(c.tx, token)
	if !end.After(c.tx.Now()) || c.tx.Fact(factOf+token) != c.tx.Fact(factConsent) {
		return notFound().response(c.r)
	}
	return engine.JSON(http.StatusOK, map[string]any{
		"token": token, "hub_id": v.portal, "app_id": appID, "token_type": "access", "user": "owner@example.com", "user_id": 1,
		"hub_domain": "example.com", "expires_in": int(end.Sub(c.tx.Now()) / time.Second), "scopes": scopes(c.tx),
	})
}

func (v *vendor) refreshInfo(c *call) engine.Response {
	token := c.vars["token"]
	if c.tx.Fact(factGiven+token) != c.tx.Fact(factConsent) {
		return notFound().response(c.r)
	}
	return engine.JSON(http.StatusOK, map[string]any{
		"token": token, "hub_id": v.portal, "client_id": c.tx.Fact(factClientID), "token_type": "refresh", "user": "owner@example.com",
		"user_id": 1, "hub_domain": "example.com", "scopes": scopes(c.tx),
	})
}

// dropRefresh makes one refresh token worthless; access tokens live on.
func (v *vendor) dropRefresh(c *call) engine.Response {
	c.tx.SetFact(factGiven+c.vars["token"], "")
	return engine.Response{Status: http.StatusNoContent}
}
