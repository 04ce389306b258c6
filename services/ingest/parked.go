package ingest

import (
	"tieout.dev/services/internal/event"
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

// acted: an exception is open no longer, unless the action on it was refused. Who
// tries again what could not be rendered means the record as it is now.
func (in *Ingest) acted(tx *store.Tx, f *trail.Fact) error {
	if f.Exception == "" || f.Outcome == "refused" {
		return nil
	}
	if f.Outcome == "retry" {
		if err := in.readAgain(tx, `exception = $1`, f.Exception); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE event SET exception = '', exception_kind = '', exception_reason = '' WHERE exception = $1 AND exception <> ''`, f.Exception)
	return err
}

// customerChanged frees what could not be rendered for what its customer's record
// said: it is read again, and sees the customer as it is now.
func (in *Ingest) customerChanged(tx *store.Tx, customer event.Ref) error {
	return in.readAgain(tx, `lane = $1 AND ref <> $1`, customer.String())
}

// readAgain has records admitted once more that could not be rendered. What was
// pushed stands in no source: its caller sends it again.
func (in *Ingest) readAgain(tx *store.Tx, which string, arg string) error {
	held, err := eventsOf(tx, `SELECT body FROM event WHERE exception <> '' AND ended_at = 0 AND exception_kind IN ('`+string(exception.Validation)+`', '`+string(exception.Mapping)+`') AND `+which, arg)
	if err != nil {
		return err
	}
	for _, e := range held {
		o, err := loadObject(tx, e.Ref)
		if err != nil {
			return err
		}
		if o.Pushed {
			continue
		}
		if err := in.askFor(tx, e.Ref, event.Linked, event.Realtime); err != nil {
			return err
		}
	}
	return nil
}

// eventsOf are the events whose bodies a query selects.
func eventsOf(tx *store.Tx, query string, args ...any) (out []*event.Event, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		e, err := event.Decode(body)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
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
