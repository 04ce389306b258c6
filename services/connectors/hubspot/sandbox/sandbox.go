// Package sandbox is a HubSpot portal for tests and for trying things out: the
// CRM API on its ordinary paths, with HubSpot's errors, limits and webhooks.
// What a new portal has is all it starts with.
package sandbox

import (
	"log/slog"
	"net/http"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

// Config is what a portal is made of.
type Config struct {
	Dir           string // "" keeps the portal in memory only
	Seed          int64  // of every random choice
	WebhookTarget string
	Clock         engine.Clock // nil: the wall clock
	Log           *slog.Logger // nil: silent
}

// Portal is one HubSpot account. Its secrets are the same again for the same Dir.
type Portal struct {
	Account      string // hubspot/48213
	AccessToken  string // of the app under test
	ReaderToken  string // of a second app, for a person's own scripts
	AppSecret    string // signs webhooks; the OAuth client secret, too
	ClientID     string
	RefreshToken string

	engine *engine.Sandbox
}

// New opens the portal in cfg.Dir, or makes a fresh one there. Close ends it.
func New(cfg Config) (*Portal, error) {
	v, err := newVendor()
	if err != nil {
		return nil, err
	}
	s, err := engine.New(engine.Config{
		Dir: cfg.Dir, Name: "hubspot", Preset: "EU", Seed: cfg.Seed,
		WebhookTarget: cfg.WebhookTarget, Clock: cfg.Clock, Log: cfg.Log,
	}, v)
	if err != nil {
		return nil, err
	}
	p := &Portal{Account: "hubspot/" + strconv.Itoa(PortalID), engine: s}
	s.View(func(tx *engine.Tx) {
		p.AccessToken, p.ReaderToken = tx.Fact(factMainToken), tx.Fact(factReader)
		p.AppSecret, p.ClientID, p.RefreshToken = tx.Fact(factSecret), tx.Fact(factClientID), tx.Fact(factRefresh)
	})
	v.hooks.secret.Store(&p.AppSecret)
	return p, nil
}

// ServeHTTP answers HubSpot's paths, and /_sandbox/ to this machine only.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.engine.ServeHTTP(w, r) }

// Close stops webhooks and closes the files.
func (p *Portal) Close() error { return p.engine.Close() }
