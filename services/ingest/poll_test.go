package ingest

import "testing"

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
	if at, err := s.position(t.Context(), "deal"); err != nil || at != "c" {
		t.Errorf("the cursor is at %q, %v", at, err)
	}
}
