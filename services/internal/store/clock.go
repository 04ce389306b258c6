package store

import "time"

const (
	// sameTime is how far two clocks may be apart to be the same for all that is
	// stored: leases last for seconds.
	sameTime = time.Second
	// askedWithin is how long the server may take to say its time for it to be believed.
	askedWithin = 500 * time.Millisecond
)

// serverTime is the server's clock in microseconds.
const serverTime = `SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT`

// Now is the time as it is stored. Hosts whose clocks differ have one time where
// they share a server: the server's.
func (db *DB) Now() int64 { return Micros(db.clock()) + db.behind.Load() }

// Ahead is how far this host's clock is ahead of the server's; 0 where they are the
// same, or where the database has no clock of its own.
func (db *DB) Ahead() time.Duration { return -time.Duration(db.behind.Load()) * time.Microsecond }

// follow asks the server what time it is.
func (db *DB) follow(tx *Tx) error {
	if !db.serverTime {
		return nil
	}
	var server int64
	asked := db.clock()
	err := tx.QueryRow(serverTime).Scan(&server)
	took := db.clock().Sub(asked)
	if err != nil || took > askedWithin {
		return err
	}
	behind := server - Micros(asked.Add(took/2))
	if time.Duration(max(behind, -behind))*time.Microsecond < sameTime {
		behind = 0
	}
	db.behind.Store(behind)
	return nil
}
