package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var common embed.FS

// ErrNewerSchema means that a newer program has changed the database more than
// this one can bear.
var ErrNewerSchema = errors.New("the database was written by a newer version of this program")

// ahead is how many migrations a schema may have that this program does not know.
// Each migration must leave what the program before it reads and writes, so that
// replicas of two versions run side by side and an update can be taken back; what
// two of them do to it, nobody has tried.
const ahead = 1

// oldestPostgres is the first version whose behaviour is tested.
const oldestPostgres = 150000

// migrate applies the common migrations, then the service's own; each set has
// its own version table, so either may grow without the other.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, own fs.FS) error {
	if err := apply(ctx, db, dialect, common, "schema_common"); err != nil {
		return err
	}
	if own == nil {
		return nil
	}
	return apply(ctx, db, dialect, own, "schema_service")
}

func apply(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS, table string) error {
	if names, err := fs.Glob(files, "*.sql"); err != nil || len(names) == 0 {
		sub, err := fs.Sub(files, "migrations")
		if err != nil {
			return fmt.Errorf("find the migrations of %s: %w", table, err)
		}
		files = sub
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations of %s: %w", table, err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	if have > want && have <= want+ahead {
		return nil
	}
	if have > want {
		return fmt.Errorf("%w: %s is at version %d, this program knows %d; run the newer program, or restore a backup from before it", ErrNewerSchema, table, have, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", table, err)
	}
	return nil
}

// migratePostgres makes the schema and migrates it under a lock, so that
// replicas that start together do it one after the other.
func migratePostgres(ctx context.Context, config *pgx.ConnConfig, a access, schema string, key int64, own fs.FS) error {
	config = config.Copy()
	config.RuntimeParams["lock_timeout"] = "0"
	lock, err := a.connect(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = lock.Close(closing) // which frees the lock
	}()
	if err := suits(ctx, lock); err != nil {
		return err
	}
	var writes int
	if err := lock.QueryRow(ctx, takesWrites).Scan(&writes); err != nil {
		return err
	}
	if writes == 0 {
		return readOnly(fmt.Sprintf("%s:%d", config.Host, config.Port), nil)
	}
	if _, err := lock.Exec(ctx, `SELECT pg_advisory_lock($1)`, ^key); err != nil { // not the writers' lock
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	var there bool
	if err := lock.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := lock.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return fmt.Errorf("make schema %s: %w", schema, err)
		}
	}
	db := a.open(config)
	defer func() { _ = db.Close() }()
	return migrate(ctx, db, goose.DialectPostgres, own)
}

// suits refuses a server that would keep other promises.
func suits(ctx context.Context, conn *pgx.Conn) error {
	var version int64
	var encoding string
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding')`).Scan(&version, &encoding); err != nil {
		return err
	}
	if version < oldestPostgres {
		return fmt.Errorf("the server is PostgreSQL %d: 15 or newer is needed", version/10000)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database is encoded in %s: make one with ENCODING 'UTF8'", encoding)
	}
	return nil
}
