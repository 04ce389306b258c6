package store

import "database/sql"

// rowSource are rows as a database hands them out.
type rowSource interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Rows are the rows of a Query, used like those of database/sql.
type Rows struct {
	rows rowSource
	tx   *Tx
}

// Next moves to the next row.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	if err := r.rows.Err(); err != nil {
		_ = r.tx.fail(err)
	}
	return false
}

// Scan reads the current row.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err is what ended the rows early, if anything did.
func (r *Rows) Err() error { return r.rows.Err() }

// Close ends the rows; it may be called twice.
func (r *Rows) Close() error { return r.rows.Close() }

// Row is the answer to QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the row, or returns sql.ErrNoRows.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer func() { _ = r.rows.Close() }()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	for r.rows.Next() { // a statement with RETURNING must run to its end
	}
	return r.rows.Err()
}
