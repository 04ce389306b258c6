package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var common embed.FS

// ErrNewerSchema means that a newer program has already changed the database.
var ErrNewerSchema = errors.New("the database was written by a newer version of this program")

// migrate applies the common migrations, then the service's own; each set has
// its own version table, so either may grow without the other.
func migrate(ctx context.Context, db *sql.DB, own fs.FS) error {
	if err := apply(ctx, db, common, "schema_common"); err != nil {
		return err
	}
	if own == nil {
		return nil
	}
	return apply(ctx, db, own, "schema_service")
}

func apply(ctx context.Context, db *sql.DB, files fs.FS, table string) error {
	if names, err := fs.Glob(files, "*.sql"); err != nil || len(names) == 0 {
		sub, err := fs.Sub(files, "migrations")
		if err != nil {
			return fmt.Errorf("find the migrations of %s: %w", table, err)
		}
		files = sub
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations of %s: %w", table, err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	if have > want {
		return fmt.Errorf("%w: %s is at version %d, this program knows %d", ErrNewerSchema, table, have, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", table, err)
	}
	return nil
}
