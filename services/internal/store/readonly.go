package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// OpenReadOnly opens a database to look at it, beside the process that it
// belongs to or after that has ended: nothing is made, migrated or written, and
// Write is refused. Migrations in cfg are not looked at.
func OpenReadOnly(ctx context.Context, cfg Config) (*DB, error) {
	db := &DB{name: cfg.Name, clock: cfg.Clock, turn: make(chan struct{}, 1), readOnly: true}
	if db.clock == nil {
		return nil, errors.New("open to read: a clock is needed")
	}
	open := readSQLite
	if cfg.URL != "" {
		open = readPostgres
	}
	var err error
	if db.engine, err = open(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open database %s to read: %w", cfg.Name, err)
	}
	return db, nil
}

func readSQLite(ctx context.Context, cfg Config) (engine, error) {
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)", "query_only(1)"}}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: cfg.Path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(readers)
	e := &sqlite{read: pool, stmts: map[string]*sql.Stmt{}}
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func readPostgres(ctx context.Context, cfg Config) (engine, error) {
	config, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	if cfg.Schema == "" {
		cfg.Schema = cfg.Name
	}
	parameters(config, cfg.Name+"-reader", cfg.Schema)
	p := &postgres{config: config, access: access{cfg.TLS, cfg.Password}}
	if p.readers, err = p.access.pool(ctx, cfg.URL, config); err != nil {
		return nil, err
	}
	var there bool
	err = p.readers.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, cfg.Schema).Scan(&there)
	if err == nil && !there {
		err = fmt.Errorf("there is no schema %s", pgx.Identifier{cfg.Schema}.Sanitize())
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}
