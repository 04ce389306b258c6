// Package sandbox is a HubSpot portal for tests and for trying things out: the
// CRM API on its ordinary paths, with HubSpot's errors, limits and webhooks.
// What a new portal has is all it starts with.
//
// Settings of its own under POST /_sandbox/settings: webhook_form ("typed" or
// "generic") and consent (what the person at the consent page does, "agree" or
// "deny"). Limits: for each app ten_secondly_rolling 100 and secondly 5 (of
// searches), for the account daily 250000. A revoked consent makes every token
// of the app worthless until a person agrees again at /oauth/authorize.
package sandbox

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

// Config is what a portal is made of.
type Config struct {
	Dir           string // "" keeps the portal in memory only
	Portal        int64  // 0: PortalID
	Seed          int64  // of every random choice
	WebhookTarget string
	Clock         engine.Clock      // nil: the wall clock
	HTTP          http.RoundTripper // carries webhooks; nil: the ordinary way
	Log           *slog.Logger      // nil: silent
}

// Portal is one HubSpot account, and those that were opened beside it. Its
// secrets are the same again for the same Dir.
type Portal struct {
	Account      string // hubspot/48213
	AccessToken  string // of the app under test
	ReaderToken  string // of a second app, for a person's own scripts
	AppSecret    string // signs webhooks; the OAuth client secret, too
	ClientID     string
	RefreshToken string

	accounts *engine.Accounts
}

// New opens the portal in cfg.Dir, or makes a fresh one there. Close ends it.
func New(cfg Config) (*Portal, error) {
	if cfg.Portal == 0 {
		cfg.Portal = PortalID
	}
	id := strconv.FormatInt(cfg.Portal, 10)
	accounts, err := engine.NewAccounts(id, presetEU, validPortal, cfg.opening)
	if err != nil {
		return nil, fmt.Errorf("hubspot sandbox: %w", err)
	}
	p := &Portal{Account: "hubspot/" + id, accounts: accounts}
	accounts.Account("").View(func(tx *engine.Tx) {
		p.AccessToken, p.ReaderToken = tx.Fact(factMainToken), tx.Fact(factReader)
		p.AppSecret, p.ClientID, p.RefreshToken = tx.Fact(factSecret), tx.Fact(factClientID), tx.Fact(factRefresh)
	})
	return p, nil
}

// opening is how one portal is opened.
func (cfg Config) opening(id, preset string, first map[string]string) (engine.Config, engine.Vendor, error) {
	portal, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return engine.Config{}, nil, err
	}
	v, err := newVendor(portal, first)
	if preset == "" {
		preset = presetEU
	}
	return engine.Config{
		Dir: cfg.Dir, Name: "hubspot", Preset: preset, Seed: cfg.Seed,
		WebhookTarget: cfg.WebhookTarget, Clock: cfg.Clock, HTTP: cfg.HTTP, Log: cfg.Log,
	}, v, err
}

func validPortal(id string) error {
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
		return fmt.Errorf("a portal's id is a number such as %d, not %q", PortalID, id)
	}
	return nil
}

// ServeHTTP answers HubSpot's paths, and /_sandbox/ to this machine only.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.accounts.ServeHTTP(w, r) }

// Close stops webhooks and closes the files.
func (p *Portal) Close() error { return p.accounts.Close() }
