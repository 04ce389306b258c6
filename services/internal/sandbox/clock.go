package sandbox

import (
	"encoding/json"
	"fmt"
	"time"
)

// Clock is the time a sandbox lives in.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

type wallClock struct{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Time is a moment in JSON as RFC 3339 UTC with milliseconds.
type Time struct{ time.Time }

// MarshalJSON writes milliseconds always, so strings compare as times do.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// Duration is a time.Duration that is "1500ms" in JSON.
type Duration time.Duration

// MarshalJSON writes the Go notation.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON takes the Go notation and nothing else.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is written as \"1500ms\" or \"3s\", not %s", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("a duration is written as \"1500ms\" or \"3s\", not %q", s)
	}
	*d = Duration(v)
	return nil
}
