package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// Sources say where everything is recorded.
type Sources struct {
	// Open opens a service's store to read.
	Open func(ctx context.Context, service string) (*store.DB, error)
	// Vendors are the sandboxes' addresses, by account.
	Vendors map[string]string
	// Kafka are the brokers; none: nothing is said about offsets and lag.
	Kafka []string
	Now   func() time.Time
	// Running: services run, and may work while we read.
	Running bool
}

// Read collects the state. The rows are read after what groups have committed
// and before the ends of the logs, so that no traffic meanwhile looks like a
// row that is behind the one or beyond the other.
func Read(ctx context.Context, src Sources) (*State, error) {
	s := &State{Running: src.Running, Accounts: map[string]*Account{}, Services: map[string]*Service{}}
	for service, read := range map[string]func(*store.Tx) error{
		"ingest": s.readIngest, "transform": nil, "writer": s.readWriter, "reconciler": nil, "audit": s.readAudit,
	} {
		if err := s.readService(ctx, src, service, read); err != nil {
			return nil, fmt.Errorf("read what %s stored: %w", service, err)
		}
	}
	if len(src.Kafka) > 0 {
		if err := s.readLogs(ctx, src); err != nil {
			return nil, fmt.Errorf("read the topics: %w", err)
		}
	}
	for account, url := range src.Vendors {
		a, err := readAccount(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("read what %s recorded: %w", account, err)
		}
		s.Accounts[account] = a
	}
	return s, nil
}

func (s *State) readService(ctx context.Context, src Sources, service string, read func(*store.Tx) error) (err error) {
	return src.read(ctx, service, func(tx *store.Tx) error {
		if err := s.readCommon(tx, service); err != nil || read == nil {
			return err
		}
		return read(tx)
	})
}

// read looks at one moment of a service's store.
func (src Sources) read(ctx context.Context, service string, do func(*store.Tx) error) (err error) {
	db, err := src.Open(ctx, service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Read(ctx, do)
}

// each calls scan for every row of a query.
func each(tx *store.Tx, scan func(*store.Rows) error, query string, args ...any) (err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *State) readCommon(tx *store.Tx, service string) error {
	x := &Service{Streams: map[Stream]int64{}, Offsets: map[Partition]Offset{}}
	s.Services[service] = x
	return errors.Join(
		each(tx, func(r *store.Rows) error {
			var k Stream
			var last int64
			err := r.Scan(&k.Name, &k.Incarnation, &last)
			x.Streams[k] = last
			return err
		}, `SELECT stream, incarnation, last_seq FROM fact_stream WHERE stream <> ''`),
		x.readOffsets(tx),
		tx.QueryRow(`SELECT COUNT(*) FROM outbox WHERE published_at IS NULL`).Scan(&x.Unpublished),
	)
}

// readOffsets reads the rows; what is known of the groups stays.
func (x *Service) readOffsets(tx *store.Tx) error {
	return each(tx, func(r *store.Rows) error {
		var p Partition
		o := Offset{Group: -1}
		err := r.Scan(&p.Topic, &p.ID, &o.Next, &o.TopicID)
		if before, known := x.Offsets[p]; known {
			o.Group = before.Group
		}
		x.Offsets[p] = o
		return err
	}, `SELECT topic, part, next, topic_id FROM consumer_offset`)
}

func (s *State) readIngest(tx *store.Tx) error {
	in := Ingest{Objects: map[string]SourceObject{}, Aliases: map[string]string{}, Hints: map[string]bool{}, Raised: map[string]bool{}, Newest: map[string]*event.Event{}}
	err := errors.Join(
		tx.QueryRow(`SELECT COALESCE(MIN(started_at), 0) FROM route_start`).Scan(&in.Started),
		tx.QueryRow(`SELECT COUNT(*) FROM hint WHERE due_at <= $1`, tx.Now()).Scan(&in.Due),
		each(tx, func(r *store.Rows) error { return r.Scan(&in.SetBack) }, `SELECT restores > 0 FROM book`),
		each(tx, func(r *store.Rows) error {
			var ref string
			var o SourceObject
			var deleted int64
			err := r.Scan(&ref, &o.Rev, &deleted)
			o.Deleted = deleted == 1
			in.Objects[ref] = o
			return err
		}, `SELECT ref, rev, deleted FROM object`),
		each(tx, pairs(in.Aliases), `SELECT ref, survivor FROM alias`),
		each(tx, set(in.Hints), `SELECT ref FROM hint`),
		each(tx, set(in.Raised), `SELECT subject FROM exception WHERE state = 'open'`),
		each(tx, func(r *store.Rows) error {
			var e Event
			var published int64
			err := r.Scan(&e.Target, &e.Lane, &e.Seq, &e.ID, &e.Ref, &e.Rev, &e.Route, &e.Outcome, &published, &e.EndedAt, &e.Admitted)
			e.Published, e.Ended = published > 0, e.EndedAt > 0
			in.Events = append(in.Events, e)
			return err
		}, `SELECT target, lane, seq, event_id, ref, rev, route, outcome, COALESCE(published_at, 0), ended_at, admitted_at FROM event ORDER BY target, lane, seq`),
		each(tx, func(r *store.Rows) error {
			var body []byte
			if err := r.Scan(&body); err != nil {
				return err
			}
			e, err := event.Decode(body)
			if err == nil {
				in.Newest[e.Ref.String()] = e
			}
			return err
		}, `SELECT e.body FROM event e WHERE NOT EXISTS (SELECT 1 FROM event n WHERE n.ref = e.ref AND n.rev > e.rev) ORDER BY e.ref, e.route`),
	)
	s.Ingest = in
	return err
}

func pairs(into map[string]string) func(*store.Rows) error {
	return func(r *store.Rows) error {
		var k, v string
		err := r.Scan(&k, &v)
		into[k] = v
		return err
	}
}

func set(into map[string]bool) func(*store.Rows) error {
	return func(r *store.Rows) error {
		var k string
		err := r.Scan(&k)
		into[k] = true
		return err
	}
}

func counts(into map[string]int64) func(*store.Rows) error {
	return func(r *store.Rows) error {
		var k string
		var n int64
		err := r.Scan(&k, &n)
		into[k] = n
		return err
	}
}

func (s *State) readWriter(tx *store.Tx) error {
	w := Writer{Slots: map[Place]Slot{}, Lanes: map[Place]Lane{}, Wants: map[string]Want{}, Paused: map[string]string{}}
	err := errors.Join(
		tx.QueryRow(`SELECT COUNT(*) FROM call WHERE state <> 'settled'`).Scan(&w.Unsettled),
		tx.QueryRow(`SELECT COUNT(*) FROM exception WHERE state = 'open'`).Scan(&w.Exceptions),
		each(tx, pairs(w.Paused), `SELECT target, reason FROM target WHERE state <> 'active'`),
		each(tx, func(r *store.Rows) error {
			var p Place
			var x Slot
			err := r.Scan(&p.Target, &p.Lane, &p.Seq, &x.State, &x.Outcome, &x.EventID, &x.Subject)
			w.Slots[p] = x
			return err
		}, `SELECT target, lane, seq, state, outcome, event_id, subject FROM slot`),
		each(tx, func(r *store.Rows) error {
			var p Place
			var l Lane
			err := r.Scan(&p.Target, &p.Lane, &l.Next, &l.State, &l.Exception)
			w.Lanes[p] = l
			return err
		}, `SELECT target, lane, next, state, exception FROM lane`),
		each(tx, func(r *store.Rows) error {
			var o Op
			err := r.Scan(&o.ID, &o.Target, &o.Lane, &o.Seq, &o.Part, &o.N, &o.Kind, &o.Effect, &o.Subject, &o.Rev, &o.State, &o.Mark, &o.TheirID)
			w.Ops = append(w.Ops, o)
			return err
		}, `SELECT op_id, target, lane, seq, part, n, kind, effect, subject, rev, state, mark, target_ref FROM op ORDER BY op_id`),
		each(tx, func(r *store.Rows) error {
			var l Link
			err := r.Scan(&l.SourceRef, &l.Kind, &l.Part, &l.N, &l.Target, &l.OtherRef, &l.State, &l.Number)
			w.Links = append(w.Links, l)
			return err
		}, `SELECT source_ref, kind, part, n, other_target, other_ref, state, number FROM link ORDER BY source_ref, kind, part, n`),
		each(tx, func(r *store.Rows) error { return r.Scan(&w.SetBack) }, `SELECT EXISTS (SELECT 1 FROM past_stream)`),
		each(tx, w.want, `SELECT doc FROM slot WHERE state = 'ended' AND outcome IN ('posted', 'unchanged') ORDER BY subject, rev`),
	)
	s.Writer = w
	return err
}

// want keeps what the newest settled rendering of a record asks for.
func (w *Writer) want(r *store.Rows) error {
	var doc []byte
	if err := r.Scan(&doc); err != nil {
		return err
	}
	d, err := document.Decode(doc)
	if err != nil || d.MatchOnly || d.UpdateOnly {
		return err
	}
	out := Want{Target: d.Target, Rev: d.Rev, Parts: map[string]WantPart{}}
	for i := range d.Parts {
		p := &d.Parts[i]
		if p.Kind != document.InvoiceKind || p.Mode != document.Own {
			continue
		}
		part := WantPart{Desired: p.Desired}
		if p.Invoice != nil {
			part.Net = p.Invoice.Totals.Net
		}
		out.Parts[p.Name] = part
	}
	w.Wants[d.Ref] = out
	return nil
}

func (s *State) readAudit(tx *store.Tx) error {
	a := Audit{Streams: map[Stream]Range{}, Sent: map[string]int64{}, Settled: map[string]int64{}}
	err := errors.Join(
		each(tx, func(r *store.Rows) error {
			var k Stream
			var x Range
			err := r.Scan(&k.Name, &k.Incarnation, &x.Count, &x.First, &x.Last)
			a.Streams[k] = x
			return err
		}, `SELECT stream, incarnation, COUNT(*), MIN(seq), MAX(seq) FROM entry GROUP BY stream, incarnation`),
		each(tx, func(r *store.Rows) error {
			o := Op{Kind: string(document.InvoiceKind), State: "done"}
			err := r.Scan(&o.ID, &o.Target, &o.Lane, &o.Seq, &o.Subject, &o.Rev, &o.TheirID)
			a.Posted = append(a.Posted, o)
			return err
		}, `SELECT DISTINCT o.op_id, e.target, e.lane, e.slot_seq, e.subject, e.rev, e.other_ref FROM entry_op o JOIN entry e ON e.event_id = o.event_id
			WHERE e.type = 'op.settled' AND e.outcome = 'posted' AND e.kind = 'INVOICE' ORDER BY o.op_id`),
		each(tx, counts(a.Sent), `SELECT o.op_id, COUNT(*) FROM entry_op o JOIN entry e ON e.event_id = o.event_id WHERE e.type = 'call.sent' GROUP BY o.op_id`),
		// a database that was set back forgets an outcome, and finds it out once more in its next life
		each(tx, counts(a.Settled), `SELECT op_id, MAX(n) FROM (SELECT o.op_id, COUNT(*) AS n FROM entry_op o JOIN entry e ON e.event_id = o.event_id
			WHERE e.type = 'op.settled' AND e.outcome = 'posted' GROUP BY o.op_id, e.stream, e.incarnation) AS lives GROUP BY op_id`),
	)
	s.Audit = a
	return err
}
