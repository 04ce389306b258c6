package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite" // the driver "sqlite"
	codes "modernc.org/sqlite/lib"
)

// statements bounds how many prepared statements the writing connection keeps;
// further texts are prepared each time.
const statements = 256

// sqlite is a file, written by one connection and read beside it by others.
type sqlite struct {
	path  string
	pool  *sql.DB   // holds the writing connection and nothing else
	conn  *sql.Conn // the writing connection
	stmts map[string]*sql.Stmt
	read  *sql.DB
}

func openSQLite(ctx context.Context, path string, migrations fs.FS) (*sqlite, error) {
	e := &sqlite{path: path, stmts: map[string]*sql.Stmt{}}
	if err := e.open(ctx, path, migrations); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *sqlite) open(ctx context.Context, path string, migrations fs.FS) (err error) {
	if e.pool, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return err
	}
	e.pool.SetMaxOpenConns(1)
	if err := migrate(ctx, e.pool, goose.DialectSQLite3, migrations); err != nil {
		return err
	}
	if e.conn, err = e.pool.Conn(ctx); err != nil {
		return err
	}
	if e.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return err
	}
	e.read.SetMaxOpenConns(readers)
	e.read.SetMaxIdleConns(readers)
	return e.read.PingContext(ctx)
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

func (e *sqlite) alive(tx *Tx) error {
	var one int64
	return tx.QueryRow(`SELECT 1`).Scan(&one)
}

// probed is how much is written to see whether there is room: small transactions
// fit into what SQLite's log has already, so that they alone would not tell.
const probed = 64 << 10

// room writes to a file beside the database's and leaves it empty.
func (e *sqlite) room() (err error) {
	f, err := os.OpenFile(e.path+".check", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probed))
	_ = f.Truncate(0)
	return errors.Join(err, f.Close())
}

func (e *sqlite) cannotWrite(err error) (where string, full, is bool) {
	var said *driver.Error
	var file *fs.PathError
	switch where = filepath.Dir(e.path); {
	case errors.As(err, &said):
		switch code := said.Code(); code & 0xff {
		case codes.SQLITE_FULL:
			return where, true, true
		case codes.SQLITE_IOERR, codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN:
			return where, code == codes.SQLITE_IOERR_SHMSIZE, true
		}
	case errors.As(err, &file):
		return where, errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT), true
	}
	return where, false, false
}

func (e *sqlite) close() error {
	var errs []error
	for query, stmt := range e.stmts {
		errs = append(errs, stmt.Close())
		delete(e.stmts, query)
	}
	if e.conn != nil {
		errs = append(errs, e.conn.Close())
	}
	for _, pool := range []*sql.DB{e.read, e.pool} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// beginWrite may have begun although its context ended just then; what is left
// open would hold up every later writer.
func (e *sqlite) beginWrite(ctx context.Context) (session, error) {
	if _, err := e.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		_, _ = e.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // fails if nothing was begun
		return nil, err
	}
	return &sqliteWriter{e: e}, nil
}

func (e *sqlite) beginRead(ctx context.Context) (session, error) {
	tx, err := e.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return sqliteReader{tx}, nil
}

// sqliteReader is one snapshot.
type sqliteReader struct{ tx *sql.Tx }

func (r sqliteReader) exec(context.Context, string, []any) (int64, error) { return 0, ErrReadOnly }

func (r sqliteReader) query(ctx context.Context, query string, args []any) (rowSource, error) {
	return r.tx.QueryContext(ctx, query, args...)
}

func (r sqliteReader) commit(context.Context) error   { return r.tx.Rollback() }
func (r sqliteReader) rollback(context.Context) error { return r.tx.Rollback() }

// sqliteWriter is a transaction on the writing connection, with its prepared
// statements.
type sqliteWriter struct {
	e      *sqlite
	failed bool
}

func (w *sqliteWriter) exec(ctx context.Context, query string, args []any) (int64, error) {
	stmt, err := w.take(ctx, query)
	if err != nil {
		return 0, err
	}
	defer w.give(query, stmt)
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		w.failed = true
		return 0, err
	}
	return res.RowsAffected()
}

func (w *sqliteWriter) query(ctx context.Context, query string, args []any) (rowSource, error) {
	stmt, err := w.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		w.failed = true
		w.give(query, stmt)
		return nil, err
	}
	return &sqliteRows{Rows: rows, w: w, query: query, stmt: stmt}, nil
}

func (w *sqliteWriter) commit(ctx context.Context) error {
	_, err := w.e.conn.ExecContext(ctx, "COMMIT")
	return err
}

// rollback may find that SQLite itself has rolled back already.
func (w *sqliteWriter) rollback(ctx context.Context) error {
	_, err := w.e.conn.ExecContext(ctx, "ROLLBACK")
	return err
}

// take lends the prepared statement of a text; while it is lent, a nested use
// of the same text gets another one.
func (w *sqliteWriter) take(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := w.e.stmts[query]; ok {
		delete(w.e.stmts, query)
		return stmt, nil
	}
	return w.e.conn.PrepareContext(ctx, query)
}

func (w *sqliteWriter) give(query string, stmt *sql.Stmt) {
	if _, taken := w.e.stmts[query]; taken || len(w.e.stmts) >= statements || w.failed {
		_ = stmt.Close()
		return
	}
	w.e.stmts[query] = stmt
}

// sqliteRows gives their statement back when they are closed.
type sqliteRows struct {
	*sql.Rows
	w     *sqliteWriter
	query string
	stmt  *sql.Stmt
}

// Close ends the rows.
func (r *sqliteRows) Close() error {
	err := r.Rows.Close()
	if r.stmt != nil {
		r.w.give(r.query, r.stmt)
		r.stmt = nil
	}
	return err
}
