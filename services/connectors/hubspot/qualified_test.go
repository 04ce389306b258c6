package hubspot

import (
	"testing"
	"time"
)

// A close date is typed by people: a deal that is won was won no later than it
// was changed last, also without a date or with one that is still to come.
func TestWhenADealWasWon(t *testing.T) {
	changed := time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)
	for closed, want := range map[string]time.Time{
		"2026-11-01T00:00:00Z": time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"2027-11-01T00:00:00Z": changed,
		"":                     changed,
	} {
		won, stamp := "true", changed.Format(time.RFC3339Nano)
		a := &aggregate{typ: typeDeal, object: &object{Properties: map[string]*string{"hs_is_closed_won": &won, "closedate": &closed, "hs_lastmodifieddate": &stamp}}}
		if got := qualified(a); !got.Equal(want) {
			t.Errorf("closed on %q: won at %v, not %v", closed, got, want)
		}
		won = "false"
		if got := qualified(a); !got.IsZero() {
			t.Errorf("an open deal was won at %v", got)
		}
	}
}
