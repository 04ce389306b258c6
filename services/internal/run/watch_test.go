package run

import (
	"os"
	"strings"
	"testing"

	"tieout.dev/services/internal/store"
)

// What the databases of one folder say alike is said once.
func TestDatabasesThatFailAlikeAreSaidOnce(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("/dev/full is needed, which stands for a full disk")
	}
	r, err := New(Config{Kafka: []string{"127.0.0.1:1"}, Dir: t.TempDir(), Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	var dbs []*store.DB
	for _, name := range []string{"ingest", "writer"} {
		db, err := r.db(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/full", r.Dir+"/"+name+".db.check"); err != nil {
			t.Fatal(err)
		}
		dbs = append(dbs, db)
	}
	if err := ping(t.Context(), dbs); err == nil || strings.Count(err.Error(), "full") != 1 {
		t.Errorf("it says %v", err)
	}
}
