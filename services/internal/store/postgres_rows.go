package store

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// pgSession runs statements on a connection that is in a transaction.
type pgSession struct{ conn *pgx.Conn }

func (s pgSession) exec(ctx context.Context, query string, args []any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	tag, err := s.conn.Exec(ctx, query, storable(args)...)
	return tag.RowsAffected(), err
}

// query reads all rows before it returns: a connection of PostgreSQL answers one
// statement at a time, and what is done with a row often asks another one.
func (s pgSession) query(ctx context.Context, query string, args []any) (rowSource, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	rows, err := s.conn.Query(ctx, query, storable(args)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := &pgRows{types: s.conn.TypeMap(), at: -1}
	for rows.Next() {
		out.rows = append(out.rows, copied(rows.RawValues()))
	}
	out.fields = slices.Clone(rows.FieldDescriptions())
	return out, rows.Err()
}

func copied(raw [][]byte) [][]byte {
	out := make([][]byte, len(raw))
	for i, v := range raw {
		if v != nil {
			out[i] = append(make([]byte, 0, len(v)), v...)
		}
	}
	return out
}

// storable returns the arguments as PostgreSQL takes them. Its text has neither
// NUL nor broken UTF-8, while a vendor's record may: both become U+FFFD, in what
// is stored as in what is searched for. Truth is 1 and 0, as the columns are.
func storable(args []any) []any {
	var out []any
	for i, arg := range args {
		clean, changed := storableValue(arg)
		if !changed {
			continue
		}
		if out == nil {
			out = slices.Clone(args)
		}
		out[i] = clean
	}
	if out == nil {
		return args
	}
	return out
}

func storableValue(arg any) (any, bool) {
	switch v := reflect.ValueOf(arg); v.Kind() {
	case reflect.String:
		text := v.String()
		clean := strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
		return clean, clean != text
	case reflect.Bool:
		if v.Bool() {
			return int64(1), true
		}
		return int64(0), true
	}
	return arg, false
}

// pgRows are rows that were read.
type pgRows struct {
	types  *pgtype.Map
	fields []pgconn.FieldDescription
	rows   [][][]byte
	at     int
}

// Next moves to the next row.
func (r *pgRows) Next() bool {
	r.at++
	return r.at < len(r.rows)
}

// Scan reads the current row.
func (r *pgRows) Scan(dest ...any) error {
	return pgx.ScanRow(r.types, r.fields, r.rows[r.at], dest...)
}

// Err is nil: all rows are here.
func (r *pgRows) Err() error { return nil }

// Close forgets the rows.
func (r *pgRows) Close() error {
	r.rows = nil
	return nil
}
