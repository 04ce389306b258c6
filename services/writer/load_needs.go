package writer

import (
	"database/sql"
	"errors"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// after reports whether every slot that a rendering follows has ended, and
// whether those that have not are stored here.
func (l *loader) after(r *document.Rendering) (met, held bool, err error) {
	met, held = true, true
	for _, a := range r.After {
		var next int64
		err := l.tx.QueryRow(`SELECT next FROM lane WHERE target = $1 AND lane = $2`, l.v.Target, a.Lane).Scan(&next)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			met, held = false, false
		case err != nil:
			return false, false, err
		case next <= a.Seq:
			var stored bool
			if err := l.tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM slot WHERE target = $1 AND lane = $2 AND seq = $3)`, l.v.Target, a.Lane, a.Seq).Scan(&stored); err != nil {
				return false, false, err
			}
			met, held = false, held && stored
		}
	}
	return met, held, nil
}

// needed reads where the subjects that heads need are queued, and what the
// lanes that hold them wait for themselves, as far as it leads.
func (l *loader) needed() error {
	refs := map[string]bool{}
	for _, h := range l.v.Heads {
		for i := range h.Slot.Rendering.Parts {
			for _, n := range h.Slot.Rendering.Parts[i].Needs {
				if len(l.v.Links[link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}]) == 0 {
					refs[n.Ref] = true
				}
			}
		}
	}
	for next := sorted(refs); len(next) > 0; {
		ref := next[0]
		next = next[1:]
		places, err := l.places(ref)
		if err != nil {
			return err
		}
		l.v.Queued[ref] = places
		for _, p := range places {
			if _, known := l.v.Waits[p.Lane]; known {
				continue
			}
			waits, err := l.waitsOf(p.Lane)
			if err != nil {
				return err
			}
			l.v.Waits[p.Lane] = waits
			for _, w := range waits {
				if _, known := l.v.Queued[w]; !known {
					next = append(next, w)
				}
			}
		}
	}
	return nil
}

func (l *loader) places(ref string) ([]protocol.Place, error) {
	rows, err := l.tx.Query(`SELECT lane, seq FROM slot WHERE target = $1 AND subject = $2 AND state = 'queued' ORDER BY lane, seq`, l.v.Target, ref)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []protocol.Place
	for rows.Next() {
		var p protocol.Place
		if err := rows.Scan(&p.Lane, &p.Seq); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

func (l *loader) waitsOf(lane string) ([]string, error) {
	rows, err := l.tx.Query(`SELECT ref FROM wait WHERE target = $1 AND lane = $2 ORDER BY ref`, l.v.Target, lane)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var ref string
		if err := rows.Scan(&ref); err != nil {
			return nil, err
		}
		out = append(out, ref)
	}
	return out, rows.Err()
}
