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
	if s.completed != 0 || s.pollErr == "" {
		t.Errorf("it counts as complete: %q", s.pollErr)
	}
	if n := w.count(`SELECT COUNT(*) FROM hint WHERE class = 'realtime'`); n != 3 {
		t.Errorf("%d of 3 records are to be read", n)
	}
	if at, err := s.position(t.Context(), "deal"); err != nil || at != "c" {
		t.Errorf("the cursor is at %q, %v", at, err)
	}
}
