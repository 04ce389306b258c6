package audit

import (
	"path/filepath"
	"strings"
	"testing"

	"tieout.dev/services/internal/store"
)

// Every statement of a search reads an index: a journey stays fast however long
// the trail is.
func TestSearchesReadIndexesOnly(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "a.db"), Name: Name, Migrations: Migrations})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, query := range []string{byKey, byEvent, byOp, byCall, bySource, ofSubject, ofCustomer, ofSource, ofBooks, ofOp, ofException, ofEvent, docsOf, docsFor} {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query("EXPLAIN QUERY PLAN "+query, "x", 10)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			steps := 0
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				steps++
				if strings.HasPrefix(detail, "SCAN") {
					t.Errorf("%s\nreads a whole table: %s", query, detail)
				}
			}
			if steps == 0 {
				t.Errorf("%s has no plan", query)
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
