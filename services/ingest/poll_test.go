package ingest

import (
	"context"
	"iter"
	"testing"

	"tieout.dev/services/internal/connector"
)

// A listing that breaks off keeps what it brought: it goes on from there, and a
// vendor that always breaks off at the same place does not stop it.
func TestABrokenListingKeepsWhatItBrought(t *testing.T) {
	w := open(t)
	w.portal.breaks = true
	for _, id := range []string{"1", "2", "3"} {
		w.portal.put(id, "a", "")
	}
	s := w.in.sources[0]
	s.pollOnce(t.Context())
	if n := w.count(`SELECT COUNT(*) FROM poll WHERE started = 1 AND completed = 0 AND error <> ''`); n != 1 {
		t.Error("it counts as complete")
	}
	if n := w.count(`SELECT COUNT(*) FROM hint WHERE class = 'realtime'`); n != 3 {
		t.Errorf("%d of 3 records are to be read", n)
	}
	if at, _, err := s.position(t.Context(), "deal"); err != nil || at != "c" {
		t.Errorf("the cursor is at %q, %v", at, err)
	}
}

// during is a portal with which something happens after it was listed.
type during struct {
	*portal
	do func()
}

func (d during) Changes(ctx context.Context, typ, since string) iter.Seq2[connector.Change, error] {
	return func(yield func(connector.Change, error) bool) {
		d.portal.Changes(ctx, typ, since)(yield)
		d.do()
	}
}

// A listing that began before the database was set back does not move its cursor on
// behind what was lost.
func TestAListingOfALostLifeMovesNoCursor(t *testing.T) {
	w := open(t)
	w.portal.put("1", "a", "")
	s := w.in.sources[0]
	s.conn.Source = during{w.portal, func() {
		_, err := w.in.MarkRestored(t.Context(), "a test says so")
		s.conn.Source = w.portal
		if err != nil {
			t.Error(err)
		}
	}}
	s.pollOnce(t.Context())
	if at, _, err := s.position(t.Context(), "deal"); err != nil || at != "" || w.count(`SELECT MAX(completed) FROM poll`) != 0 {
		t.Errorf("the cursor is at %q, %v", at, err)
	}
	s.pollOnce(t.Context())
	if at, _, err := s.position(t.Context(), "deal"); err != nil || at != "c" {
		t.Errorf("the next poll leaves it at %q, %v", at, err)
	}
}
