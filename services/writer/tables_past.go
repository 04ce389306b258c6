package writer

import (
	"database/sql"
	"errors"
	"slices"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/writer/protocol"
)

// Past tells what is known of a slot's record from the life that is lost.
func (t tables) Past(s *protocol.Slot) (*protocol.Past, error) {
	p := &protocol.Past{}
	var state string
	err := t.tx.QueryRow(`SELECT state FROM recalled WHERE target = $1 AND subject = $2`, t.target, s.Subject).Scan(&state)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	p.Recall = protocol.RecallState(state)
	if err := t.told(s, p); err != nil {
		return nil, err
	}
	if err := t.absorbed(s.Subject, p); err != nil {
		return nil, err
	}
	p.Parts, err = t.ownParts(s.Subject)
	return p, err
}

func (t tables) told(s *protocol.Slot, p *protocol.Past) error {
	rows, err := t.tx.Query(`SELECT event_id, lane, seq, rev, outcome, is_merge, EXISTS (SELECT 1 FROM slot s WHERE s.target = told.target AND s.lane = told.lane AND s.seq = told.seq)
		FROM told WHERE target = $1 AND (subject = $2 OR event_id = $3) ORDER BY event_id`, t.target, s.Subject, s.EventID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x protocol.Told
		var outcome string
		var merge int64
		var stored bool
		if err := rows.Scan(&x.EventID, &x.Lane, &x.Seq, &x.Rev, &outcome, &merge, &stored); err != nil {
			return err
		}
		x.Outcome, x.Merge = protocol.Outcome(outcome), merge == 1
		if x.EventID == s.EventID {
			p.Ended = x.Outcome
		}
		p.Newer = p.Newer || x.Rev > s.Rev && x.Counts()
		p.Missing = p.Missing || !stored
	}
	return rows.Err()
}

// absorbed looks for a record among those that the merges that were told name as
// merged away.
func (t tables) absorbed(subject string, p *protocol.Past) error {
	rows, err := t.tx.Query(`SELECT s.doc FROM told LEFT JOIN slot s ON s.target = told.target AND s.lane = told.lane AND s.seq = told.seq
		WHERE told.target = $1 AND told.is_merge = 1 AND told.subject <> $2 ORDER BY told.event_id`, t.target, subject)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return err
		}
		if doc == nil {
			p.Missing = true
			continue
		}
		r, err := document.Decode(doc)
		if err != nil {
			return err
		}
		p.Absorbed = p.Absorbed || slices.Contains(r.MergedFrom, subject)
	}
	return rows.Err()
}

// ownParts are the own parts of all stored slots of a record.
func (t tables) ownParts(subject string) ([]document.Part, error) {
	rows, err := t.tx.Query(`SELECT doc FROM slot WHERE target = $1 AND subject = $2 ORDER BY rev, lane, seq`, t.target, subject)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []document.Part
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		r, err := document.Decode(doc)
		if err != nil {
			return nil, err
		}
		for i := range r.Parts {
			if r.Parts[i].Mode == document.Own {
				out = append(out, r.Parts[i])
			}
		}
	}
	return out, rows.Err()
}
