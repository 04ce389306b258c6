package sandbox

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// How long the vendor's tokens live.
const (
	accessLife  = time.Hour
	refreshLife = 101 * 24 * time.Hour // rolling
	consentLife = 5 * 365 * 24 * time.Hour
	codeLife    = 10 * time.Minute
	forEver     = 100 * 365 * 24 * time.Hour
)

// scope is the only one the sandbox has.
const scope = "com.intuit.quickbooks.accounting"

const (
	verifierFact = "grant/verifier"
	presetFact   = "preset"
)

func clientFact(app string) string    { return "grant/client/" + app }
func accessFact(token string) string  { return "grant/access/" + token }
func refreshFact(token string) string { return "grant/refresh/" + token }
func codeFact(code string) string     { return "grant/code/" + code }

// client is an app: its keys and the latest tokens it was given.
type client struct {
	ID      string `json:"id"`
	Secret  string `json:"secret"`
	Access  string `json:"access"`
	Refresh string `json:"refresh"`
	Epoch   int    `json:"epoch"`  // of the consent in force
	Series  int    `json:"series"` // of the access tokens that have not been expired by hand
	Revoked bool   `json:"revoked"`
}

// grant is one token or code.
type grant struct {
	App      string    `json:"app"`
	Expires  time.Time `json:"expires"`
	Consent  time.Time `json:"consent"` // when the person agreed
	Epoch    int       `json:"epoch"`
	Series   int       `json:"series"`
	Redirect string    `json:"redirect,omitempty"`
}

// secret is n random bytes as text.
func secret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// found makes the apps and their first tokens, once. What is shared is another
// company's: one app stands before all companies of an address.
func found(tx *engine.Tx, shared map[string]string) {
	if tx.Fact(verifierFact) != "" {
		return
	}
	tx.SetFact(verifierFact, cmp.Or(shared[verifierFact], secret(16)))
	for _, app := range []string{engine.AppMain, engine.AppReader} {
		id, password, ok := strings.Cut(shared[clientFact(app)], ":")
		if !ok {
			id, password = "AB"+secret(12), secret(16)
		}
		saveGrant(tx, clientFact(app), client{ID: id, Secret: password, Epoch: 1})
		life := accessLife
		if app == engine.AppReader {
			life = forEver
		}
		issue(tx, app, tx.Now(), life)
	}
}

// Share is the app itself; tokens are each company's own.
func (c *company) Share(tx *engine.Tx) map[string]string {
	out := map[string]string{verifierFact: tx.Fact(verifierFact)}
	for _, app := range []string{engine.AppMain, engine.AppReader} {
		x := loadGrant[client](tx, clientFact(app))
		out[clientFact(app)] = x.ID + ":" + x.Secret
	}
	return out
}

// Credentials are named as the file of endpoints names them.
func (c *company) Credentials(tx *engine.Tx) map[string]string {
	app, reader := loadGrant[client](tx, clientFact(engine.AppMain)), loadGrant[client](tx, clientFact(engine.AppReader))
	return map[string]string{"realm_id": c.realm, "client_id": app.ID, "client_secret": app.Secret, "access_token": app.Access,
		"refresh_token": app.Refresh, "reader_token": reader.Access, "verifier_token": tx.Fact(verifierFact)}
}

// Claims tells whose a request is by the company in its path, or by its token
// or code. The consent page has no company in it: one that is not the first is
// picked there with realmId, as a person picks it from a list.
func (c *company) Claims(tx *engine.Tx, r *engine.Request) bool {
	f := params(r)
	switch {
	case strings.HasPrefix(r.Path, apiPath):
		realm, _, _ := strings.Cut(strings.TrimPrefix(r.Path, apiPath), "/")
		return realm == c.realm
	case r.Path == authorizePath:
		return r.Query.Get("realmId") == c.realm
	case r.Path == tokenPath:
		return tx.Fact(codeFact(f.Get("code"))) != "" || tx.Fact(refreshFact(f.Get("refresh_token"))) != ""
	}
	return tx.Fact(refreshFact(f.Get("token"))) != "" || tx.Fact(accessFact(f.Get("token"))) != ""
}

// issue makes an access and a refresh token for an app.
func issue(tx *engine.Tx, app string, consent time.Time, life time.Duration) client {
	c := loadGrant[client](tx, clientFact(app))
	c.Access, c.Refresh = "eyJ"+secret(24), "RT1-"+secret(16)
	g := grant{App: app, Consent: consent, Epoch: c.Epoch, Series: c.Series, Expires: tx.Now().Add(life)}
	saveGrant(tx, accessFact(c.Access), g)
	g.Expires = earlier(tx.Now().Add(refreshLife), consent.Add(consentLife))
	saveGrant(tx, refreshFact(c.Refresh), g)
	saveGrant(tx, clientFact(app), c)
	return c
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// bearer is the access token of a request.
func bearer(r *engine.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// basic is the app whose keys a request carries, "" if they are not right.
func basic(tx *engine.Tx, r *engine.Request) string {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if !strings.EqualFold(scheme, "Basic") || err != nil {
		return ""
	}
	id, password, _ := strings.Cut(string(raw), ":")
	for _, app := range []string{engine.AppMain, engine.AppReader} {
		if c := loadGrant[client](tx, clientFact(app)); c.ID == id && c.Secret == password {
			return app
		}
	}
	return ""
}

// Identify names the app by its token, also by an expired one, or by its keys.
func (c *company) Identify(tx *engine.Tx, r *engine.Request) {
	r.Key = r.Query.Get("requestid")
	if token := bearer(r); token != "" {
		r.App = loadGrant[grant](tx, accessFact(token)).App
		return
	}
	r.App = basic(tx, r)
	if r.Path == authorizePath && r.Query.Get("client_id") == loadGrant[client](tx, clientFact(engine.AppMain)).ID {
		r.App = engine.AppMain
	}
}

// admitted says why a request may not enter, "" if it may.
func admitted(tx *engine.Tx, r *engine.Request) string {
	token := bearer(r)
	g := loadGrant[grant](tx, accessFact(token))
	app := loadGrant[client](tx, clientFact(g.App))
	switch {
	case token == "":
		return "Malformed bearer token: no token"
	case g.App == "":
		return "Malformed bearer token: unknown token"
	case app.Revoked || g.Epoch != app.Epoch:
		return "Token revoked"
	case !r.Now.Before(g.Expires) || g.Series != app.Series:
		return "Token expired"
	}
	return ""
}
