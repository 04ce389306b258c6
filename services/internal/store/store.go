// Package store is one database of one service: opening, migrating, writing in
// one transaction at a time, reading beside it, and the few rows that every
// service has (offsets, leases).
//
// SQL text is written once for SQLite and PostgreSQL: $1 placeholders, types
// TEXT, BIGINT and BYTEA, times in microseconds from the program's clock.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// readers bounds the connections that read beside the one that writes.
const readers = 4

// Config says which database to open.
type Config struct {
	// Path is the SQLite file; it is made if it is missing.
	Path string
	// Name is the service's name; it appears in errors.
	Name string
	// Migrations holds the service's own goose files (*.sql at the root, or in
	// a folder migrations). Nil means the common tables alone.
	Migrations fs.FS
	// Clock is the source of every time that is stored; nil is time.Now.
	Clock func() time.Time
}

// DB is one open database. It is safe for concurrent use.
type DB struct {
	name  string
	clock func() time.Time
	pool  *sql.DB   // holds the writing connection and nothing else
	conn  *sql.Conn // the writing connection
	turn  chan struct{}
	stmts map[string]*sql.Stmt // prepared on conn; owned by the holder of turn
	read  *sql.DB
}

// Open opens the database, brings its schema up to this program's and refuses
// one that a newer program has changed.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db := &DB{name: cfg.Name, clock: cfg.Clock, turn: make(chan struct{}, 1), stmts: map[string]*sql.Stmt{}}
	if db.clock == nil {
		db.clock = time.Now
	}
	if err := db.open(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", cfg.Name, err), db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context, cfg Config) (err error) {
	if db.pool, err = sql.Open("sqlite", dsn(cfg.Path, false)); err != nil {
		return err
	}
	db.pool.SetMaxOpenConns(1)
	if err := migrate(ctx, db.pool, cfg.Migrations); err != nil {
		return err
	}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return err
	}
	if db.read, err = sql.Open("sqlite", dsn(cfg.Path, true)); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	return db.read.PingContext(ctx)
}

// dsn names the file and the settings of each connection. A commit is on disk
// when it returns: WAL with synchronous=NORMAL may lose it at a power cut.
func dsn(path string, readOnly bool) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(0)", "cache_size(-16000)"}}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// Close waits for the writer in progress and closes the database.
func (db *DB) Close() error {
	db.turn <- struct{}{}
	defer func() { <-db.turn }()
	var errs []error
	for query, stmt := range db.stmts {
		errs = append(errs, stmt.Close())
		delete(db.stmts, query)
	}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
	}
	for _, pool := range []*sql.DB{db.read, db.pool} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// Now is the clock's time as it is stored.
func (db *DB) Now() int64 { return Micros(db.clock()) }

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
