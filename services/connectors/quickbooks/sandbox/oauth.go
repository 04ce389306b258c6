package sandbox

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// params reads a request's parameters, sent as a form or as JSON.
func params(r *engine.Request) url.Values {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		var m map[string]string
		if json.Unmarshal(r.Body, &m) != nil {
			return nil
		}
		out := url.Values{}
		for k, v := range m {
			out.Set(k, v)
		}
		return out
	}
	out, _ := url.ParseQuery(string(r.Body))
	return out
}

// oauthError is the token endpoint's refusal.
func (c *company) oauthError(r *engine.Request, status int, code, description string) engine.Response {
	body := fields{"error": code}
	if description != "" {
		body["error_description"] = description
	}
	resp := engine.JSON(status, body)
	c.mark(r, &resp)
	return resp
}

// authorize is the consent page, with a person who answers at once.
func (c *company) authorize(tx *engine.Tx, r *engine.Request) engine.Response {
	app := loadGrant[client](tx, clientFact(engine.AppMain))
	to, err := url.Parse(r.Query.Get("redirect_uri"))
	switch {
	case r.Query.Get("client_id") != app.ID:
		return c.oauthError(r, http.StatusBadRequest, "invalid_client", "")
	case err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return c.oauthError(r, http.StatusBadRequest, "invalid_request", "redirect_uri is not valid")
	case r.Query.Get("response_type") != "code":
		return c.oauthError(r, http.StatusBadRequest, "unsupported_response_type", "")
	case !strings.Contains(r.Query.Get("scope"), scope):
		return c.oauthError(r, http.StatusBadRequest, "invalid_scope", "")
	}
	redirect, q := to.String(), to.Query()
	if c.settings.Consent == consentDeny {
		q.Set("error", "access_denied")
		q.Set("error_description", "The user did not authorize the request")
	} else {
		code := "XAB" + secret(16)
		saveGrant(tx, codeFact(code), grant{App: engine.AppMain, Expires: tx.Now().Add(codeLife), Redirect: redirect})
		q.Set("code", code)
		q.Set("realmId", c.realm)
	}
	q.Set("state", r.Query.Get("state"))
	to.RawQuery = q.Encode()
	resp := engine.Response{Status: http.StatusFound, Header: http.Header{}}
	c.mark(r, &resp)
	resp.Header.Set("Location", to.String())
	return resp
}

// token exchanges a code or a refresh token.
func (c *company) token(tx *engine.Tx, r *engine.Request) engine.Response {
	app := basic(tx, r)
	if r.Method != http.MethodPost || app == "" {
		return c.oauthError(r, http.StatusUnauthorized, "invalid_client", "")
	}
	f := params(r)
	switch f.Get("grant_type") {
	case "authorization_code":
		g := loadGrant[grant](tx, codeFact(f.Get("code")))
		if g.App != app || !r.Now.Before(g.Expires) || g.Redirect != f.Get("redirect_uri") {
			return c.oauthError(r, http.StatusBadRequest, "invalid_grant", "Invalid authorization code")
		}
		tx.SetFact(codeFact(f.Get("code")), "")
		agreed := loadGrant[client](tx, clientFact(app))
		agreed.Epoch, agreed.Revoked = agreed.Epoch+1, false
		saveGrant(tx, clientFact(app), agreed)
		return c.tokens(tx, r, issue(tx, app, tx.Now(), accessLife), tx.Now())
	case "refresh_token":
		return c.refresh(tx, r, app, f.Get("refresh_token"))
	}
	return c.oauthError(r, http.StatusBadRequest, "unsupported_grant_type", "")
}

// refresh gives new tokens; the old refresh token stays good for the grace.
func (c *company) refresh(tx *engine.Tx, r *engine.Request, app, old string) engine.Response {
	g := loadGrant[grant](tx, refreshFact(old))
	now := loadGrant[client](tx, clientFact(app))
	if g.App != app || g.Epoch != now.Epoch || now.Revoked || !r.Now.Before(g.Expires) {
		return c.oauthError(r, http.StatusBadRequest, "invalid_grant", "Incorrect or invalid refresh token")
	}
	if end := r.Now.Add(time.Duration(c.settings.RefreshGrace)); end.Before(g.Expires) {
		ended := g
		ended.Expires = end
		saveGrant(tx, refreshFact(old), ended)
	}
	return c.tokens(tx, r, issue(tx, app, g.Consent, accessLife), g.Consent)
}

func (c *company) tokens(tx *engine.Tx, r *engine.Request, now client, consent time.Time) engine.Response {
	g := loadGrant[grant](tx, refreshFact(now.Refresh))
	body := fields{"token_type": "bearer", "access_token": now.Access, "refresh_token": now.Refresh,
		"expires_in": int(accessLife / time.Second), "x_refresh_token_expires_in": int(g.Expires.Sub(r.Now) / time.Second)}
	if strings.EqualFold(r.Header.Get("x-include-refresh-token-hard-expires-in"), "true") {
		body["x_refresh_token_hard_expires_in"] = int(consent.Add(consentLife).Sub(r.Now) / time.Second)
	}
	resp := engine.JSON(http.StatusOK, body)
	c.mark(r, &resp)
	return resp
}

// revoke ends the consent either token belongs to.
func (c *company) revoke(tx *engine.Tx, r *engine.Request) engine.Response {
	app := basic(tx, r)
	if app == "" {
		return c.oauthError(r, http.StatusUnauthorized, "invalid_client", "")
	}
	token := params(r).Get("token")
	g := loadGrant[grant](tx, refreshFact(token))
	if g.App == "" {
		g = loadGrant[grant](tx, accessFact(token))
	}
	if g.App != app {
		return c.oauthError(r, http.StatusBadRequest, "invalid_request", "")
	}
	disconnect(tx, app)
	resp := engine.Response{Status: http.StatusOK, Header: http.Header{}}
	c.mark(r, &resp)
	return resp
}

// disconnect makes every token of the app worthless until a new consent.
func disconnect(tx *engine.Tx, app string) {
	now := loadGrant[client](tx, clientFact(app))
	now.Revoked = true
	saveGrant(tx, clientFact(app), now)
}
