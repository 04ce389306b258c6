package ingest

import (
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// parked is why a person must look at an event, for the caller who pushed it.
type parked struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Owner  string `json:"owner"`
	Fix    string `json:"fix"`
}

// opened: an event waits for a person.
func opened(tx *store.Tx, f *trail.Fact) error {
	if f.SourceEventID == "" || f.Exception == "" {
		return nil // of a connection, or of a record that never got a lane
	}
	_, err := tx.Exec(`UPDATE event SET exception = $1, exception_kind = $2, exception_reason = $3 WHERE event_id = $4 AND ended_at = 0`, f.Exception, f.Outcome, f.Detail, f.SourceEventID)
	return err
}

// acted: an exception is open no longer, unless the action on it was refused.
func acted(tx *store.Tx, f *trail.Fact) error {
	if f.Exception == "" || f.Outcome == "refused" {
		return nil
	}
	_, err := tx.Exec(`UPDATE event SET exception = '', exception_kind = '', exception_reason = '' WHERE exception = $1 AND exception <> ''`, f.Exception)
	return err
}

// parkedOn is the open exception of an event, nil if it has none.
func parkedOn(tx *store.Tx, id string) (*parked, error) {
	var p parked
	if err := tx.QueryRow(`SELECT exception, exception_kind, exception_reason FROM event WHERE event_id = $1`, id).Scan(&p.ID, &p.Kind, &p.Reason); err != nil || p.ID == "" {
		return nil, err
	}
	help := exception.HelpFor(exception.Kind(p.Kind))
	p.Owner, p.Fix = string(help.Owner), help.Fix
	return &p, nil
}
