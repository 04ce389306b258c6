package ingest

import (
	"fmt"
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/store"
)

// Lists go on where a page ended: runs with the newest first, exceptions with
// the oldest, also those of one moment.
func TestListsGoOnWhereAPageEnded(t *testing.T) {
	w := open(t)
	err := w.in.deps.DB.Write(t.Context(), func(tx *store.Tx) error {
		for i := range 5 {
			if _, err := tx.Exec(`INSERT INTO run (id, connection, type, state, from_at, match_only, total, actor, started_at) VALUES ($1, 'crm', 'deal', 'done', 0, 0, 0, '', $2)`, fmt.Sprintf("b-%d", i), i/2); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO exception (id, kind, state, owner, subject, customer, reason, fix, opened_at) VALUES ($1, 'validation', 'open', '', '', '', '', '', $2)`, fmt.Sprintf("i-%d", i), i/2+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var runs, exceptions []string
	next := ""
	for more := true; more && len(runs) < 10; more = next != "" {
		res, err := w.in.Server().ListRuns(t.Context(), &controlv1.ListRunsRequest{Limit: 2, Next: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range res.GetItems() {
			runs = append(runs, x.GetId())
		}
		next = res.GetNext()
	}
	for more := true; more && len(exceptions) < 10; more = next != "" {
		res, err := w.in.Server().ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{Limit: 2, Next: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range res.GetItems() {
			exceptions = append(exceptions, x.GetId())
		}
		next = res.GetNext()
	}
	if fmt.Sprint(runs) != "[b-4 b-2 b-3 b-0 b-1]" || fmt.Sprint(exceptions) != "[i-0 i-1 i-2 i-3 i-4]" {
		t.Errorf("runs %v, exceptions %v", runs, exceptions)
	}
}
