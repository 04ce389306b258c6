package store

import (
	"context"
	"errors"
	"fmt"
	"tieout.dev/services/internal/crash"
	"time"
)

// settleWithin bounds what ends a transaction, which no longer follows the
// caller's context.
const settleWithin = 30 * time.Second

// ErrReadOnly is returned by Exec inside Read.
var ErrReadOnly = errors.New("this transaction only reads")

// session is one transaction of a database.
type session interface {
	exec(ctx context.Context, query string, args []any) (int64, error)
	query(ctx context.Context, query string, args []any) (rowSource, error)
	commit(ctx context.Context) error
	rollback(ctx context.Context) error
}

// Tx is one transaction. It lives as long as the function it was given to and
// belongs to its goroutine. After a failed statement nothing more is done and
// the transaction cannot be committed, on SQLite as on PostgreSQL.
type Tx struct {
	ctx      context.Context
	db       *DB
	session  session
	readOnly bool
	err      error
}

// Write runs fn in a transaction that no other writer of this database overlaps,
// be it in another process, and commits if fn returns nil. It is never repeated
// by itself. After an error the transaction has left nothing, unless the
// connection broke while it was being committed: then it may have left all.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) (err error) {
	if db.readOnly {
		return fmt.Errorf("write %s: %w", db.name, ErrReadOnly)
	}
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait to write %s: %w", db.name, ctx.Err())
	}
	defer func() { <-db.turn }()
	s, err := db.engine.beginWrite(ctx)
	if err != nil {
		return fmt.Errorf("begin in %s: %w", db.name, db.noted(err))
	}
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	crash.At(crash.StoreBegun)
	tx := &Tx{ctx: ctx, db: db, session: s}
	committed := false
	defer func() {
		if !committed { // also when fn panics
			_ = s.rollback(settling)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return tx.err
	}
	crash.At(crash.StoreBeforeCommit)
	if err := s.commit(settling); err != nil {
		return fmt.Errorf("commit in %s: %w", db.name, db.noted(err))
	}
	committed = true
	crash.At(crash.StoreAfterCommit)
	return nil
}

// Read runs fn on one snapshot of the database, beside the writer.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) error {
	s, err := db.engine.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("begin to read %s: %w", db.name, err)
	}
	defer func() {
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
		defer cancel()
		_ = s.rollback(settling)
	}()
	tx := &Tx{ctx: ctx, db: db, session: s, readOnly: true}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

// Context is the context the transaction was begun with.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Now is the time as it is stored.
func (tx *Tx) Now() int64 { return tx.db.Now() }

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	if tx.err != nil {
		return 0, tx.err
	}
	if tx.readOnly {
		return 0, tx.fail(ErrReadOnly)
	}
	n, err := tx.session.exec(tx.ctx, query, args)
	if err != nil {
		return 0, tx.fail(err)
	}
	return n, nil
}

// Query runs a statement that returns rows. The rows must be closed.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	rows, err := tx.session.query(tx.ctx, query, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	return &Rows{rows: rows, tx: tx}, nil
}

// QueryRow runs a statement that returns at most one row of interest; what went
// wrong, or sql.ErrNoRows, is returned by Scan.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	rows, err := tx.Query(query, args...)
	return &Row{rows: rows, err: err}
}

func (tx *Tx) fail(err error) error {
	if !tx.readOnly {
		err = tx.db.noted(err)
	}
	if tx.err == nil {
		tx.err = err
	}
	return err
}
