package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// tokenLife is how long an OAuth access token is good for.
const tokenLife = 30 * time.Minute

// The facts of the portal's two apps. They survive a reset.
const (
	factClientID  = "grant/client_id"
	factSecret    = "grant/app_secret"
	factRefresh   = "grant/refresh_token"
	factMainToken = "grant/token/app"
	factReader    = "grant/token/reader"
	factIssued    = "grant/issued/" // + token -> when it ends
	factNewest    = "grant/newest"
)

// grant makes the secrets of a fresh portal, once.
func grant(tx *engine.Tx) error {
	for key, prefix := range map[string]string{
		factClientID: "", factSecret: "", factRefresh: "eu1-", factMainToken: "pat-eu1-", factReader: "pat-eu1-",
	} {
		if tx.Fact(key) != "" {
			continue
		}
		var b [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("make secret: %w", err)
		}
		s := hex.EncodeToString(b[:])
		tx.SetFact(key, prefix+s[:8]+"-"+s[8:12]+"-"+s[12:16]+"-"+s[16:20]+"-"+s[20:])
	}
	return nil
}

// Identify reads the bearer token.
func (v *vendor) Identify(tx *engine.Tx, r *engine.Request) {
	token := bearer(r)
	switch {
	case token == "":
	case same(token, tx.Fact(factReader)):
		r.App = engine.AppReader
	case same(token, tx.Fact(factMainToken)), issued(tx, token).After(tx.Now()):
		r.App = engine.AppMain
	}
}

func bearer(r *engine.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

func same(a, b string) bool { return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// issued is when an OAuth token ends, zero for one we never gave.
func issued(tx *engine.Tx, token string) time.Time {
	t, _ := time.Parse(timeFormat, tx.Fact(factIssued+token))
	return t
}

func unauthorized(tx *engine.Tx, r *engine.Request) engine.Response {
	if end := issued(tx, bearer(r)); !end.IsZero() {
		return expired(r, end)
	}
	text := "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
	return (&problem{status: http.StatusUnauthorized, category: "INVALID_AUTHENTICATION", message: text}).response(r)
}

func expired(r *engine.Request, end time.Time) engine.Response {
	p := &problem{status: http.StatusUnauthorized, category: "EXPIRED_AUTHENTICATION"}
	p.message = fmt.Sprintf("The OAuth token used to make this call expired %d second(s) ago.", int(r.Now.Sub(end)/time.Second))
	p.context = map[string][]string{"expire time": {stamp(end)}}
	return p.response(r)
}

// token is the OAuth token endpoint. The refresh token does not rotate.
func (v *vendor) token(c *call) engine.Response {
	form, err := url.ParseQuery(string(c.r.Body))
	switch {
	case err != nil:
		return oauthError(c.r, "BAD_REQUEST", "invalid form body")
	case !same(form.Get("client_id"), c.tx.Fact(factClientID)) || !same(form.Get("client_secret"), c.tx.Fact(factSecret)):
		return oauthError(c.r, "BAD_CLIENT_SECRET", "missing or invalid client secret")
	case form.Get("grant_type") != "refresh_token":
		return oauthError(c.r, "BAD_GRANT_TYPE", "missing or unknown grant type")
	case !same(form.Get("refresh_token"), c.tx.Fact(factRefresh)):
		return oauthError(c.r, "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
	}
	token := issue(c.tx, c.r)
	return engine.JSON(http.StatusOK, map[string]any{
		"token_type": "bearer", "refresh_token": c.tx.Fact(factRefresh), "access_token": token, "expires_in": int(tokenLife / time.Second),
	})
}

// issue makes an access token; the same request makes the same one, so that a
// run can be repeated, and nobody else can guess it.
func issue(tx *engine.Tx, r *engine.Request) string {
	token := "eu1-" + hmacHex(tx.Fact(factSecret), "access/"+correlation(r.N)+stamp(tx.Now()))
	tx.SetFact(factIssued+token, stamp(tx.Now().Add(tokenLife)))
	tx.SetFact(factNewest, token)
	return token
}

func oauthError(r *engine.Request, status, message string) engine.Response {
	return engine.JSON(http.StatusBadRequest, map[string]any{"status": status, "message": message, "correlationId": correlation(r.N)})
}

func (v *vendor) tokenInfo(c *call) engine.Response {
	token := c.vars["token"]
	end := issued(c.tx, token)
	if !end.After(c.tx.Now()) {
		return notFound().response(c.r)
	}
	return engine.JSON(http.StatusOK, map[string]any{
		"token": token, "hub_id": PortalID, "app_id": appID, "token_type": "access",
		"expires_in": int(end.Sub(c.tx.Now()) / time.Second), "scopes": []string{"oauth"},
	})
}

// Effects are the faults only HubSpot knows.
func (v *vendor) Effects() []string {
	return []string{engine.EffectPartialBatch, engine.EffectExpireToken, engine.EffectRevokeConsent}
}

// Spoils says where an effect means something.
func (v *vendor) Spoils(effect string, r *engine.Request) bool {
	switch effect {
	case engine.EffectPartialBatch:
		return strings.Contains(r.Path, "/batch/") && !strings.HasSuffix(r.Path, "/archive")
	case engine.EffectExpireToken, engine.EffectRevokeConsent:
		return r.App != "" || r.Path == "/oauth/v1/token"
	}
	return false
}

// Spoil answers expired and revoked grants; partial_batch is for Serve.
func (v *vendor) Spoil(tx *engine.Tx, effect string, r *engine.Request) (engine.Response, bool) {
	switch effect {
	case engine.EffectExpireToken:
		if end := issued(tx, bearer(r)); !end.IsZero() {
			tx.SetFact(factIssued+bearer(r), stamp(tx.Now().Add(-time.Second)))
		}
		return expired(r, tx.Now().Add(-time.Second)), true
	case engine.EffectRevokeConsent:
		if r.App == "" {
			return oauthError(r, "BAD_REFRESH_TOKEN", "missing or invalid refresh token"), true
		}
		return (&problem{status: http.StatusUnauthorized, category: "INVALID_AUTHENTICATION", message: "Authentication credentials not found."}).response(r), true
	}
	return engine.Response{}, false
}
