package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/trust"
)

const (
	// reconnectFor is how long beginning a transaction waits for a server that
	// restarts. Nothing was done by then, so that trying again is safe.
	reconnectFor = 10 * time.Second
	// statementTime bounds a statement: a server that hangs is a failure.
	statementTime = 30 * time.Second
	// closeTime bounds a farewell to a server that may be gone.
	closeTime = 2 * time.Second
)

// postgres is a schema of a PostgreSQL database.
//
// Its writers follow one another, as those of SQLite do: each transaction
// begins with the schema's advisory lock, which ends with it. So what a
// transaction has read is still so when it commits, also with several replicas
// of a service; nothing fails for serialization and nothing has to be repeated.
// The price is one writer at a time for each service.
type postgres struct {
	config  *pgx.ConnConfig
	access  access
	begin   string
	conn    *pgx.Conn // the writing connection; nil: to be made; owned by the holder of the turn
	readers *pgxpool.Pool
	closed  bool
}

var errClosed = errors.New("the database was closed")

// ErrAway means that the database cannot be reached, or does not let us in, now.
var ErrAway = errors.New("the database is away")

func openPostgres(ctx context.Context, cfg Config) (*postgres, error) {
	config, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the database: %w", err) // pgx leaves the password out
	}
	a := access{cfg.TLS, cfg.Password}
	p, err := newPostgres(ctx, cfg, config, a)
	if err == nil {
		return p, nil
	}
	err = a.explain(&config.Config, err)
	var connect *pgconn.ConnectError
	var broken net.Error
	var refused *trust.RefusedError
	if errors.As(err, &connect) || errors.As(err, &broken) || errors.As(err, &refused) || answered(err) && away(err) {
		err = fmt.Errorf("%w: %w", ErrAway, err)
	}
	return nil, err
}

// answered tells what a server said from what happened on the way.
func answered(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal)
}

func newPostgres(ctx context.Context, cfg Config, config *pgx.ConnConfig, a access) (*postgres, error) {
	if cfg.Schema == "" {
		cfg.Schema = cfg.Name
	}
	parameters(config, cfg.Name, cfg.Schema)
	key := lockKey(cfg.Schema)
	if err := migratePostgres(ctx, config, a, cfg.Schema, key, cfg.Migrations); err != nil {
		return nil, err
	}
	p := &postgres{config: config, access: a, begin: fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d)", key)}
	var err error
	if p.readers, err = a.pool(ctx, cfg.URL, config); err != nil {
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// parameters sets what each connection is begun with. A process that froze in a
// transaction must not hold the others up for ever.
func parameters(c *pgx.ConnConfig, name, schema string) {
	for key, value := range map[string]string{
		"application_name": "tieout-" + name, "search_path": pgx.Identifier{schema}.Sanitize(), "timezone": "UTC",
		"lock_timeout": "10s", "idle_in_transaction_session_timeout": "15s", "synchronous_commit": "on",
	} {
		if _, set := c.RuntimeParams[key]; !set || key == "search_path" {
			c.RuntimeParams[key] = value
		}
	}
	c.ConnectTimeout = 5 * time.Second
	c.DialFunc = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
}

// lockKey names a schema's advisory lock.
func lockKey(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("tieout/" + schema))
	return int64(h.Sum64() >> 1)
}

func (p *postgres) connect(ctx context.Context) (err error) {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	p.conn, err = p.access.connect(ctx, p.config)
	return err
}

// close is final: who writes afterwards gets no new connection.
func (p *postgres) close() error {
	p.drop()
	p.closed = true
	p.readers.Close()
	return nil
}

// drop gives the writing connection up; the next transaction makes another.
func (p *postgres) drop() {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = p.conn.Close(ctx)
	p.conn = nil
}

func (p *postgres) beginWrite(ctx context.Context) (session, error) {
	if p.closed {
		return nil, errClosed
	}
	err := reconnecting(ctx, func() error {
		if err := p.connect(ctx); err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, statementTime)
		defer cancel()
		_, err := p.conn.Exec(asking, p.begin)
		if err != nil {
			p.drop()
		}
		return err
	})
	if err != nil {
		return nil, p.access.explain(&p.config.Config, err)
	}
	return &pgWriter{pgSession{p.conn}, p}, nil
}

func (p *postgres) beginRead(ctx context.Context) (session, error) {
	var tx pgx.Tx
	err := reconnecting(ctx, func() (err error) {
		asking, cancel := context.WithTimeout(ctx, statementTime)
		defer cancel()
		conn, err := p.readers.Acquire(asking)
		if err != nil {
			return err
		}
		if tx, err = conn.BeginTx(asking, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
			conn.Release()
			return err
		}
		tx = &released{tx, conn}
		return nil
	})
	if err != nil {
		return nil, p.access.explain(&p.config.Config, err)
	}
	return &pgReader{pgSession{tx.Conn()}, tx}, nil
}

// released gives the connection back to the pool when the transaction ends.
type released struct {
	pgx.Tx
	conn *pgxpool.Conn
}

// Rollback ends the transaction.
func (r *released) Rollback(ctx context.Context) error {
	defer r.conn.Release()
	return r.Tx.Rollback(ctx)
}

// reconnecting does what has had no effect yet again, as long as a server takes
// to restart.
func reconnecting(ctx context.Context, do func() error) error {
	wait := 20 * time.Millisecond
	for end := time.Now().Add(reconnectFor); ; {
		err := do()
		if err == nil || !away(err) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		if !idle.For(ctx, wait) {
			return errors.Join(ctx.Err(), err)
		}
		wait = min(2*wait, time.Second)
	}
}

// away tells a server that cannot be reached now from one that refuses.
func away(err error) bool {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) {
		return true
	}
	switch refusal.Code[:2] {
	case "57", "53", "08": // shutting down or starting up, out of connections, broken
		return refusal.Code != "57014" // a statement that was cancelled
	}
	return refusal.Code == "25P03" // we were idle too long: this connection is gone
}

// pgWriter is the transaction on the writing connection.
type pgWriter struct {
	pgSession
	p *postgres
}

func (w *pgWriter) commit(ctx context.Context) error {
	tag, err := w.conn.Exec(ctx, "COMMIT")
	if err == nil && tag.String() == "ROLLBACK" {
		err = errors.New("the database rolled the transaction back")
	}
	if err != nil {
		w.p.drop()
	}
	return err
}

func (w *pgWriter) rollback(ctx context.Context) error {
	if w.conn.IsClosed() {
		w.p.drop()
		return nil
	}
	_, err := w.conn.Exec(ctx, "ROLLBACK")
	if err != nil {
		w.p.drop()
	}
	return err
}

// pgReader is a transaction on one snapshot.
type pgReader struct {
	pgSession
	tx pgx.Tx
}

func (r *pgReader) commit(ctx context.Context) error   { return r.tx.Rollback(ctx) }
func (r *pgReader) rollback(ctx context.Context) error { return r.tx.Rollback(ctx) }
