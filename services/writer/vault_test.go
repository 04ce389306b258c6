package writer

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
)

// rotating is a token endpoint that takes each refresh token once.
type rotating struct {
	mu   sync.Mutex
	used int
}

func (r *rotating) refresh(_ context.Context, refresh string) (connector.Grant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refresh != fmt.Sprint("r", r.used) {
		return connector.Grant{}, fault.New(fault.Unauthorized, "invalid_grant")
	}
	r.used++
	return connector.Grant{Access: connector.Secret(fmt.Sprint("a", r.used)), Refresh: connector.Secret(fmt.Sprint("r", r.used)), Expires: time.Now().Add(time.Hour)}, nil
}

func openVault(t *testing.T, path string, endpoint *rotating) *Tokens {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.On(t, store.Config{Path: path, Name: Name, Migrations: Migrations}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	seal, err := MakeSeal(filepath.Join(filepath.Dir(path), "key"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewVault(db, seal, time.Now).Tokens("books", connector.Grant{Access: "a0", Refresh: "r0", Expires: time.Now().Add(time.Hour)})
	tokens.Refresher = endpoint.refresh
	return tokens
}

// Many callers whose token was refused at once cause one refresh, and the new
// refresh token is stored before anybody uses it.
func TestRefreshIsSingleFlightAndStored(t *testing.T) {
	path, endpoint := filepath.Join(t.TempDir(), "w.db"), &rotating{}
	tokens := openVault(t, path, endpoint)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if got, err := tokens.Refresh(t.Context(), "a0"); err != nil || got != "a1" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()
	if endpoint.used != 1 {
		t.Fatalf("%d refreshes", endpoint.used)
	}
	after := openVault(t, path, endpoint)
	if got, err := after.Token(t.Context()); err != nil || got != "a1" {
		t.Fatalf("after a restart: %q, %v", got, err)
	}
	if got, err := after.Refresh(t.Context(), "a1"); err != nil || got != "a2" {
		t.Fatalf("second refresh: %q, %v", got, err)
	}
}

func TestATokenThatCannotBeRefreshedSaysSo(t *testing.T) {
	tokens := openVault(t, filepath.Join(t.TempDir(), "w.db"), &rotating{})
	tokens.Refresher = nil
	if _, err := tokens.Refresh(t.Context(), "a0"); fault.KindOf(err) != fault.Unauthorized {
		t.Fatalf("%v", err)
	}
}

// Two replicas whose tokens are refused at once refresh once, and both go on
// with the new token.
func TestReplicasRefreshOnce(t *testing.T) {
	path, endpoint := filepath.Join(t.TempDir(), "w.db"), &rotating{}
	var wait sync.WaitGroup
	for range 4 {
		replica := openVault(t, path, endpoint)
		wait.Go(func() {
			if got, err := replica.Refresh(t.Context(), "a0"); err != nil || got != "a1" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()
	if endpoint.used != 1 {
		t.Errorf("%d refreshes", endpoint.used)
	}
	drill.Injected(t, 4, 81) // replicas that asked at once
}

// A service that comes with an old token gets one that is good now, not the one
// that has ended since it was fetched.
func TestRefusedTokenIsNotReplacedByAnEndedOne(t *testing.T) {
	endpoint := &rotating{}
	tokens := openVault(t, filepath.Join(t.TempDir(), "w.db"), endpoint)
	if got, err := tokens.Refresh(t.Context(), "a0"); err != nil || got != "a1" {
		t.Fatalf("got %q, %v", got, err)
	}
	tokens.vault.now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	if got, err := tokens.Refresh(t.Context(), "a0"); err != nil || got != "a2" {
		t.Fatalf("got %q, %v; the books take a2 alone", got, err)
	}
}
