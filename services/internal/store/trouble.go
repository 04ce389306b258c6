package store

import (
	"context"
	"errors"
	"fmt"
)

// WriteError means that the database could not store what it was given, for a
// reason that the next transaction meets as well.
type WriteError struct {
	At   string // the folder, or the server's address
	Full bool   // its disk has no room
	Err  error
}

// Error is for the operator: what, where, and what next.
func (e *WriteError) Error() string {
	if e.Full {
		return fmt.Sprintf("the database cannot write: the disk of %s is full; make room there, then it goes on by itself", e.At)
	}
	return fmt.Sprintf("the database cannot write to %s: %v; once that is mended it goes on by itself", e.At, e.Err)
}

// Unwrap returns what the database said.
func (e *WriteError) Unwrap() error { return e.Err }

// Cause is for callers, who need not know where the database lies.
func (e *WriteError) Cause() string {
	if e.Full {
		return "the disk of the database is full; its operator has to make room"
	}
	return "the database cannot write; its operator has to look"
}

// Cause is why the database could not store something, in words for callers; ""
// if that was not the reason.
func Cause(err error) string {
	var e *WriteError
	if errors.As(err, &e) {
		return e.Cause()
	}
	return ""
}

// Ping asks the database for a sign of life, and whether it takes writes. What
// it finds is the database's Trouble until the next Ping.
func (db *DB) Ping(ctx context.Context) error {
	err := db.Read(ctx, func(tx *Tx) error {
		if err := db.engine.alive(tx); err != nil {
			return err
		}
		return db.follow(tx)
	})
	if err == nil && !db.readOnly {
		err = db.takes(ctx)
	}
	var known *WriteError
	if errors.As(err, &known) {
		err = known
	}
	db.trouble.Store(&err)
	return err
}

// Trouble is why the database cannot be written to, as the last Ping, or a write
// that failed since, has found it; nil if it can.
func (db *DB) Trouble() error {
	if err := db.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// takes tries whether there is room, and writes a little where a write has
// failed: only that tells that the next one will not.
func (db *DB) takes(ctx context.Context) error {
	if err := db.engine.room(); err != nil {
		return db.noted(err)
	}
	if db.Trouble() == nil {
		return nil
	}
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO lease (name, owner, valid_until) VALUES ('write', '', $1) ON CONFLICT (name) DO UPDATE SET valid_until = excluded.valid_until`, tx.Now())
		return err
	})
}

// noted keeps what says that nothing can be written now.
func (db *DB) noted(err error) error {
	where, full, is := db.engine.cannotWrite(err)
	if !is {
		return err
	}
	var noted error = &WriteError{At: where, Full: full, Err: err}
	db.trouble.Store(&noted)
	return noted
}
