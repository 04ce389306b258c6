package writer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/store"
)

// expiresSoon is how long before its end a token is replaced.
const expiresSoon = 2 * time.Minute

// Vault keeps the connections' tokens. It is the only one that refreshes them:
// one refresh at a time, and a new token is stored before it is used, since a
// vendor that rotates refresh tokens has forgotten the old one by then.
type Vault struct {
	db    *store.DB
	seal  *Seal
	now   func() time.Time
	owner string // of the lease under which a token is refreshed

	mu    sync.Mutex
	known map[string]*Tokens
}

// NewVault returns a vault over the writer's database; what it stores is sealed.
func NewVault(db *store.DB, seal *Seal, now func() time.Time) *Vault {
	return &Vault{db: db, seal: seal, now: now, owner: rand.Text(), known: map[string]*Tokens{}}
}

// Tokens returns the tokens of a connection. first is what the configuration
// gives; what is stored is newer.
func (v *Vault) Tokens(connection string, first connector.Grant) *Tokens {
	v.mu.Lock()
	defer v.mu.Unlock()
	if t, ok := v.known[connection]; ok {
		return t
	}
	t := &Tokens{vault: v, connection: connection, first: first, mu: make(turnstile, 1)}
	v.known[connection] = t
	return t
}

// of returns a connection's tokens, if the vault has them.
func (v *Vault) of(connection string) (*Tokens, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.known[connection]
	return t, ok
}

// Tokens are one connection's. They satisfy connector.Tokens.
type Tokens struct {
	vault      *Vault
	connection string
	first      connector.Grant
	// Refresher trades the refresh token; nil for a token that does not expire.
	Refresher func(ctx context.Context, refresh string) (connector.Grant, error)

	mu      turnstile // one refresh at a time
	current connector.Grant
	loaded  bool

	consentEnds atomic.Int64 // µs
	lacking     atomic.Bool  // nobody has consented yet
}

// turnstile is a lock that is held while a vendor is asked, which takes as long
// as it takes. Waiting for it is waiting for a channel, so that virtual time
// passes meanwhile; behind a mutex it would stand still.
type turnstile chan struct{}

// Lock waits until nobody else is inside.
func (t turnstile) Lock() { t <- struct{}{} }

// Unlock lets the next one in.
func (t turnstile) Unlock() { <-t }

// Token returns the access token, refreshed if it is about to end.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(ctx); err != nil {
		return "", err
	}
	if t.current.Access == "" && (t.Refresher == nil || t.current.Refresh == "") {
		return "", fault.New(fault.Unauthorized, "connection %s has no token yet: tieout connections authorize %s", t.connection, t.connection)
	}
	if t.Refresher != nil && t.ending() {
		return t.refresh(ctx)
	}
	return t.current.Access.Reveal(), nil
}

// ending tells whether the token ends soon, or has ended.
func (t *Tokens) ending() bool {
	return !t.current.Expires.IsZero() && t.vault.now().Add(expiresSoon).After(t.current.Expires)
}

// Refresh returns another token than the refused one. Whoever comes second
// gets what the first one fetched, unless that has ended as well by now.
func (t *Tokens) Refresh(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(ctx); err != nil {
		return "", err
	}
	if t.current.Access.Reveal() != refused && !t.ending() {
		return t.current.Access.Reveal(), nil
	}
	return t.refresh(ctx)
}

// Replace keeps what a person granted; also runs in the same transaction. A
// refresh that is under way is awaited, so that it cannot overwrite the grant.
func (t *Tokens) Replace(ctx context.Context, g connector.Grant, also func(*store.Tx) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.store(ctx, g, also); err != nil {
		return err
	}
	t.keep(g)
	return nil
}

func (t *Tokens) keep(g connector.Grant) {
	t.current, t.loaded = g, true
	t.consentEnds.Store(store.Micros(g.RefreshExpires))
	t.lacking.Store(g.Access == "" && g.Refresh == "")
}

// ends is when a person must consent again, nil if that is not known. It does
// not wait for a refresh that is under way.
func (t *Tokens) ends() *timestamppb.Timestamp { return stamp(t.consentEnds.Load()) }

func (t *Tokens) refresh(ctx context.Context) (string, error) {
	if t.Refresher == nil || t.current.Refresh == "" {
		return "", fault.New(fault.Unauthorized, "connection %s has a token that cannot be refreshed: authorize it again", t.connection)
	}
	done, release, err := t.alone(ctx)
	if err != nil || done {
		return t.current.Access.Reveal(), err
	}
	defer release()
	g, err := t.Refresher(ctx, t.current.Refresh.Reveal())
	if fault.KindOf(err) == fault.Unauthorized { // somebody else may have replaced it
		if token, ok := t.newer(ctx); ok {
			return token, nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("refresh the token of %s: %w", t.connection, err)
	}
	if g.Refresh == "" {
		g.Refresh = t.current.Refresh
	}
	if err := t.store(context.WithoutCancel(ctx), g, nil); err != nil {
		return "", err
	}
	crash.At(crash.WriterTokenStored)
	t.keep(g)
	return g.Access.Reveal(), nil
}

// newer reads the stored token once more: another process of this service may
// have refreshed it, or a person consented there.
func (t *Tokens) newer(ctx context.Context) (string, bool) {
	before := t.current
	t.loaded = false
	if err := t.load(ctx); err != nil {
		t.current, t.loaded = before, true
		return "", false
	}
	return t.current.Access.Reveal(), t.current.Refresh != before.Refresh
}

func (t *Tokens) load(ctx context.Context) error {
	if t.loaded {
		return nil
	}
	var access, refresh string
	var expires, refreshExpires int64
	err := t.vault.db.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT access, refresh, expires, refresh_expires FROM credential WHERE connection = $1 AND purpose = 'api'`, t.connection).
			Scan(&access, &refresh, &expires, &refreshExpires)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		t.keep(t.first)
		return nil
	case err != nil:
		return fmt.Errorf("read the token of %s: %w", t.connection, err)
	}
	if access, refresh, err = t.unsealed(access, refresh); err != nil {
		return err
	}
	t.keep(connector.Grant{Access: connector.Secret(access), Refresh: connector.Secret(refresh), Expires: store.Time(expires), RefreshExpires: store.Time(refreshExpires)})
	return nil
}

func (t *Tokens) unsealed(access, refresh string) (string, string, error) {
	a, err := t.vault.seal.open(access, t.about("access"))
	if err != nil {
		return "", "", err
	}
	r, err := t.vault.seal.open(refresh, t.about("refresh"))
	return a, r, err
}

func (t *Tokens) about(what string) string { return t.connection + "/api/" + what }

func (t *Tokens) store(ctx context.Context, g connector.Grant, also func(*store.Tx) error) error {
	access, err := t.vault.seal.seal(g.Access.Reveal(), t.about("access"))
	if err != nil {
		return err
	}
	refresh, err := t.vault.seal.seal(g.Refresh.Reveal(), t.about("refresh"))
	if err != nil {
		return err
	}
	err = t.vault.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO credential (connection, purpose, access, refresh, version, expires, refresh_expires) VALUES ($1, 'api', $2, $3, 1, $4, $5)
			ON CONFLICT (connection, purpose) DO UPDATE SET access = $2, refresh = $3, version = credential.version + 1, expires = $4, refresh_expires = $5`,
			t.connection, access, refresh, store.Micros(g.Expires), store.Micros(g.RefreshExpires))
		if err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("store the token of %s: %w", t.connection, err)
	}
	return nil
}
