package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	factIssued    = "grant/issued/"  // + access token -> when it ends
	factGiven     = "grant/refresh/" // + refresh token -> the consent it came from
	factOf        = "grant/of/"      // + access token -> the consent it came from
	factCode      = "grant/code/"    // + code -> when it ends, and for which address
	factScopes    = "grant/scopes/"  // + consent -> what it covers, by spaces
	factRevoked   = "grant/revoked/" // + app, while it has no consent
	factConsent   = "grant/consent"  // counts the consents
)

// grant makes the secrets of a fresh portal, once. What is shared is another
// portal's: one app stands before all portals of an address.
func grant(tx *engine.Tx, shared map[string]string) error {
	for key, prefix := range map[string]string{
		factClientID: "", factSecret: "", factRefresh: "eu1-", factMainToken: "pat-eu1-", factReader: "pat-eu1-",
	} {
		if tx.Fact(key) != "" {
			continue
		}
		if v := shared[key]; v != "" {
			tx.SetFact(key, v)
			continue
		}
		var b [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("make secret: %w", err)
		}
		s := hex.EncodeToString(b[:])
		tx.SetFact(key, prefix+s[:8]+"-"+s[8:12]+"-"+s[12:16]+"-"+s[16:20]+"-"+s[20:])
	}
	if tx.Fact(factConsent) == "" {
		tx.SetFact(factConsent, "1")
		tx.SetFact(factGiven+tx.Fact(factRefresh), "1")
	}
	return nil
}

// Share is the app itself; tokens are each portal's own.
func (v *vendor) Share(tx *engine.Tx) map[string]string {
	return map[string]string{factClientID: tx.Fact(factClientID), factSecret: tx.Fact(factSecret)}
}

// Credentials are named as the file of endpoints names them.
func (v *vendor) Credentials(tx *engine.Tx) map[string]string {
	return map[string]string{
		"access_token": tx.Fact(factMainToken), "reader_token": tx.Fact(factReader), "app_secret": tx.Fact(factSecret),
		"client_id": tx.Fact(factClientID), "refresh_token": tx.Fact(factRefresh),
	}
}

// Identify names the app by its token, also by an expired one, or by its keys.
func (v *vendor) Identify(tx *engine.Tx, r *engine.Request) {
	token := bearer(r)
	switch {
	case same(token, tx.Fact(factReader)):
		r.App = engine.AppReader
	case same(token, tx.Fact(factMainToken)), token != "" && !issued(tx, token).IsZero():
		r.App = engine.AppMain
	case r.Path == tokenPath && same(form(r).Get("client_id"), tx.Fact(factClientID)):
		r.App = engine.AppMain
	case isAuthorize(r) && same(r.Query.Get("client_id"), tx.Fact(factClientID)):
		r.App = engine.AppMain
	}
}

// Claims tells whose a request is by its token, its code or the portal it names.
func (v *vendor) Claims(tx *engine.Tx, r *engine.Request) bool {
	if token := bearer(r); token != "" {
		return same(token, tx.Fact(factReader)) || same(token, tx.Fact(factMainToken)) || !issued(tx, token).IsZero()
	}
	last := r.Path[strings.LastIndexByte(r.Path, '/')+1:]
	switch {
	case isAuthorize(r):
		return strings.HasPrefix(r.Path, "/oauth/"+v.id()+"/")
	case r.Path == tokenPath:
		f := form(r)
		return tx.Fact(factGiven+f.Get("refresh_token")) != "" || tx.Fact(factCode+f.Get("code")) != ""
	case strings.HasPrefix(r.Path, "/oauth/v1/"):
		return tx.Fact(factIssued+last) != "" || tx.Fact(factGiven+last) != ""
	}
	return false
}

func form(r *engine.Request) url.Values {
	f, _ := url.ParseQuery(string(r.Body)) // what can be read of it
	return f
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

// denied is why a request may not enter, nil if it may.
func denied(tx *engine.Tx, r *engine.Request) *problem {
	token := bearer(r)
	end := issued(tx, token)
	switch {
	case token == "" || r.App == "":
		return unauthenticated()
	case tx.Fact(factRevoked+r.App) != "":
		return unauthenticated()
	case end.IsZero():
		return nil
	case tx.Fact(factOf+token) != tx.Fact(factConsent) && tx.Fact(factOf+token) != "":
		return unauthenticated()
	case !end.After(r.Now):
		return expired(r, end)
	}
	return nil
}

func unauthenticated() *problem {
	return &problem{status: http.StatusUnauthorized, category: "INVALID_AUTHENTICATION",
		message: "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"}
}

func expired(r *engine.Request, end time.Time) *problem {
	p := &problem{status: http.StatusUnauthorized, category: "EXPIRED_AUTHENTICATION"}
	p.message = fmt.Sprintf("The OAuth token used to make this call expired %d second(s) ago.", int(r.Now.Sub(end)/time.Second))
	p.context = map[string][]string{"expire time": {stamp(end)}}
	return p
}

// Effects are the faults only HubSpot knows.
func (v *vendor) Effects() []string {
	return []string{engine.EffectFaultIn200, engine.EffectPartialBatch, engine.EffectExpireToken, engine.EffectRevokeConsent}
}

// Spoils says where an effect means something.
func (v *vendor) Spoils(effect string, r *engine.Request) bool {
	switch effect {
	case engine.EffectPartialBatch:
		return strings.Contains(r.Path, "/batch/") && !strings.HasSuffix(r.Path, "/archive")
	case engine.EffectRevokeConsent:
		return r.App != "" && !isAuthorize(r)
	}
	return slices.Contains(v.Effects(), effect) && r.App != "" && !isOAuth(r)
}

// Spoil expires and revokes, and answers an error as if it were none;
// partial_batch is for Serve.
func (v *vendor) Spoil(tx *engine.Tx, effect string, r *engine.Request) (engine.Response, bool) {
	switch effect {
	case engine.EffectFaultIn200:
		p := &problem{status: http.StatusOK, category: "INTERNAL_ERROR", message: "internal error"}
		return p.response(r), true
	case engine.EffectExpireToken:
		// the token of a private app never ends: it is refused this once
		end := tx.Now().Add(-time.Second)
		if token := bearer(r); !issued(tx, token).IsZero() {
			tx.SetFact(factIssued+token, stamp(end))
		}
		return expired(r, end).response(r), true
	case engine.EffectRevokeConsent:
		tx.SetFact(factRevoked+r.App, stamp(tx.Now()))
	}
	return engine.Response{}, false
}
