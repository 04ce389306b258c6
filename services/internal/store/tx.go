package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// statements bounds how many prepared statements the writing connection keeps;
// further texts are prepared each time.
const statements = 256

// ErrReadOnly is returned by Exec inside Read.
var ErrReadOnly = errors.New("this transaction only reads")

// Tx is one transaction. It lives as long as the function it was given to and
// belongs to its goroutine. After a failed statement nothing more is done and
// the transaction cannot be committed, on SQLite as on PostgreSQL.
type Tx struct {
	ctx    context.Context
	db     *DB
	reader *sql.Tx // set if it only reads
	err    error
}

// Write runs fn in a transaction that no other writer overlaps, and commits if
// fn returns nil. It is never repeated by itself.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) (err error) {
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait to write %s: %w", db.name, ctx.Err())
	}
	defer func() { <-db.turn }()
	if _, err := db.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin in %s: %w", db.name, err)
	}
	tx := &Tx{ctx: ctx, db: db}
	settled := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if !committed { // also when fn panics; SQLite itself may have rolled back already
			_, _ = db.conn.ExecContext(settled, "ROLLBACK")
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return tx.err
	}
	if _, err := db.conn.ExecContext(settled, "COMMIT"); err != nil {
		return fmt.Errorf("commit in %s: %w", db.name, err)
	}
	committed = true
	return nil
}

// Read runs fn on one snapshot of the database, beside the writer.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) error {
	reader, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read %s: %w", db.name, err)
	}
	defer func() { _ = reader.Rollback() }()
	tx := &Tx{ctx: ctx, db: db, reader: reader}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

// Context is the context the transaction was begun with.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Now is the injected clock's time as it is stored.
func (tx *Tx) Now() int64 { return tx.db.Now() }

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	if tx.err != nil {
		return 0, tx.err
	}
	if tx.reader != nil {
		return 0, tx.fail(ErrReadOnly)
	}
	stmt, err := tx.take(query)
	if err != nil {
		return 0, tx.fail(err)
	}
	defer tx.give(query, stmt)
	res, err := stmt.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	return res.RowsAffected()
}

// Query runs a statement that returns rows. The rows must be closed.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	if tx.reader != nil {
		rows, err := tx.reader.QueryContext(tx.ctx, query, args...)
		if err != nil {
			return nil, tx.fail(err)
		}
		return &Rows{rows: rows, tx: tx}, nil
	}
	stmt, err := tx.take(query)
	if err != nil {
		return nil, tx.fail(err)
	}
	rows, err := stmt.QueryContext(tx.ctx, args...)
	if err != nil {
		tx.give(query, stmt)
		return nil, tx.fail(err)
	}
	return &Rows{rows: rows, tx: tx, query: query, stmt: stmt}, nil
}

// QueryRow runs a statement that returns at most one row of interest; what went
// wrong, or sql.ErrNoRows, is returned by Scan.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	rows, err := tx.Query(query, args...)
	return &Row{rows: rows, err: err}
}

// take lends the prepared statement of a text; while it is lent, a nested use
// of the same text gets another one.
func (tx *Tx) take(query string) (*sql.Stmt, error) {
	if stmt, ok := tx.db.stmts[query]; ok {
		delete(tx.db.stmts, query)
		return stmt, nil
	}
	return tx.db.conn.PrepareContext(tx.ctx, query)
}

func (tx *Tx) give(query string, stmt *sql.Stmt) {
	if _, taken := tx.db.stmts[query]; taken || len(tx.db.stmts) >= statements || tx.err != nil {
		_ = stmt.Close()
		return
	}
	tx.db.stmts[query] = stmt
}

func (tx *Tx) fail(err error) error {
	if tx.err == nil {
		tx.err = err
	}
	return err
}
