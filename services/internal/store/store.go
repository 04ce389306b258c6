// Package store is one database of one service: opening, migrating, writing in
// one transaction at a time, reading beside it, and the few rows that every
// service has (offsets, leases).
//
// SQL text is written once for SQLite and PostgreSQL: $1 placeholders, types
// TEXT, BIGINT and BYTEA, times in microseconds from the program's clock. Both
// keep the same promises: writers follow one another, also those of other
// processes; a reader sees one moment; a failed statement ends its transaction.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"tieout.dev/services/internal/trust"
)

// readers bounds the connections that read beside the one that writes.
const readers = 4

// Config says which database to open.
type Config struct {
	// Path is the SQLite file; it is made if it is missing.
	Path string
	// URL of a PostgreSQL database, instead of a file.
	URL string
	// TLS to the PostgreSQL server, and the password, where they are not in URL.
	// Both are read from their files for each connection.
	TLS      trust.TLS
	Password trust.Secret
	// Schema of the PostgreSQL database, made if it is missing; "" is Name.
	Schema string
	// Name is the service's name; it appears in errors.
	Name string
	// Migrations holds the service's own goose files (*.sql at the root, or in
	// a folder migrations). Nil means the common tables alone.
	Migrations fs.FS
	// Rest is the least that a loop rests which looks into this database on its
	// own; 0 leaves each its own rest. Such loops are woken when there is
	// something to do, and virtual time passes faster while they are not.
	Rest time.Duration
	// Clock is the source of every time that is stored; nil is time.Now.
	Clock func() time.Time
	// ServerTime: Clock is corrected by the server's, where there is a server.
	ServerTime bool
}

// engine is what differs between the databases.
type engine interface {
	// beginWrite begins the one transaction that writes; its caller has the turn.
	beginWrite(ctx context.Context) (session, error)
	// beginRead begins a transaction on one snapshot.
	beginRead(ctx context.Context) (session, error)
	// alive tells whether what is read and written here can be.
	alive(tx *Tx) error
	// room tells whether there is some, where that can be tried beside the writer.
	room() error
	// cannotWrite tells errors that the next write meets as well, and where.
	cannotWrite(err error) (where string, full, is bool)
	close() error
}

// DB is one open database. It is safe for concurrent use.
type DB struct {
	name   string
	clock  func() time.Time
	behind atomic.Int64 // what the server's clock is ahead of ours by, µs
	rest   time.Duration
	turn   chan struct{} // who holds it may write
	engine engine
	// readOnly: Write is refused.
	readOnly bool
	// serverTime: Now is the server's.
	serverTime bool
	trouble    atomic.Pointer[error] // why nothing can be written; nil: never asked
}

// Open opens the database and brings its schema up to this program's. One that is
// a single migration ahead is used as it is, one beyond is refused.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db := &DB{name: cfg.Name, clock: cfg.Clock, rest: cfg.Rest, turn: make(chan struct{}, 1)}
	if db.clock == nil {
		db.clock = time.Now
	}
	open := func() (engine, error) { return openSQLite(ctx, cfg.Path, cfg.Migrations) }
	if cfg.URL != "" {
		open = func() (engine, error) { return openPostgres(ctx, cfg) }
		db.serverTime = cfg.ServerTime
	}
	var err error
	if db.engine, err = open(); err != nil {
		return nil, fmt.Errorf("open database %s: %w", cfg.Name, err)
	}
	if err := db.Read(ctx, db.follow); err != nil {
		return nil, errors.Join(fmt.Errorf("ask database %s for its time: %w", cfg.Name, err), db.engine.close())
	}
	return db, nil
}

// Close waits for the writer in progress and closes the database.
func (db *DB) Close() error {
	db.turn <- struct{}{}
	defer func() { <-db.turn }()
	return db.engine.close()
}

// Rest is how long a loop that would look again after d rests.
func (db *DB) Rest(d time.Duration) time.Duration { return max(d, db.rest) }

// Micros is t as it is stored; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is a stored time again, in UTC; 0 is the zero time.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
