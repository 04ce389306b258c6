package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/store/storetest"
)

// on says which database a configuration means.
type on = func(testing.TB, store.Config) store.Config

func file(_ testing.TB, cfg store.Config) store.Config { return cfg }

func open(t testing.TB, where on, path string, clock func() time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), where(t, store.Config{Path: path, Name: "test", Migrations: own("00001_note.sql"), Clock: clock}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func own(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range names {
		table := strings.TrimSuffix(name[6:], ".sql")
		files["migrations/"+name] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE " + table + " (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, body BYTEA);\n")}
	}
	return files
}

func count(t testing.TB, db *store.DB) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM note`).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSettingsAreThoseOfADurableDatabase(t *testing.T) {
	db := open(t, file, filepath.Join(t.TempDir(), "a file with #? .db"), nil)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "0", "busy_timeout": "10000"} {
			var got string
			if err := tx.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %s (%v), want %s", pragma, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteCommitsOrLeavesNothing(t *testing.T) {
	storetest.Both(t, testWriteCommitsOrLeavesNothing)
}

func testWriteCommitsOrLeavesNothing(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	insert := func(tx *store.Tx, id string) error {
		_, err := tx.Exec(`INSERT INTO note (n, id, body) VALUES ($2, $1, $3)`, id, 7, []byte{0, 1})
		return err
	}
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return insert(tx, "a") }); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(insert(tx, "b"), broken) }); !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.Write(t.Context(), func(tx *store.Tx) error { _ = insert(tx, "c"); panic("in a transaction") })
	}()
	if n := count(t, db); n != 1 {
		t.Fatalf("%d rows, want the committed one", n)
	}
}

func TestFailedStatementEndsTheTransaction(t *testing.T) {
	storetest.Both(t, testFailedStatementEndsTheTransaction)
}

func testFailedStatementEndsTheTransaction(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, _ = tx.Exec(`INSERT INTO note (id, n) VALUES ('a', 1)`)
		_, _ = tx.Exec(`INSERT INTO note (id, n) VALUES ('a', 2)`)
		_, _ = tx.Exec(`INSERT INTO note (id, n) VALUES ('b', 3)`)
		return nil
	})
	if err == nil || count(t, db) != 0 {
		t.Fatalf("error %v with %d rows, want a refused commit", err, count(t, db))
	}
	err = db.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM note`); return err })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Fatalf("write inside Read: %v", err)
	}
}

func TestCancelledWriterLeavesNothingAndFreesTheTurn(t *testing.T) {
	storetest.Both(t, testCancelledWriterLeavesNothingAndFreesTheTurn)
}

func testCancelledWriterLeavesNothingAndFreesTheTurn(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('a', 1)`); err != nil {
			return err
		}
		waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer stop()
		if err := db.Write(waiting, func(*store.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second writer: %v, want it to wait until its deadline", err)
		}
		cancel()
		_, err := tx.Exec(`INSERT INTO note (id, n) VALUES ('b', 1)`)
		return err
	})
	if !errors.Is(err, context.Canceled) || count(t, db) != 0 {
		t.Fatalf("error %v, %d rows", err, count(t, db))
	}
	if err := db.Write(t.Context(), func(*store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestSameTextMayBeNested(t *testing.T) { storetest.Both(t, testSameTextMayBeNested) }

func testSameTextMayBeNested(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	seen := 0
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, id := range []string{"a", "b", "c"} {
			if _, err := tx.Exec(`INSERT INTO note (id, n) VALUES ($1, 1)`, id); err != nil {
				return err
			}
		}
		const query = `SELECT id FROM note ORDER BY id`
		outer, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer func() { _ = outer.Close() }()
		for outer.Next() {
			inner, err := tx.Query(query)
			if err != nil {
				return err
			}
			for inner.Next() {
				seen++
			}
			_ = inner.Close()
		}
		return outer.Err()
	})
	if err != nil || seen != 9 {
		t.Fatalf("%d rows of 9, %v", seen, err)
	}
}

func TestSchemaFromTheFutureIsRefused(t *testing.T) {
	storetest.Both(t, testSchemaFromTheFutureIsRefused)
	drill.Injected(t, 1, 57)
}

func testSchemaFromTheFutureIsRefused(t *testing.T, where on) {
	path := filepath.Join(t.TempDir(), "a.db")
	newer, err := store.Open(t.Context(), where(t, store.Config{Path: path, Name: "writer", Migrations: own("00001_note.sql", "00002_more.sql", "00003_most.sql")}))
	if err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), where(t, store.Config{Path: path, Name: "writer", Migrations: own("00001_note.sql")}))
	if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "writer") {
		t.Fatalf("error %v", err)
	}
	previous, err := store.Open(t.Context(), where(t, store.Config{Path: path, Name: "writer", Migrations: own("00001_note.sql", "00002_more.sql")}))
	if err != nil {
		t.Fatalf("the previous program on a schema that is one migration ahead: %v", err)
	}
	if err := errors.Join(previous.Ping(t.Context()), previous.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOffsetMovesByCompareAndSwapOnly(t *testing.T) {
	storetest.Both(t, testOffsetMovesByCompareAndSwapOnly)
}

func testOffsetMovesByCompareAndSwapOnly(t *testing.T, where on) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, where, path, nil)
	ctx := t.Context()
	if _, _, known, err := db.Offset(ctx, "t", 1); known || err != nil {
		t.Fatalf("known %v, %v", known, err)
	}
	for _, next := range []int64{5, 9} { // the second is too late
		if err := db.StartOffset(ctx, "t", 1, next, "id"); err != nil {
			t.Fatal(err)
		}
	}
	other := open(t, where, path, nil)
	var won atomic.Int64
	var both sync.WaitGroup
	for _, d := range []*store.DB{db, other} {
		both.Go(func() {
			err := d.Write(ctx, func(tx *store.Tx) error {
				ok, err := store.Advance(tx, "t", 1, 5, 8)
				if ok {
					won.Add(1)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	next, id, known, err := db.Offset(ctx, "t", 1)
	if won.Load() != 1 || next != 8 || id != "id" || !known || err != nil {
		t.Fatalf("%d winners, next %d of %q, %v", won.Load(), next, id, err)
	}
	if err := db.ResetOffset(ctx, "t", 1, 7, 0, "new"); err != nil {
		t.Fatal(err)
	}
	if err := db.ResetOffset(ctx, "t", 1, 8, 2, "new"); err != nil {
		t.Fatal(err)
	}
	if next, id, _, _ := db.Offset(ctx, "t", 1); next != 2 || id != "new" {
		t.Fatalf("next %d of %q after a reset", next, id)
	}
}

func TestLeaseHasOneOwnerUntilItEnds(t *testing.T) {
	storetest.Both(t, testLeaseHasOneOwnerUntilItEnds)
}

func testLeaseHasOneOwnerUntilItEnds(t *testing.T, where on) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), func() time.Time { return now })
	lease := func(owner string, want bool) {
		t.Helper()
		if held, err := db.Lease(t.Context(), "relay", owner); held != want || err != nil {
			t.Fatalf("%s holds: %v (%v), want %v", owner, held, err, want)
		}
	}
	lease("a", true)
	now = now.Add(9 * time.Second)
	lease("b", false)
	lease("a", true)
	now = now.Add(9 * time.Second)
	lease("b", false)
	now = now.Add(time.Second)
	lease("b", true)
	lease("a", false)
	if err := db.Release(t.Context(), "relay", "b"); err != nil {
		t.Fatal(err)
	}
	lease("a", true)
	if err := db.DropLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease("b", true)
}

func TestThePresentAreCounted(t *testing.T) {
	storetest.Both(t, testThePresentAreCounted)
}

func testThePresentAreCounted(t *testing.T, where on) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), func() time.Time { return now })
	present := func(group, owner string, want int) {
		t.Helper()
		if n, err := db.Present(t.Context(), group, owner); n != want || err != nil {
			t.Fatalf("with %s of %s there are %d (%v), want %d", owner, group, n, err, want)
		}
	}
	present("replicas", "a", 1)
	present("replicas", "b", 2)
	present("others", "c", 1)
	now = now.Add(9 * time.Second)
	present("replicas", "b", 2)
	now = now.Add(time.Second) // a has said nothing for the time of a lease
	present("replicas", "b", 1)
	if err := db.Release(t.Context(), store.Presence("replicas", "b"), "b"); err != nil {
		t.Fatal(err)
	}
	present("replicas", "a", 1)
}

func TestNoRowsIsNoFailure(t *testing.T) { storetest.Both(t, testNoRowsIsNoFailure) }

func testNoRowsIsNoFailure(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		var id string
		if err := tx.QueryRow(`SELECT id FROM note WHERE id = $1`, "none").Scan(&id); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("error %v", err)
		}
		return tx.QueryRow(`INSERT INTO note (id, n) VALUES ($1, $2) RETURNING id`, "a", 1).Scan(&id)
	})
	if err != nil || count(t, db) != 1 {
		t.Fatalf("%v with %d rows", err, count(t, db))
	}
}

func BenchmarkWrite(b *testing.B) {
	db := open(b, file, filepath.Join(b.TempDir(), "a.db"), nil)
	for i := 0; b.Loop(); i++ {
		err := db.Write(b.Context(), func(tx *store.Tx) error {
			for j := range 10 {
				if _, err := tx.Exec(`INSERT INTO note (id, n, body) VALUES ($1, $2, $3)`, time.Now().String(), i*10+j, make([]byte, 500)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A caller that gives up at any moment, also while its transaction begins,
// leaves the database as usable as it was.
func TestACallerThatGivesUpLeavesNothingOpen(t *testing.T) {
	storetest.Both(t, testACallerThatGivesUpLeavesNothingOpen)
}

func testACallerThatGivesUpLeavesNothingOpen(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	insert := func(ctx context.Context) error {
		return db.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO note (id, n) SELECT 'n' || COUNT(*), 1 FROM note`)
			return err
		})
	}
	gaveUp := 0
	for n := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(time.Duration(n%200)*time.Microsecond, cancel)
		if err := insert(ctx); err != nil {
			if !errors.Is(err, context.Canceled) && ctx.Err() == nil {
				t.Fatal(err)
			}
			gaveUp++
		}
		stop.Stop()
		cancel()
		if n%20 == 0 {
			if err := insert(t.Context()); err != nil {
				t.Fatalf("after %d callers gave up: %v", gaveUp, err)
			}
		}
	}
	if gaveUp == 0 {
		t.Fatal("nobody gave up")
	}
}

// What lies under a name is that and what it is the folder of, nothing that
// begins alike.
func TestUnder(t *testing.T) {
	storetest.Both(t, testUnder)
}

func testUnder(t *testing.T, where on) {
	db := open(t, where, filepath.Join(t.TempDir(), "a.db"), nil)
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, id := range []string{"a/1", "a/1/deal/7", "a/12", "b/1"} {
			if _, err := tx.Exec(`INSERT INTO note (id, n) VALUES ($1, 1)`, id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		these []string
		want  int
	}{{nil, 4}, {[]string{}, 0}, {[]string{"a/1"}, 2}, {[]string{"a/1", "b"}, 3}} {
		where, args := store.Under("id", c.these, []any{1})
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			var n int
			if err := tx.QueryRow(`SELECT COUNT(*) FROM note WHERE n = $1 AND `+where, args...).Scan(&n); err != nil || n != c.want {
				t.Errorf("under %q are %d (%v), want %d", c.these, n, err, c.want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
