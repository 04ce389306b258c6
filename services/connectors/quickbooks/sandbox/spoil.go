package sandbox

import (
	"net/http"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// Effects are what can go wrong at this vendor besides what goes wrong anywhere.
func (c *company) Effects() []string {
	return []string{engine.EffectFaultIn200, engine.EffectPartialBatch, engine.EffectExpireToken, engine.EffectRevokeConsent}
}

// Spoils says where an effect means something.
func (c *company) Spoils(effect string, r *engine.Request) bool {
	api := strings.HasPrefix(r.Path, apiPath)
	switch effect {
	case engine.EffectPartialBatch:
		return api && strings.HasSuffix(r.Path, "/batch")
	case engine.EffectFaultIn200, engine.EffectExpireToken:
		return api
	}
	return r.App != ""
}

// Spoil prepares the effect, or is the whole answer.
func (c *company) Spoil(tx *engine.Tx, effect string, r *engine.Request) (engine.Response, bool) {
	switch effect {
	case engine.EffectFaultIn200:
		return c.reply(r, http.StatusOK, fields{"Fault": applicationError().body()}), true
	case engine.EffectExpireToken:
		app := loadGrant[client](tx, clientFact(r.App))
		app.Series++
		saveGrant(tx, clientFact(r.App), app)
	case engine.EffectRevokeConsent:
		disconnect(tx, r.App)
	}
	return engine.Response{}, false
}
