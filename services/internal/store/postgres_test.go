package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
)

// What a transaction has read is still so when it commits, whoever writes.
func TestWritersOfTwoProcessesFollowOneAnother(t *testing.T) { storetest.Both(t, testTwoWriters) }

func testTwoWriters(t *testing.T, where on) {
	path := filepath.Join(t.TempDir(), "a.db")
	first, second := open(t, where, path, nil), open(t, where, path, nil)
	err := first.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('counter', 0)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 25
	var all sync.WaitGroup
	for _, db := range []*store.DB{first, second, first, second} {
		all.Go(func() {
			for range rounds {
				if err := db.Write(t.Context(), increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	var n int64
	if err := second.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT n FROM note`).Scan(&n) }); err != nil || n != 4*rounds {
		t.Fatalf("counted %d of %d, %v", n, 4*rounds, err)
	}
}

// increment reads, then writes what it read and one more.
func increment(tx *store.Tx) error {
	var n int64
	if err := tx.QueryRow(`SELECT n FROM note WHERE id = 'counter'`).Scan(&n); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE note SET n = $1 WHERE id = 'counter'`, n+1)
	return err
}

// A reader sees one moment, and readers do not wait for the writer.
func TestReadersSeeOneMoment(t *testing.T) { storetest.Both(t, testOneMoment) }

func testOneMoment(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	insert := func(id string) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO note (id, n) VALUES ($1, 1)`, id)
			return err
		})
	}
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		var before, after int64
		if err := tx.QueryRow(`SELECT count(*) FROM note`).Scan(&before); err != nil {
			return err
		}
		if err := insert("a"); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT count(*) FROM note`).Scan(&after); err != nil {
			return err
		}
		if before != after {
			t.Errorf("%d rows, then %d in one read", before, after)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Processes that start together migrate one after the other.
func TestMigratedByManyAtOnce(t *testing.T) {
	url := server(t)
	cfg := storetest.Postgres(t, url, store.Config{Path: t.TempDir(), Name: "test", Migrations: own("00001_note.sql")})
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			db, err := store.Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A server that restarts breaks what was under way and nothing after it.
func TestConnectionsThatBreakAreMadeAgain(t *testing.T) {
	url := server(t)
	db := open(t, func(t testing.TB, cfg store.Config) store.Config {
		cfg.Name = "breaking" // no other test's connections have this name
		return storetest.Postgres(t, url, cfg)
	}, t.TempDir(), nil)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('lost', 1)`); err != nil {
			return err
		}
		terminate(t, url)
		_, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('lost too', 1)`)
		return err
	})
	if err == nil {
		t.Fatal("a transaction survived its connection")
	}
	terminate(t, url)
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('kept', 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	terminate(t, url)
	if n := count(t, db); n != 1 {
		t.Fatalf("%d rows, want the one that was committed", n)
	}
}

// terminate ends every connection of this test, as a restart does.
func terminate(t *testing.T, url string) {
	t.Helper()
	admin, err := store.Open(t.Context(), storetest.Postgres(t, url, store.Config{Path: t.TempDir(), Name: "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	err = admin.Write(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tieout-breaking'`)
		if err != nil {
			return err
		}
		return rows.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Text that PostgreSQL cannot hold does not stop anything, and is found again.
func TestTextOfAnyKindIsStored(t *testing.T) { storetest.Both(t, testAnyText) }

func testAnyText(t *testing.T, where on) {
	type kind string
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	for i, id := range []string{"a\x00b", "broken \xff\xfe", "", "Söhne & 株式会社"} {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(`INSERT INTO note (id, n, body) VALUES ($1, $2, $3)`, kind(id), i, []byte(id)); err != nil {
				return err
			}
			var n int64
			var body []byte
			if err := tx.QueryRow(`SELECT n, body FROM note WHERE id = $1`, id).Scan(&n, &body); err != nil || n != int64(i) || string(body) != id {
				return fmt.Errorf("found %d %q: %w", n, body, err)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAddressesThatDoNotFit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for url, want := range map[string]string{
		"postgres://x:secret@127.0.0.1:1/none": "127.0.0.1",
		"mysql://x:secret@127.0.0.1/none":      "address of the database",
	} {
		_, err := store.Open(ctx, store.Config{URL: url, Name: "writer"})
		if away := strings.HasPrefix(url, "postgres"); errors.Is(err, store.ErrAway) != away {
			t.Errorf("%s: %v; away is %v", url, err, !away)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q and no password", url, err, want)
		}
	}
}

func server(t *testing.T) string {
	t.Helper()
	url := os.Getenv(storetest.Variable)
	if url == "" {
		t.Skipf("%s names no PostgreSQL server; 'make integration' runs this on one", storetest.Variable)
	}
	return url
}
