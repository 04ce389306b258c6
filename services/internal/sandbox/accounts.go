package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// accountsMax bounds how many accounts share an address.
const accountsMax = 100

// Opening makes the vendor of one account. First is nil for the first account;
// for others it is what the first one's vendor said in Share, so that one app
// stands before all of them.
type Opening func(id, preset string, first map[string]string) (Config, Vendor, error)

// Sharer is a Vendor whose app other accounts of the same address have too:
// Share gives the facts a further account is founded with.
type Sharer interface {
	Share(tx *Tx) map[string]string
}

// Accounts are several accounts of one vendor behind one address, as the
// vendor has them. A request goes to the account that claims it, else to the
// first one, and a control call to the one that ?account=ID names, else to the
// first one.
type Accounts struct {
	open  Opening
	valid func(id string) error

	mu   sync.RWMutex // guards list; opening holds it
	list []account
}

type account struct {
	id      string
	sandbox *Sandbox
}

// NewAccounts opens the account first and those that its folder has from
// before. Valid says why an id cannot be an account's.
func NewAccounts(first, preset string, valid func(id string) error, open Opening) (*Accounts, error) {
	a := &Accounts{open: open, valid: valid}
	cfg, err := a.add(first, preset)
	if err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		return a, nil
	}
	for _, id := range others(cfg) {
		if _, err := a.add(id, preset); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

// others are the ids of the accounts that were opened beside the first one:
// their files are NAME-ID.jsonl.
func others(cfg Config) []string {
	var ids []string
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil // New has just made it: then there is none
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if id, mine := strings.CutPrefix(id, cfg.Name+"-"); ok && mine {
			ids = append(ids, id)
		}
	}
	return ids
}

// add opens an account; the caller has checked that it is not open.
func (a *Accounts) add(id, preset string) (Config, error) {
	if err := a.valid(id); err != nil {
		return Config{}, err
	}
	var shared map[string]string
	if len(a.list) > 0 {
		first := a.list[0].sandbox
		if v, ok := first.vendor.(Sharer); ok {
			first.View(func(tx *Tx) { shared = v.Share(tx) })
		}
	}
	cfg, v, err := a.open(id, preset, shared)
	if err != nil {
		return cfg, err
	}
	if len(a.list) > 0 {
		cfg.Name += "-" + filepath.Base(id)
	}
	s, err := New(cfg, v)
	if err != nil {
		return cfg, fmt.Errorf("account %s: %w", id, err)
	}
	a.list = append(a.list, account{id, s})
	return cfg, nil
}

// Open opens one more account, or finds it open already.
func (a *Accounts) Open(id, preset string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.list, func(x account) bool { return x.id == id }) {
		return nil
	}
	if len(a.list) >= accountsMax {
		return fmt.Errorf("%d accounts are open, which is the most", accountsMax)
	}
	_, err := a.add(id, preset)
	return err
}

// Account is the open account with the id, the first one for "", or nil.
func (a *Accounts) Account(id string) *Sandbox {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, x := range a.list {
		if id == "" || x.id == id {
			return x.sandbox
		}
	}
	return nil
}

// IDs are the open accounts, the first one first.
func (a *Accounts) IDs() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var ids []string
	for _, x := range a.list {
		ids = append(ids, x.id)
	}
	return ids
}

// Close closes all accounts.
func (a *Accounts) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []error
	for _, x := range a.list {
		all = append(all, x.sandbox.Close())
	}
	return errors.Join(all...)
}

// ServeHTTP answers the vendor's paths for every account, and /_sandbox/ to
// this machine only.
func (a *Accounts) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	if strings.HasPrefix(hr.URL.Path, "/_sandbox/") {
		a.controls(w, hr)
		return
	}
	body, ok := readBody(w, hr)
	if !ok {
		return
	}
	r := requestOf(hr, body)
	a.owner(r).serveVendor(w, hr, r)
}

// owner is the account a request is for.
func (a *Accounts) owner(r *Request) *Sandbox {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, x := range a.list[1:] {
		if x.sandbox.claims(r) {
			return x.sandbox
		}
	}
	return a.list[0].sandbox
}

func (s *Sandbox) claims(r *Request) bool {
	v, ok := s.vendor.(Claimant)
	if !ok {
		return false
	}
	var yes bool
	s.View(func(tx *Tx) { yes = v.Claims(tx, r) })
	return yes
}

func (a *Accounts) controls(w http.ResponseWriter, hr *http.Request) {
	if hr.URL.Path == "/_sandbox/accounts" {
		answerControl(w, hr, a.accounts)
		return
	}
	id := hr.URL.Query().Get("account")
	if s := a.Account(id); s != nil {
		s.control.ServeHTTP(w, hr)
		return
	}
	answerControl(w, hr, func(*http.Request, []byte) (any, error) {
		return nil, refused{http.StatusNotFound, unknown("account", id, a.IDs()).Error()}
	})
}

// opened is an account as the control call shows it.
type opened struct {
	ID          string            `json:"id"`
	Preset      string            `json:"preset"`
	Credentials map[string]string `json:"credentials,omitempty"`
}

// accounts lists them, or opens one more and says how to be let in. Opening
// one that is open changes nothing.
func (a *Accounts) accounts(hr *http.Request, body []byte) (any, error) {
	switch hr.Method {
	case http.MethodGet:
		items := []opened{}
		for _, id := range a.IDs() {
			items = append(items, a.describe(id, false))
		}
		return map[string]any{"items": items}, nil
	case http.MethodPost:
		var ask struct {
			ID     string `json:"id"`
			Preset string `json:"preset"`
		}
		if err := strict(body, &ask); err != nil {
			return nil, bad(`accounts: %v; the body is {"id":ID,"preset":NAME}, preset may be left out`, err)
		}
		if err := a.valid(ask.ID); err != nil {
			return nil, bad("accounts: %v", err)
		}
		if err := a.Open(ask.ID, ask.Preset); err != nil {
			return nil, bad("accounts: %v", err)
		}
		return a.describe(ask.ID, true), nil
	}
	return nil, refused{http.StatusNotFound, "no control call " + hr.Method + " " + hr.URL.Path + ": there are " + controlCalls}
}

func (a *Accounts) describe(id string, secrets bool) opened {
	s := a.Account(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := opened{ID: id, Preset: s.settings.Preset}
	if v, ok := s.vendor.(Crediter); ok && secrets {
		out.Credentials = v.Credentials(s.world.begin(s.n, s.now()))
	}
	return out
}
