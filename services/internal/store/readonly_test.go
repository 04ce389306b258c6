package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
)

// A store can be looked at beside its owner, and nobody who looks can change it.
func TestReadOnly(t *testing.T) { storetest.Both(t, testReadOnly) }

func testReadOnly(t *testing.T, where on) {
	path := filepath.Join(t.TempDir(), "a file with #? .db")
	db := open(t, where, path, nil)
	write := func(db *store.DB, id string) error {
		return db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`INSERT INTO note (id, n) VALUES ($1, 1)`, id); return err })
	}
	if err := write(db, "before"); err != nil {
		t.Fatal(err)
	}
	reader, err := store.OpenReadOnly(t.Context(), where(t, store.Config{Path: path, Name: "test", Clock: time.Now}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := write(db, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, reader); n != 2 {
		t.Errorf("%d rows are seen, there are 2", n)
	}
	if err := write(reader, "forbidden"); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("writing is answered with %v", err)
	}
	if n := count(t, db); n != 2 {
		t.Errorf("there are %d rows after a refused write", n)
	}
}

// Looking makes nothing.
func TestReadOnlyMakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.db")
	if db, err := store.OpenReadOnly(t.Context(), store.Config{Path: path, Name: "test", Clock: time.Now}); err == nil {
		t.Error("a missing file was opened")
		_ = db.Close()
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file was made: %v", err)
	}
}
