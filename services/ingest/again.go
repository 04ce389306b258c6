package ingest

import (
	"context"
	"database/sql"
	"errors"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// stored is an event as its row has it.
type stored struct {
	event *event.Event
	trace string
	ended bool
	life  int64 // of the writer: who spoke of it last
}

// heard is the event that a fact speaks of, or nil if there is none or if the
// fact does not count.
func heard(tx *store.Tx, f *trail.Fact) (*stored, error) {
	s, err := storedEvent(tx, f.SourceEventID)
	if err != nil || s == nil || !admission.Believed(s.ended, s.life, f.Incarnation) {
		return nil, err
	}
	return s, nil
}

func storedEvent(tx *store.Tx, id string) (*stored, error) {
	var body []byte
	var s stored
	var ended int64
	err := tx.QueryRow(`SELECT body, trace, ended_at, life FROM event WHERE event_id = $1`, id).Scan(&body, &s.trace, &ended, &s.life)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.ended = ended != 0
	s.event, err = event.Decode(body)
	return &s, err
}

// requeued: the slot moved. The same revision gets another one at the lane's
// tail, unless a later revision of the record is on its way by now, or the record
// was merged away: its survivor speaks for it.
func (in *Ingest) requeued(ctx context.Context, tx *store.Tx, f *trail.Fact) error {
	s, err := heard(tx, f)
	if err != nil || s == nil {
		return err
	}
	return in.moved(ctx, tx, s, f.Incarnation)
}

// moved ends an event where it stands and gives its revision another place,
// after the same slots, unless a later one is on its way. Where its customer was
// merged away since, the record is read again: its place is behind the merge, and it
// names another customer.
func (in *Ingest) moved(ctx context.Context, tx *store.Tx, s *stored, life int64) error {
	e := s.event
	var later, merged bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM event WHERE route = $1 AND ref = $2 AND (rev > $3 OR rev = $3 AND slot_no > $4)) OR EXISTS (SELECT 1 FROM alias WHERE ref = $2),
		EXISTS (SELECT 1 FROM alias WHERE ref = $5)`, e.Route, e.Ref.String(), e.Rev, e.SlotNo, e.Lane).Scan(&later, &merged)
	if err != nil {
		return err
	}
	outcome := "moved"
	if later || merged {
		outcome = "superseded"
	}
	if err := endEvent(tx, e.ID, outcome, life); err != nil || later {
		return err
	}
	if merged {
		return in.askFor(tx, e.Ref, event.Requeue, e.Class)
	}
	route, ok := in.deps.Registry.Route(e.Route)
	if !ok {
		return nil // the route was taken away; nothing is owed to it any more
	}
	e.SlotNo, e.Render, e.Cause = e.SlotNo+1, 1, event.Requeue
	return in.place(ctx, tx, route, e, s.trace)
}

// askFor has a record read, and admitted whether or not it says anything new.
func (in *Ingest) askFor(tx *store.Tx, ref event.Ref, cause event.Cause, class event.Class) error {
	s := in.sourceOf(ref)
	if s == nil {
		return nil
	}
	signal(s.due)
	return putHint(tx, s.config.ID, ref, cause, class, "")
}

func endEvent(tx *store.Tx, id, outcome string, life int64) error {
	_, err := tx.Exec(`UPDATE event SET ended_at = $1, outcome = $2, life = $3 WHERE event_id = $4`, tx.Now(), outcome, life, id)
	return err
}

// rerender publishes the slot's event once more, to be rendered by the mapping
// that is in force now.
func (in *Ingest) rerender(tx *store.Tx, f *trail.Fact) error {
	s, err := heard(tx, f)
	if err != nil || s == nil {
		return err
	}
	s.event.Render = max(s.event.Render, f.Render) + 1
	body, err := event.Encode(s.event)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE event SET body = $1, published_at = NULL, ended_at = 0, outcome = '', life = $2 WHERE event_id = $3`, body, f.Incarnation, s.event.ID)
	return err
}

// reissue has a record admitted once more whose document somebody deleted.
func (in *Ingest) reissue(tx *store.Tx, f *trail.Fact) error {
	if f.Outcome != "reissue" || f.Posting == nil {
		return nil
	}
	ref, err := event.ParseRef(f.Posting.SourceRef)
	if err != nil {
		return nil
	}
	return in.askFor(tx, ref, event.Reissue, event.Bulk)
}
