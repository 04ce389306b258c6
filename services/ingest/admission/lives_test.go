package admission

import "testing"

// An event that ended is open again for a newer life of the writer alone.
func TestANewerLifeIsBelieved(t *testing.T) {
	for what, x := range map[string]struct {
		ended             bool
		life, incarnation int64
		want              bool
	}{
		"first word":           {false, 0, 1, true},
		"open, a life before":  {false, 2, 1, true},
		"ended, a life before": {true, 2, 1, false},
		"ended, the same life": {true, 2, 2, false},
		"ended, a newer life":  {true, 1, 2, true},
	} {
		if got := Believed(x.ended, x.life, x.incarnation); got != x.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
