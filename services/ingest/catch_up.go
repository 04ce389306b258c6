package ingest

import (
	"fmt"
	"time"

	"tieout.dev/services/internal/store"
)

// catchUpMost bounds how long a writer that was set back as well waits for what is read
// again: a source that does not answer holds the books up no longer.
const catchUpMost = 15 * time.Minute

// catchUp begins to count what is read again: all that is asked for by the end of a poll
// of every source that begins now or later. Polls find what this database never knew.
func (in *Ingest) catchUp(tx *store.Tx) error {
	if _, err := tx.Exec(`DELETE FROM catch_up`); err != nil {
		return err
	}
	for _, s := range in.sources {
		if _, err := tx.Exec(`INSERT INTO catch_up (connection, poll, since) VALUES ($1, COALESCE((SELECT started FROM poll WHERE connection = $1), 0), $2)`, s.config.ID, tx.Now()); err != nil {
			return err
		}
	}
	return nil
}

// caughtUp fails while records are to be read again since the database was set back: what
// is newest of them may be lost here, and stand in the books.
func (in *Ingest) caughtUp(tx *store.Tx) error {
	if err := in.lookedBack(); err != nil {
		return err
	}
	if _, err := floorOf(tx); err != nil {
		return err
	}
	var lists, records int64
	since := tx.Now() - catchUpMost.Microseconds()
	err := tx.QueryRow(`SELECT (SELECT COUNT(*) FROM catch_up WHERE listed < 0 AND since > $1),
		(SELECT COUNT(*) FROM hint h JOIN catch_up c ON c.connection = h.connection WHERE c.since > $1 AND (c.listed < 0 OR h.asked_no <= c.listed))`, since).Scan(&lists, &records)
	if err == nil && lists+records > 0 {
		err = fmt.Errorf("the database was set back; %d sources are still to be listed and %d records to be read, which is waited for %s at most", lists, records, catchUpMost)
	}
	return err
}
