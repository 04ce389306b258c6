package trail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tieout.dev/services/internal/store"
)

const (
	completeEvery = time.Minute
	// settle is how long a consumer has to take what was published.
	settle = time.Minute
	// completeBatch bounds what is sent again for one stream in one round.
	completeBatch = 5000
	keepPublished = 30 * 24 * time.Hour
	cleanBatch    = 5000
)

// AskHeads asks a consumer of the trail for the last fact it took of each
// stream and incarnation, 0 where it took none.
type AskHeads func(ctx context.Context, streams []Head) ([]Head, error)

// Completer heals every loss between a producer's outbox and the consumers of
// the trail: a hole, a lost tail, a lost last fact. Each minute it compares what
// was published more than a minute ago with what each consumer has, and has the
// relay send again what is missing, unless the consumer is still getting on.
type Completer struct {
	db        *store.DB
	relay     *Relay
	consumers map[string]AskHeads
	log       *slog.Logger
	seen      map[string]int64 // consumer and stream -> head a round ago
}

// NewCompleter makes a completer for the outbox of db; Run does the work.
func NewCompleter(db *store.DB, relay *Relay, consumers map[string]AskHeads, logger *slog.Logger) *Completer {
	if logger == nil {
		logger = slog.Default()
	}
	return &Completer{db: db, relay: relay, consumers: consumers, log: logger, seen: map[string]int64{}}
}

// Run compares every minute until ctx ends.
func (c *Completer) Run(ctx context.Context) error {
	tick := time.NewTicker(c.db.Rest(completeEvery))
	defer tick.Stop()
	for {
		if _, err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "the trail could not be compared", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round compares once and returns how many facts are sent again.
func (c *Completer) Round(ctx context.Context) (again int64, err error) {
	published, err := c.published(ctx)
	if err != nil {
		return 0, err
	}
	had := make(heads, len(published)) // what every consumer has
	for _, h := range published {
		had[numbered(h.Stream, h.Incarnation)] = h.Seq
	}
	var errs []error
	for name, ask := range c.consumers {
		n, taken, err := c.compare(ctx, name, ask, published)
		again += n
		if err != nil {
			errs = append(errs, fmt.Errorf("compare with %s: %w", name, err))
		}
		had.lower(taken) // of one that did not answer nothing is known: it has nothing
	}
	if again > 0 {
		c.relay.Wake()
	}
	return again, errors.Join(append(errs, c.clean(ctx, had))...)
}

// heads are the last numbers of streams.
type heads map[string]int64

func (h heads) lower(other heads) {
	for name, seq := range h {
		h[name] = min(seq, other[name])
	}
}

// published lists the streams of the outbox with the last number that was
// published long enough ago.
func (c *Completer) published(ctx context.Context) (heads []Head, err error) {
	err = c.db.Read(ctx, func(tx *store.Tx) error {
		for name := ""; ; {
			var next sql.NullString // stepping from stream to stream reads an index entry each
			if err := tx.QueryRow(`SELECT min(stream) FROM outbox WHERE stream > $1`, name).Scan(&next); err != nil || !next.Valid {
				return err
			}
			name = next.String
			h := Head{}
			h.Stream, h.Incarnation = unnumbered(name)
			err := tx.QueryRow(`SELECT seq FROM outbox WHERE stream = $1 AND published_at <= $2 ORDER BY seq DESC LIMIT 1`,
				name, tx.Now()-settle.Microseconds()).Scan(&h.Seq)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			heads = append(heads, h)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list published facts: %w", err)
	}
	return heads, nil
}

// compare sends a consumer again what it lacks, and returns what it has.
func (c *Completer) compare(ctx context.Context, consumer string, ask AskHeads, published []Head) (again int64, taken heads, err error) {
	if len(published) == 0 {
		return 0, nil, nil
	}
	answer, err := ask(ctx, published)
	if err != nil {
		return 0, nil, err
	}
	last := make(heads, len(published))
	for _, h := range published {
		last[numbered(h.Stream, h.Incarnation)] = h.Seq
	}
	taken = make(heads, len(answer))
	for _, h := range answer {
		name := numbered(h.Stream, h.Incarnation)
		taken[name] = h.Seq
		key := consumer + " " + name
		before, known := c.seen[key]
		c.seen[key] = h.Seq
		if h.Seq >= last[name] || known && h.Seq > before {
			continue
		}
		n, err := c.resend(ctx, name, h.Seq)
		if err != nil {
			return again, taken, err
		}
		if n > 0 {
			c.log.InfoContext(ctx, "facts are sent again", "consumer", consumer, "stream", name, "after", h.Seq, "facts", n)
		}
		again += n
	}
	return again, taken, nil
}

// resend takes back the flag of what follows the head, oldest first.
func (c *Completer) resend(ctx context.Context, name string, head int64) (n int64, err error) {
	err = c.db.Write(ctx, func(tx *store.Tx) error {
		n, err = tx.Exec(`UPDATE outbox SET published_at = NULL WHERE stream = $1 AND seq > $2 AND seq <= $3 AND published_at <= $4`,
			name, head, head+completeBatch, tx.Now()-settle.Microseconds())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send %s again: %w", name, err)
	}
	return n, nil
}

// clean removes what was published 30 days ago and every consumer has: one that
// was away for longer finds all that it lacks.
func (c *Completer) clean(ctx context.Context, had heads) error {
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		for name, seq := range had {
			_, err := tx.Exec(`DELETE FROM outbox WHERE stream = $1 AND seq IN (SELECT seq FROM outbox WHERE stream = $1 AND seq <= $2 AND published_at < $3 ORDER BY seq LIMIT $4)`,
				name, seq, tx.Now()-keepPublished.Microseconds(), cleanBatch)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clean outbox: %w", err)
	}
	return nil
}
