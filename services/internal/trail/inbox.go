package trail

import (
	"database/sql"
	"errors"
	"fmt"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/store"
)

// Take returns which of the facts are new and in turn, and moves the heads of
// their streams, in the transaction that stores them and moves the offset row.
// A fact at or below the head was taken already. One beyond a gap is skipped:
// the producer's completer sends it again together with what is missing.
func Take(tx *store.Tx, facts []*Fact) ([]*Fact, error) {
	type head struct{ before, now int64 }
	heads := map[string]*head{}
	taken := make([]*Fact, 0, len(facts))
	for _, f := range facts {
		name := numbered(f.Stream, f.Incarnation)
		h := heads[name]
		if h == nil {
			seq, err := readHead(tx, name)
			if err != nil {
				return nil, err
			}
			h = &head{seq, seq}
			heads[name] = h
		}
		if f.Seq == h.now+1 {
			h.now++
			taken = append(taken, f)
		}
	}
	for name, h := range heads {
		if h.now == h.before {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO inbox_head (stream, seq) VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq`, name, h.now); err != nil {
			return nil, fmt.Errorf("move head of %s: %w", name, err)
		}
	}
	crash.At(crash.TrailFactsTaken)
	return taken, nil
}

// Heads fills in, for each stream and incarnation, the number of the last fact
// that was taken; 0 if none was.
func Heads(tx *store.Tx, streams []Head) ([]Head, error) {
	out := make([]Head, len(streams))
	for i, h := range streams {
		seq, err := readHead(tx, numbered(h.Stream, h.Incarnation))
		if err != nil {
			return nil, err
		}
		out[i] = Head{h.Stream, h.Incarnation, seq}
	}
	return out, nil
}

func readHead(tx *store.Tx, name string) (seq int64, err error) {
	err = tx.QueryRow(`SELECT seq FROM inbox_head WHERE stream = $1`, name).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read head of %s: %w", name, err)
	}
	return seq, nil
}
