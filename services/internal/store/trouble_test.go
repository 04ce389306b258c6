package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tieout.dev/services/internal/store"
)

// big is more than a database takes that may have no page more.
func big(tx *store.Tx) error {
	_, err := tx.Exec(`INSERT INTO note (id, n, body) VALUES ('big', 1, $1)`, make([]byte, 1<<20))
	return err
}

// pages bounds the database's file; what then fails is what fails on a full disk.
func pages(t *testing.T, db *store.DB, most string) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		var n int64
		return tx.QueryRow(`PRAGMA max_page_count = ` + most).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A write that finds no room says so, to the operator with the place and to
// callers without it, and the trouble lasts until a write works again.
func TestAFullDatabaseSaysSo(t *testing.T) {
	dir := t.TempDir()
	db := open(t, file, filepath.Join(dir, "t.db"), nil)
	if err := errors.Join(db.Ping(t.Context()), db.Trouble()); err != nil {
		t.Fatal(err)
	}
	pages(t, db, "1") // SQLite takes as many as there are
	err := db.Write(t.Context(), big)
	var full *store.WriteError
	if !errors.As(err, &full) || !full.Full || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v", err)
	}
	if cause := store.Cause(err); !strings.Contains(cause, "full") || strings.Contains(cause, dir) {
		t.Errorf("callers are told %q", cause)
	}
	if err := db.Trouble(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("trouble: %v", err)
	}
	pages(t, db, "100000")
	if err := errors.Join(db.Ping(t.Context()), db.Trouble(), db.Write(t.Context(), big)); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
}

// A disk without room is found also while nobody writes.
func TestAFullDiskIsFoundByAnIdleDatabase(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("/dev/full is needed, which stands for a full disk")
	}
	dir := t.TempDir()
	db := open(t, file, filepath.Join(dir, "t.db"), nil)
	check := filepath.Join(dir, "t.db.check")
	if err := os.Symlink("/dev/full", check); err != nil {
		t.Fatal(err)
	}
	err := db.Ping(t.Context())
	var full *store.WriteError
	if !errors.As(err, &full) || !full.Full || db.Trouble() == nil {
		t.Fatalf("error %v, trouble %v", err, db.Trouble())
	}
	if err := os.Remove(check); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Ping(t.Context()), db.Trouble()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(check); err != nil || info.Size() != 0 {
		t.Errorf("what is left of the check: %v, %v", info, err)
	}
}

// What a transaction itself does wrong is no trouble of the database.
func TestAWrongStatementIsNoTrouble(t *testing.T) {
	db := open(t, file, filepath.Join(t.TempDir(), "t.db"), nil)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`)
		return err
	})
	if err == nil || store.Cause(err) != "" || db.Trouble() != nil {
		t.Errorf("error %v, trouble %v", err, db.Trouble())
	}
}
