// Package storetest opens databases for tests: SQLite files, or, where the
// environment names a PostgreSQL server, a schema for each.
package storetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"testing"
	"time"

	"tieout.dev/services/internal/store"
)

// Variable names the environment variable with the URL of a PostgreSQL server.
const Variable = "TIEOUT_TEST_POSTGRES"

// On returns cfg for the database that this run tests on. On PostgreSQL the path
// stands for a schema of its own, the same one for the same path, which is
// dropped when the test ends.
func On(t testing.TB, cfg store.Config) store.Config {
	t.Helper()
	url := os.Getenv(Variable)
	if url == "" {
		return cfg
	}
	return Postgres(t, url, cfg)
}

// Both runs a test on SQLite and on PostgreSQL, which is skipped where the
// environment names no server.
func Both(t *testing.T, test func(t *testing.T, on func(testing.TB, store.Config) store.Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, func(_ testing.TB, cfg store.Config) store.Config { return cfg }) })
	t.Run("postgres", func(t *testing.T) {
		url := os.Getenv(Variable)
		if url == "" {
			t.Skipf("%s names no PostgreSQL server; 'make integration' runs this on one", Variable)
		}
		test(t, func(t testing.TB, cfg store.Config) store.Config { return Postgres(t, url, cfg) })
	})
}

// Postgres returns cfg on a schema that stands for its path.
func Postgres(t testing.TB, url string, cfg store.Config) store.Config {
	t.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(cfg.Path))
	cfg.URL, cfg.Schema = url, fmt.Sprintf("test_%016x", h.Sum64())
	schema := cfg.Schema
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := store.DropSchema(ctx, url, schema); err != nil {
			t.Errorf("drop the schema of this test: %v", err)
		}
	})
	return cfg
}
