package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
)

// near is how far two moments of one test may be apart.
const near = 10 * time.Second

// Hosts whose clocks are an hour apart have one time where they share a server, so
// that what one of them held and left is free for the others in seconds. A file has
// the time of its host.
func TestHostsWithOtherClocksShareTheServersTime(t *testing.T) {
	storetest.Both(t, func(t *testing.T, on func(testing.TB, store.Config) store.Config) {
		for _, off := range []time.Duration{time.Hour, -time.Hour, 0} {
			cfg := on(t, store.Config{Name: "t", Path: filepath.Join(t.TempDir(), "t.db"), ServerTime: true, Clock: func() time.Time { return time.Now().Add(off) }})
			db, err := store.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			corrected := off
			if cfg.URL == "" {
				corrected = 0
			}
			if apart := (time.Since(store.Time(db.Now())) + off - corrected).Abs(); apart > near {
				t.Errorf("a host that is %s off stores times that are %s off", off, apart)
			}
			if got := db.Ahead(); (got - corrected).Abs() > near {
				t.Errorf("a host that is %s off is said to be %s ahead", off, got)
			}
			if corrected != 0 {
				drill.Injected(t, 1, 59)
			}
			if held, err := db.Lease(t.Context(), "work", "us"); err != nil || !held {
				t.Fatal(held, err)
			}
			var until int64
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT valid_until FROM lease WHERE name = 'work'`).Scan(&until)
			}); err != nil {
				t.Fatal(err)
			}
			if left := time.Until(store.Time(until)) - off + corrected; left > store.LeaseTime+near {
				t.Errorf("a host that is %s off holds a lease for %s", off, left)
			}
		}
	})
}
