package ingest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tieout.dev/services/internal/store"
)

// fill leaves no page free in the database, as a full disk does.
func (w *world) fill() {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		var n int64
		if _, err := tx.Exec(`CREATE TABLE filler (body BYTEA)`); err != nil {
			return err
		}
		return tx.QueryRow(`PRAGMA max_page_count = 1`).Scan(&n) // as many as there are
	})
	if err != nil {
		w.t.Skipf("only SQLite can be told how large it may become: %v", err)
	}
	for size := 1 << 16; size > 0; {
		err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO filler (body) VALUES ($1)`, make([]byte, size))
			return err
		})
		if err != nil {
			size /= 4
		}
	}
}

// A caller whose record or webhook finds no room is told why, and not where.
func TestAFullDiskIsNamedToCallers(t *testing.T) {
	w := open(t)
	w.fill()
	says := func(body string) {
		t.Helper()
		if !strings.Contains(body, "the disk of the database is full") || strings.Contains(body, ".db") || strings.Contains(body, "/tmp") {
			t.Errorf("it says %s", body)
		}
	}
	status, answer := w.call(http.MethodPost, "/v1/events", strings.Replace(one, "12.50", `12.50,"note":"`+strings.Repeat("n", 20000)+`"`, 1))
	if status != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %v", status, answer)
	}
	says(fmt.Sprint(answer["detail"]))
	for i := range 1000 { // what is free in pages that are begun is used up first
		r := httptest.NewRequest(http.MethodPost, "/webhooks/hubspot", strings.NewReader(fmt.Sprintf("deal %d", i)))
		r.Header.Set("Signature", "secret")
		out := httptest.NewRecorder()
		if w.in.Handler().ServeHTTP(out, r); out.Code != http.StatusOK {
			says(out.Body.String())
			return
		}
	}
	t.Error("a thousand webhooks found room")
}
