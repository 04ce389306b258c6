package sandbox

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"

	engine "tieout.dev/services/internal/sandbox"
)

// defaultPreset is the company that is founded where none is named.
const defaultPreset = "IE"

var realmID = regexp.MustCompile(`^[1-9][0-9]{0,19}$`)

// DefaultRealm is the company's id unless Config names one.
const DefaultRealm = "4620816365"

// Config is what a company is made of.
type Config struct {
	Dir           string // "" keeps the books in memory only
	Realm         string // "": DefaultRealm
	Preset        string // "US" or "IE"; "": IE
	Seed          int64  // of every random choice
	WebhookTarget string // "": none until the settings name one
	Clock         engine.Clock
	HTTP          http.RoundTripper // carries webhooks; nil: the ordinary way
	Log           *slog.Logger
}

// Credentials are what a client of the company needs. They are made once per
// Dir; the tokens are the latest the sandbox gave to the connection's app.
type Credentials struct {
	RealmID       string
	ClientID      string
	ClientSecret  string
	AccessToken   string
	RefreshToken  string
	ReaderToken   string // of the second app; does not expire
	VerifierToken string // signs webhooks
}

// Sandbox is a QuickBooks Online company as an http.Handler, and those that
// were opened beside it, with the vendor's OAuth endpoints and the control
// calls under /_sandbox/.
type Sandbox struct {
	accounts *engine.Accounts
	realm    string
}

// New opens the company in cfg.Dir or founds it.
func New(cfg Config) (*Sandbox, error) {
	if cfg.Realm == "" {
		cfg.Realm = DefaultRealm
	}
	accounts, err := engine.NewAccounts(cfg.Realm, cfg.Preset, validRealm, cfg.opening)
	if err != nil {
		return nil, fmt.Errorf("quickbooks sandbox: %w", err)
	}
	return &Sandbox{accounts: accounts, realm: cfg.Realm}, nil
}

// opening is how one company is opened.
func (cfg Config) opening(realm, preset string, first map[string]string) (engine.Config, engine.Vendor, error) {
	if preset == "" {
		preset = defaultPreset
	}
	c, err := newCompany(realm, first)
	return engine.Config{Dir: cfg.Dir, Name: "quickbooks", Preset: preset, Seed: cfg.Seed,
		WebhookTarget: cfg.WebhookTarget, Clock: cfg.Clock, HTTP: cfg.HTTP, Log: cfg.Log}, c, err
}

func validRealm(id string) error {
	if !realmID.MatchString(id) {
		return fmt.Errorf("a company's id is a number of up to 20 digits such as %s, not %q", DefaultRealm, id)
	}
	return nil
}

// ServeHTTP answers the vendor's paths and the control calls.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.accounts.ServeHTTP(w, r) }

// Close stops webhooks and closes the files.
func (s *Sandbox) Close() error { return s.accounts.Close() }

// Credentials are those of the first company in force now.
func (s *Sandbox) Credentials() Credentials {
	out := Credentials{RealmID: s.realm}
	s.accounts.Account("").View(func(tx *engine.Tx) {
		app := loadGrant[client](tx, clientFact(engine.AppMain))
		reader := loadGrant[client](tx, clientFact(engine.AppReader))
		out.ClientID, out.ClientSecret = app.ID, app.Secret
		out.AccessToken, out.RefreshToken, out.ReaderToken = app.Access, app.Refresh, reader.Access
		out.VerifierToken = tx.Fact(verifierFact)
	})
	return out
}

// loadGrant reads a fact that holds JSON; the zero value if there is none.
func loadGrant[T any](tx *engine.Tx, key string) T {
	var v T
	if raw := tx.Fact(key); raw != "" {
		_ = json.Unmarshal([]byte(raw), &v) // the sandbox wrote it
	}
	return v
}

func saveGrant(tx *engine.Tx, key string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and times
	}
	tx.SetFact(key, string(raw))
}
