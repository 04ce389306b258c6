package ingest

import (
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

// What a backfill may hold back from being booked, and what it may not: a deal
// won while a backfill that only matches comes across it is billed.
func TestABackfillHasNoSayInWhatIsWonMeanwhile(t *testing.T) {
	w := open(t)
	started := time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)
	early, late := started.AddDate(0, -1, 0), started.AddDate(0, 0, 1)
	route, cutEarly, cutLate := registry.Route{ID: "r"}, registry.Route{ID: "r", CutOff: started.AddDate(-1, 0, 0)}, registry.Route{ID: "r", CutOff: late.AddDate(0, 0, 1)}
	err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO route_start (route, started_at) VALUES ('r', $1)`, started.UnixMicro()); err != nil {
			return err
		}
		for id, only := range map[string]int{"only": 1, "since": 0} {
			if _, err := tx.Exec(`INSERT INTO run (id, connection, type, state, from_at, match_only, total, actor, started_at) VALUES ($1, 'crm', 'deal', 'running', $2, $3, 0, 'a', $4)`,
				id, started.AddDate(0, 0, -7).UnixMicro(), only, late.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		route     registry.Route
		run       string
		qualified time.Time
		want      bool
	}{
		{"won before the route ran", route, "", early, true},
		{"won since", route, "", late, false},
		{"match-only: won before", route, "only", early, true},
		{"match-only: won since", route, "only", late, false},
		{"match-only: not a deal that is won", route, "only", time.Time{}, true},
		{"match-only: after an early cut-off, before the route ran", cutEarly, "only", early, true},
		{"since a week: older", route, "since", early, true},
		{"since a week: younger", route, "since", started.AddDate(0, 0, -3), false},
		{"since a week: won since", route, "since", late, false},
		{"before a late cut-off", cutLate, "", late, true},
		{"before a late cut-off, in a backfill", cutLate, "only", late, true},
	} {
		r := &connector.Record{CreatedAt: early.AddDate(0, 0, -1), QualifiedAt: c.qualified}
		if err := w.db.Read(t.Context(), func(tx *store.Tx) error {
			got, err := matchOnly(tx, c.route, r, c.run)
			if got != c.want {
				t.Errorf("%s: match only %v, want %v", c.name, got, c.want)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}
