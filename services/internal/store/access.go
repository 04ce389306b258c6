package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"tieout.dev/services/internal/trust"
)

// access is what the server is shown, read from its files for each connection.
type access struct {
	tls      trust.TLS
	password trust.Secret
}

// keys is what the keys of the database begin with in the configuration.
const keys = "postgres"

// show fills in what stands in the files now.
func (a access) show(_ context.Context, c *pgx.ConnConfig) error {
	if a.tls.Enabled {
		config, err := a.tls.Config(c.Host)
		if err != nil {
			return a.tls.Explain(keys, c.Host, err)
		}
		c.TLSConfig, c.Fallbacks, c.SSLNegotiation = config, nil, "postgres" // never plain, whatever the address says
	}
	if a.password != "" {
		password, err := a.password.Read()
		if err != nil {
			return &trust.RefusedError{At: c.Host, Why: "the file with the password cannot be read", Who: trust.Operator, Next: "put a readable one where postgres.password_file says", Err: err}
		}
		c.Password = password
	}
	return nil
}

// connect makes a connection.
func (a access) connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	config = config.Copy()
	if err := a.show(ctx, config); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// pool makes a pool of connections that read.
func (a access) pool(ctx context.Context, url string, config *pgx.ConnConfig) (*pgxpool.Pool, error) {
	pool, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	pool.ConnConfig, pool.MaxConns, pool.MinConns, pool.BeforeConnect = config.Copy(), readers, 0, a.show
	return pgxpool.NewWithConfig(ctx, pool)
}

// open is a database for the library that migrates.
func (a access) open(config *pgx.ConnConfig) *sql.DB {
	return stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(a.show))
}

// What PostgreSQL says of a user that it does not let in, and of a server that
// takes no writes (appendix A of its manual).
const (
	codePassword = "28P01"
	codeRefused  = "28000" // pg_hba.conf has no line for us, or wants TLS or a certificate
	codeReadOnly = "25006"
	codeFull     = "53100"
	classSystem  = "58" // of the machine: an I/O error
)

// explain says what a person can do, where one has to.
func (a access) explain(config *pgconn.Config, err error) error {
	at := fmt.Sprintf("%s:%d", config.Host, config.Port)
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return a.tls.Explain(keys, at, err)
	}
	switch said.Code {
	case codePassword:
		return trust.Denied(keys, at, config.User, err)
	case codeRefused:
		e := &trust.RefusedError{At: at, Why: fmt.Sprintf("it does not let the user %q in like this", config.User), Who: trust.Operator,
			Next: "set postgres.tls.enabled to true if it wants TLS, or have a line for the user put into its pg_hba.conf", Err: err}
		if a.tls.Enabled {
			e.Next = "set postgres.tls.cert_file and key_file if it wants a certificate, issued to this user, or have a line for the user put into its pg_hba.conf"
		}
		return e
	case codeReadOnly:
		return readOnly(at, err)
	}
	return err
}

func readOnly(at string, err error) error {
	return &trust.RefusedError{At: at, Why: "it takes no writes: it is a standby, or was told to only read", Who: trust.Operator,
		Next: "name the primary in postgres.url, or have default_transaction_read_only set to off", Err: err}
}

// takesWrites tells whether a session can write.
const takesWrites = `SELECT CASE WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' THEN 0 ELSE 1 END`

func (p *postgres) alive(tx *Tx) error {
	var writes int64
	if err := tx.QueryRow(takesWrites).Scan(&writes); err != nil || writes == 1 || p.begin == "" { // without a beginning it is only read
		return err
	}
	return readOnly(fmt.Sprintf("%s:%d", p.config.Host, p.config.Port), nil)
}

// room: only the server knows; what it says of a write is noted.
func (p *postgres) room() error { return nil }

func (p *postgres) cannotWrite(err error) (where string, full, is bool) {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return "", false, false
	}
	full = said.Code == codeFull
	return fmt.Sprintf("%s:%d", p.config.Host, p.config.Port), full, full || strings.HasPrefix(said.Code, classSystem)
}
