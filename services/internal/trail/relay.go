package trail

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
)

const (
	relayBatch = 1000
	// relayPoll bounds how late a row is found that nobody woke the relay for.
	relayPoll = time.Second
	// leaseMargin is how long before its end a lease is renewed: longer than
	// one produce usually takes.
	leaseMargin = 5 * time.Second
)

// Row is a message that waits to be sent.
type Row struct {
	// Stream, Lane and Seq identify the row to its source. Lane is for sources
	// whose order is by lane; the outbox leaves it empty.
	Stream, Lane string
	Seq          int64
	Record       stream.Record
}

// Source are rows that are written with the change they report.
type Source interface {
	// Name names the lease: each source has its own.
	Name() string
	// Unpublished returns the first rows that are not sent, in order.
	Unpublished(ctx context.Context, limit int) ([]Row, error)
	// MarkPublished flags what was sent.
	MarkPublished(ctx context.Context, rows []Row) error
}

// Producer writes records and returns once all are acknowledged.
type Producer interface {
	Produce(ctx context.Context, records []stream.Record) error
}

// Relay sends the rows of a source, in order, at least once. A flag on each row
// says what is sent, not a cursor, so a row that was committed late is not
// skipped. One relay of a service works at a time, by a lease; two at once
// would only send twice.
type Relay struct {
	db       *store.DB
	source   Source
	producer Producer
	clock    func() time.Time
	log      *slog.Logger
	owner    string
	wake     chan struct{}
	until    time.Time // the lease's end, as far as is known
}

// NewRelay makes a relay; Run does the work. Clock and logger may be nil.
func NewRelay(db *store.DB, source Source, producer Producer, clock func() time.Time, logger *slog.Logger) *Relay {
	if clock == nil {
		clock = time.Now
	}
	if logger == nil {
		logger = slog.Default()
	}
	return &Relay{db: db, source: source, producer: producer, clock: clock, log: logger.With("relay", source.Name()), owner: rand.Text(), wake: make(chan struct{}, 1)}
}

// Wake tells the relay that rows were committed. It never waits.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, and gives the lease back.
func (r *Relay) Run(ctx context.Context) error {
	defer r.release(ctx)
	wait := relayPoll // after the next error
	for {
		sent, err := r.round(ctx)
		rest := r.db.Rest(relayPoll)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.log.WarnContext(ctx, "rows wait to be sent", "error", err)
			wait = min(2*wait, 8*relayPoll)
			rest = wait
		default:
			wait = relayPoll
		}
		if sent == relayBatch && err == nil {
			continue
		}
		if !r.rest(ctx, rest, err == nil) {
			return nil
		}
	}
}

// rest waits for the next round; after an error a wake does not shorten it.
func (r *Relay) rest(ctx context.Context, d time.Duration, wakeable bool) bool {
	wake := r.wake
	if !wakeable {
		wake = nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// round sends one batch. An idle round costs one read; the lease is taken only
// when there is something to send.
func (r *Relay) round(ctx context.Context) (sent int, err error) {
	rows, err := r.source.Unpublished(ctx, relayBatch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	crash.At(crash.TrailRowsRead)
	if held, err := r.lease(ctx); err != nil || !held {
		return 0, err
	}
	crash.At(crash.TrailLeased)
	records := make([]stream.Record, len(rows))
	for i := range rows {
		records[i] = rows[i].Record
	}
	if err := r.producer.Produce(ctx, records); err != nil {
		return 0, err
	}
	crash.At(crash.TrailProduced)
	err = r.source.MarkPublished(ctx, rows)
	crash.At(crash.TrailMarked)
	return len(rows), err
}

func (r *Relay) lease(ctx context.Context) (bool, error) {
	now := r.clock()
	if now.Before(r.until.Add(-leaseMargin)) {
		return true, nil
	}
	held, err := r.db.Lease(ctx, r.source.Name(), r.owner)
	if held {
		r.until = now.Add(store.LeaseTime)
	}
	return held, err
}

func (r *Relay) release(ctx context.Context) {
	if r.until.IsZero() {
		return
	}
	if err := r.db.Release(context.WithoutCancel(ctx), r.source.Name(), r.owner); err != nil {
		r.log.DebugContext(ctx, "the lease runs out by itself", "error", err)
	}
}
