package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// errLifting: nothing is admitted before it is known which numbers were given
// in the life that is lost.
var errLifting = errors.New("the database was set back; records are read again once the writer has told which numbers it holds")

// askAgain is how long is waited before others are asked once more.
const askAgain = time.Second

// lookBack asks the audit, once per process start and before anything is
// admitted, whether it has facts of ours that this database does not know.
func (in *Ingest) lookBack(ctx context.Context) error {
	back, err := trail.LookBack(ctx, in.deps.DB, in.deps.Takers["audit"], func(err error) {
		in.deps.Log.WarnContext(ctx, "nothing is admitted before the audit has told what it knows of this database", "error", err)
	})
	if back {
		_, err = in.MarkRestored(ctx, "the audit has facts that this database does not know")
	}
	return err
}

// lookedBack fails while it is not known whether this database went back.
func (in *Ingest) lookedBack() error {
	if !in.looked.Load() && len(in.deps.Takers) > 0 {
		return errLifting
	}
	return nil
}

// onGap: the group had read facts that this database does not know.
func (in *Ingest) onGap(ctx context.Context, g stream.Gap) error {
	if g.Kind != stream.GapBehindGroup {
		return nil
	}
	var lifting int64
	err := in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT lifting FROM book WHERE id = 1`).Scan(&lifting)
	})
	if err != nil || lifting == 1 || in.marked.Load() { // the row is behind until it has read what it had read
		return err
	}
	_, err = in.MarkRestored(ctx, fmt.Sprintf("the group had read %s/%d up to %d, this database up to %d", g.Topic, g.Partition, g.Group, g.Row))
	return err
}

// MarkRestored fences every process from before, doubts what the tables say of
// records, and has revisions go on above those of the life that is lost.
func (in *Ingest) MarkRestored(ctx context.Context, why string) (incarnation int64, err error) {
	in.deps.Log.WarnContext(ctx, "the database was set back; every record is read again", "why", why)
	err = in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		now := tx.Now() / 1_000_000
		if _, err := tx.Exec(`UPDATE book SET incarnation = CASE WHEN incarnation >= $1 THEN incarnation + 1 ELSE $1 END, restores = restores + 1, floor = $2, lifting = 1 WHERE id = 1`,
			now, admission.FloorFor(tx.Now())); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE object SET hash = $1`, admission.Doubted(admission.Object{}).Hash); err != nil {
			return err
		}
		incarnation, err = trail.Reincarnate(tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("mark ingest's database as restored: %w", err)
	}
	in.marked.Store(true)
	signal(in.restored)
	return incarnation, nil
}

// lifts begins again above what the writer holds, whenever the database was set back.
func (in *Ingest) lifts(ctx context.Context) error {
	for {
		err := in.lift(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-in.restored:
			}
			continue
		}
		in.deps.Log.WarnContext(ctx, "records are not read again yet", "error", err)
		idle.For(ctx, askAgain)
	}
}

// lift takes the numbers that the writer holds, asks for every record, and lets
// admission go on.
func (in *Ingest) lift(ctx context.Context) error {
	var lifting int64
	err := in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT lifting FROM book WHERE id = 1`).Scan(&lifting)
	})
	if err != nil || lifting == 0 {
		return err
	}
	if in.deps.Tops == nil {
		return errors.New("the writer is not connected")
	}
	for after := (LaneHead{}); ; {
		tops, err := in.deps.Tops(ctx, after)
		if err != nil {
			return err
		}
		if len(tops) == 0 {
			break
		}
		after = tops[len(tops)-1]
		err = in.deps.DB.Write(ctx, func(tx *store.Tx) error {
			for _, t := range tops {
				if err := raiseLane(tx, t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return in.readAllAgain(ctx)
}

// raiseLane has a lane's numbers go on above one that somebody holds.
func raiseLane(tx *store.Tx, t LaneHead) error {
	_, err := tx.Exec(`INSERT INTO lane (target, lane, last_seq) VALUES ($1, $2, $3) ON CONFLICT (target, lane) DO UPDATE SET last_seq = CASE WHEN lane.last_seq > $3 THEN lane.last_seq ELSE $3 END`,
		t.Target, t.Lane, t.Seq)
	return err
}

// readAllAgain asks for every record that is known; what is not known yet is
// found from the cursors, which went back too.
func (in *Ingest) readAllAgain(ctx context.Context) error {
	var asked int
	err := in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		asked = 0
		rows, err := tx.Query(`SELECT ref FROM object ORDER BY ref`)
		if err != nil {
			return err
		}
		var refs []event.Ref
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return errors.Join(err, rows.Close())
			}
			if ref, err := event.ParseRef(text); err == nil {
				refs = append(refs, ref)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, ref := range refs {
			s := in.sourceOf(ref)
			if s == nil {
				continue // a document of the books: its facts are taken once more
			}
			if err := putHint(tx, s.config.ID, ref, event.Repair, event.Bulk, ""); err != nil {
				return err
			}
			asked++
		}
		if _, err = tx.Exec(`UPDATE book SET lifting = 0 WHERE id = 1`); err != nil {
			return err
		}
		return in.catchUp(tx)
	})
	if err == nil {
		in.deps.Log.InfoContext(ctx, "every record is read again", "records", asked)
		for _, s := range in.sources {
			signal(s.due)
			signal(s.ask)
		}
	}
	return err
}

// floorOf is what revisions go on above; nothing is admitted while that is open.
func floorOf(tx *store.Tx) (floor int64, err error) {
	var lifting int64
	err = tx.QueryRow(`SELECT floor, lifting FROM book WHERE id = 1`).Scan(&floor, &lifting)
	if err == nil && lifting == 1 {
		err = errLifting
	}
	return floor, err
}
