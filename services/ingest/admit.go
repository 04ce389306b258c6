package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// maxEvent is what a topic takes; a larger record is put in front of a person.
const maxEvent = 900 << 10

// admitRecord decides about one record and carries the decision out. It
// reports whether the record must be read again.
func (in *Ingest) admitRecord(ctx context.Context, tx *store.Tx, s *source, h hint, r admission.Read) (again bool, err error) {
	ref := r.Record.Ref
	o, err := loadObject(tx, ref)
	if err != nil {
		return false, err
	}
	into, err := survivor(tx, ref.String())
	if err != nil {
		return false, err
	}
	if into != ref.String() { // read before it was merged away: its survivor speaks for it
		return false, countRun(tx, h.Run, "duplicate")
	}
	if r.Record.Absent && o.Pushed {
		if r.Record, err = asPushed(tx, ref, o); err != nil {
			return false, err
		}
		r.Pushed = true
	}
	if r.Record.MergedFrom, r.Merges, err = mergedFrom(tx, r.Record); err != nil {
		return false, err
	}
	if r.Merged, err = mergedAt(tx, r.Record.Customer); err != nil {
		return false, err
	}
	d := admission.Decide(o, r)
	in.deps.Meter.Count(ctx, meter.Reads, 1, s.config.System, string(h.Class), string(d.Verdict))
	switch d.Verdict {
	case admission.Stale:
		return true, nil
	case admission.Unusable:
		return false, errors.Join(in.unusable(tx, r), countRun(tx, h.Run, "failed"))
	case admission.Duplicate:
		return false, in.duplicate(ctx, tx, s, h, r, o, d)
	case admission.Admit:
		if first, err := in.customerFirst(tx, s, h, r); err != nil || first {
			return first, err
		}
		return in.admitTo(ctx, tx, s, h, r, o, d)
	}
	return false, nil
}

// admitTo admits a record, unless it is the poll's: then the backfill that came
// across it leaves it, and it is read once more as the poll reads it.
func (in *Ingest) admitTo(ctx context.Context, tx *store.Tx, s *source, h hint, r admission.Read, o admission.Object, d admission.Decision) (again bool, err error) {
	routes, err := in.termsOf(tx, s, h, o, &r.Record)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(routes, func(t terms) bool { return t.theirs(&r.Record) }) {
		_, err := tx.Exec(`UPDATE hint SET run = '' WHERE ref = $1`, r.Record.Ref.String())
		return true, errors.Join(err, countRun(tx, h.Run, "duplicate"))
	}
	return false, errors.Join(in.admit(ctx, tx, s, h, r, d, routes), countRun(tx, h.Run, "admitted"))
}

func eventOf(s *source, h hint, r admission.Read, d admission.Decision, customer string) *event.Event {
	e := &event.Event{
		Connection: s.config.ID, Ref: r.Record.Ref, Rev: d.Object.Rev, SlotNo: 1, Render: 1, Class: h.Class, Cause: r.Cause, Type: d.Type,
		Lane: customer, Customer: customer, OccurredAt: r.Record.ChangedAt, Data: r.Record.Data, Related: r.Record.Related, DataHash: r.Record.Hash,
	}
	for _, m := range r.Record.MergedFrom {
		e.MergedFrom = append(e.MergedFrom, m.String())
	}
	return e
}

// deferMost is how often a record waits for its customer's own record.
const deferMost = 5

// customerFirst puts a record off until its customer's own record was read, if
// a route reads those: a customer that came of a merge brings the links of the
// merged ones, and they must be in its lane before anything else is.
func (in *Ingest) customerFirst(tx *store.Tx, s *source, h hint, r admission.Read) (bool, error) {
	customer := r.Record.Customer
	if h.Deferred >= deferMost || customer == (event.Ref{}) || customer == r.Record.Ref || len(in.deps.Registry.RoutesOf(s.config.ID, customer.Type)) == 0 {
		return false, nil
	}
	o, err := loadObject(tx, customer)
	if err != nil || o.Rev > 0 {
		return false, err
	}
	if err := putHint(tx, s.config.ID, customer, event.Change, h.Class, h.Trace); err != nil {
		return false, err
	}
	signal(s.due)
	_, err = tx.Exec(`UPDATE hint SET deferred = deferred + 1 WHERE ref = $1`, h.Ref.String())
	return err == nil, err
}

// known: the record is as it was. Somebody waits for it in real time by now, so
// what is still to be published of it no longer counts as bulk.
func (in *Ingest) known(tx *store.Tx, h hint, ref event.Ref, d admission.Decision) error {
	if err := storeObject(tx, ref, d.Object); err != nil || h.Class != event.Realtime {
		return err
	}
	rows, err := tx.Query(`SELECT event_id, body FROM event WHERE ref = $1 AND rev = $2 AND class = 'bulk' AND ended_at = 0 AND published_at IS NULL`, ref.String(), d.Object.Rev)
	if err != nil {
		return err
	}
	defer rows.Close()
	lifted := map[string][]byte{}
	for rows.Next() {
		var id string
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		lifted[id] = body
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for id, body := range lifted {
		if err := lift(tx, id, body); err != nil {
			return err
		}
	}
	return nil
}

func lift(tx *store.Tx, id string, body []byte) error {
	e, err := event.Decode(body)
	if err != nil {
		return err
	}
	e.Class = event.Realtime
	if body, err = event.Encode(e); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE event SET class = 'realtime', body = $1 WHERE event_id = $2`, body, id)
	return err
}

// admit gives the revision its place on every route of the type.
func (in *Ingest) admit(ctx context.Context, tx *store.Tx, s *source, h hint, r admission.Read, d admission.Decision, routes []terms) error {
	if len(r.Record.Data)+len(r.Record.Related) > maxEvent {
		return in.raise(tx, r.Record.Ref, exception.Size, fmt.Sprintf("the record has %d bytes; events carry %d", len(r.Record.Data)+len(r.Record.Related), maxEvent))
	}
	customer, err := in.customerOf(tx, r.Record.Ref, r)
	if err != nil {
		return err
	}
	crash.At(crash.IngestCustomerRead)
	if err := mergeAliases(tx, r); err != nil {
		return err
	}
	if err := storeObject(tx, r.Record.Ref, d.Object); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE book SET records = records + 1 WHERE id = 1`); err != nil {
		return err
	}
	if err := in.releaseRaised(tx, r.Record.Ref); err != nil {
		return err
	}
	if err := in.customerChanged(tx, r.Record.Ref); err != nil {
		return err
	}
	for _, t := range routes {
		e := eventOf(s, h, r, d, customer)
		if e.After, err = lastOfMerged(tx, t.route.Target, r); err != nil {
			return err
		}
		e.MatchOnly = t.matchOnly(&r.Record)
		if err := in.place(ctx, tx, t.route, e, h.Trace); err != nil {
			return err
		}
	}
	return nil
}

// customerOf returns the lane key: the object's customer as the source names
// it, followed through merges; a deleted object keeps the lane it last had.
func (in *Ingest) customerOf(tx *store.Tx, ref event.Ref, r admission.Read) (string, error) {
	if r.Record.Customer != (event.Ref{}) {
		return survivor(tx, r.Record.Customer.String())
	}
	var lane string
	err := tx.QueryRow(`SELECT lane FROM event WHERE ref = $1 ORDER BY rev DESC, slot_no DESC LIMIT 1`, ref.String()).Scan(&lane)
	if errors.Is(err, sql.ErrNoRows) {
		return ref.String(), nil // an object without a customer is its own lane
	}
	return lane, err
}

// survivor is what a record became.
func survivor(tx *store.Tx, ref string) (string, error) {
	into, _, err := merges(tx, ref)
	return into, err
}

// merges follows a record to what it became, and says which was the last read that
// had started when that was found.
func merges(tx *store.Tx, ref string) (into string, read int64, err error) {
	for range 32 { // merges of merges; a circle cannot be longer than it is
		var next string
		var at int64
		err := tx.QueryRow(`SELECT survivor, read_no FROM alias WHERE ref = $1`, ref).Scan(&next, &at)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return "", 0, err
		}
		ref, read = next, max(read, at)
	}
	return ref, read, nil
}

// mergedAt is the last read that had started when a customer was found merged away.
func mergedAt(tx *store.Tx, customer event.Ref) (read int64, err error) {
	if customer == (event.Ref{}) {
		return 0, nil
	}
	_, read, err = merges(tx, customer.String())
	return read, err
}

// mergedFrom are all that a record was ever merged from, as the source tells and
// told before, and whether there is news among them. A revision that overtakes the
// one of the merge brings the documents of the merged ones along.
func mergedFrom(tx *store.Tx, r connector.Record) (all []event.Ref, news bool, err error) {
	known, err := withLosers(tx, []event.Ref{r.Ref})
	if err != nil {
		return nil, false, err
	}
	news = slices.ContainsFunc(r.MergedFrom, func(told event.Ref) bool { return !slices.Contains(known, told) })
	if news {
		if known, err = withLosers(tx, append(known, r.MergedFrom...)); err != nil {
			return nil, false, err
		}
	}
	return known[1:], news, nil // the record itself comes first
}

// withLosers adds to records all that were merged into one of them, each once.
func withLosers(tx *store.Tx, records []event.Ref) ([]event.Ref, error) {
	var out []event.Ref
	for len(records) > 0 {
		next := records[0]
		records = records[1:]
		if slices.Contains(out, next) {
			continue
		}
		out = append(out, next)
		losers, err := losersOf(tx, next)
		if err != nil {
			return out, err
		}
		records = append(records, losers...)
	}
	return out, nil
}

func losersOf(tx *store.Tx, survivor event.Ref) (out []event.Ref, err error) {
	rows, err := tx.Query(`SELECT ref FROM alias WHERE survivor = $1 ORDER BY ref`, survivor.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		ref, err := event.ParseRef(text)
		if err != nil {
			return nil, err
		}
		out = append(out, ref)
	}
	return out, rows.Err()
}

// mergeAliases writes loser -> survivor before any lane is derived.
func mergeAliases(tx *store.Tx, r admission.Read) error {
	for _, loser := range r.Record.MergedFrom {
		if loser == r.Record.Ref {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO alias (ref, survivor, read_no) SELECT $1, $2, last_read_no FROM book WHERE id = 1
			ON CONFLICT (ref) DO UPDATE SET survivor = excluded.survivor, read_no = excluded.read_no WHERE alias.survivor <> excluded.survivor`, loser.String(), r.Record.Ref.String()); err != nil {
			return err
		}
	}
	return nil
}

// lastOfMerged are, in the books of one target, the last slot of the lane of each
// record that was merged away, and its own last slot in every other lane: the merge
// comes after all of them. Each target numbers its lanes by itself.
func lastOfMerged(tx *store.Tx, target string, r admission.Read) (after []event.LaneSeq, err error) {
	for _, loser := range r.Record.MergedFrom {
		if loser == r.Record.Ref {
			continue
		}
		last, err := lastOf(tx, target, loser.String())
		if err != nil {
			return nil, err
		}
		after = append(after, last...)
	}
	return after, nil
}

// lastOf are the last slot of a record's own lane, and the record's last slot in
// each other one: a person may have discarded its newest revision, and an older
// one still stands elsewhere.
func lastOf(tx *store.Tx, target, ref string) (out []event.LaneSeq, err error) {
	rows, err := tx.Query(`SELECT lane, last_seq FROM lane WHERE target = $1 AND lane = $2
		UNION ALL SELECT lane, MAX(seq) FROM event WHERE target = $1 AND ref = $2 AND lane <> $2 GROUP BY lane ORDER BY 1`, target, ref)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var last event.LaneSeq
		if err := rows.Scan(&last.Lane, &last.Seq); err != nil {
			return nil, err
		}
		out = append(out, last)
	}
	return out, rows.Err()
}

// place gives an event the next slot of its lane and stores it with its fact.
func (in *Ingest) place(ctx context.Context, tx *store.Tx, route registry.Route, e *event.Event, parent string) error {
	ctx, span := in.deps.Tracer.Start(withParent(ctx, parent), "admit "+e.Ref.Type, trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()
	entity, ok := in.deps.Registry.Entity(route.Entity)
	if !ok {
		return fmt.Errorf("route %s names entity %q, which is not configured", route.ID, route.Entity)
	}
	e.Tenant, e.Entity, e.Route, e.Mapping, e.Target = entity.Tenant, entity.ID, route.ID, route.Mapping, route.Target
	e.ID = event.ID(e.Ref.String(), e.Rev, e.Route, e.SlotNo)
	span.SetAttributes(attribute.String("tenant.id", e.Tenant), attribute.String("sync.id", e.ID), attribute.String("crm.record.id", e.Ref.String()), attribute.String("crm.customer.id", e.Customer))
	if err := tx.QueryRow(`INSERT INTO lane (target, lane, last_seq) VALUES ($1, $2, 1) ON CONFLICT (target, lane) DO UPDATE SET last_seq = lane.last_seq + 1 RETURNING last_seq`, e.Target, e.Lane).Scan(&e.Seq); err != nil {
		return err
	}
	crash.At(crash.IngestLaneNumbered)
	body, err := event.Encode(e)
	if err != nil {
		return err
	}
	in.deps.Meter.Took(ctx, meter.HopDuration, store.Time(tx.Now()).Sub(e.OccurredAt), "admit", string(e.Class))
	tp := traceParent(ctx)
	if _, err := tx.Exec(`INSERT INTO event (target, lane, seq, event_id, ref, rev, route, slot_no, class, body, trace, admitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		e.Target, e.Lane, e.Seq, e.ID, e.Ref.String(), e.Rev, e.Route, e.SlotNo, string(e.Class), body, tp, tx.Now()); err != nil {
		return err
	}
	crash.At(crash.IngestEventStored)
	return trail.Append(tx, trail.Fact{
		Stream: strings.Join([]string{Name, e.Target, e.Entity}, "/"), Type: "event.admitted", Time: time.UnixMicro(tx.Now()).UTC(), Actor: Name,
		Tenant: e.Tenant, Entity: e.Entity, Target: e.Target, Lane: e.Lane, SlotSeq: e.Seq, Subject: e.Ref.String(), Customer: e.Customer, Rev: e.Rev,
		Route: e.Route, SourceEventID: e.ID, Outcome: string(e.Type), Detail: "cause " + string(e.Cause), OccurredAt: e.OccurredAt, TraceID: traceID(tp),
	})
}

func traceID(parent string) string {
	if f := strings.Split(parent, "-"); len(f) == 4 {
		return f[1]
	}
	return ""
}

func loadObject(tx *store.Tx, ref event.Ref) (admission.Object, error) {
	var o admission.Object
	var deleted, qualified, pushed int64
	err := tx.QueryRow(`SELECT rev, hash, vendor_version, read_no, deleted, qualified, pushed FROM object WHERE ref = $1`, ref.String()).Scan(&o.Rev, &o.Hash, &o.Version, &o.ReadNo, &deleted, &qualified, &pushed)
	if errors.Is(err, sql.ErrNoRows) {
		return admission.Object{}, nil
	}
	o.Deleted, o.Qualified, o.Pushed = deleted == 1, qualified == 1, pushed == 1
	return o, err
}

func storeObject(tx *store.Tx, ref event.Ref, o admission.Object) error {
	_, err := tx.Exec(`INSERT INTO object (ref, rev, hash, vendor_version, read_no, deleted, qualified, pushed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (ref) DO UPDATE SET rev = $2, hash = $3, vendor_version = $4, read_no = $5, deleted = $6, qualified = $7, pushed = $8`,
		ref.String(), o.Rev, o.Hash, o.Version, o.ReadNo, flag(o.Deleted), flag(o.Qualified), flag(o.Pushed))
	return err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// unusable puts a record that cannot get a lane in front of a person.
func (in *Ingest) unusable(tx *store.Tx, r admission.Read) error {
	return in.raise(tx, r.Record.Ref, exception.Validation, r.Record.Problem)
}

func (in *Ingest) raise(tx *store.Tx, ref event.Ref, kind exception.Kind, reason string) error {
	help := exception.HelpFor(kind)
	id := "i-" + event.Digest("exception/v1", ref.String(), string(kind), reason)[:16]
	n, err := tx.Exec(`INSERT INTO exception (id, kind, subject, customer, reason, fix, owner, state, opened_at) VALUES ($1, $2, $3, $3, $4, $5, $6, 'open', $7)
		ON CONFLICT (id) DO UPDATE SET state = 'open' WHERE exception.state = 'released'`, id, string(kind), ref.String(), reason, help.Fix, help.Owner, tx.Now())
	if err != nil || n == 0 {
		return err
	}
	in.deps.Meter.Count(tx.Context(), meter.ExceptionsNew, 1, string(kind))
	f := in.exceptionFact(tx, "exception.opened", Name, ref)
	f.Outcome, f.Detail, f.Exception = string(kind), reason, id
	return trail.Append(tx, f)
}

// exceptionFact is about a record that has no lane yet.
func (in *Ingest) exceptionFact(tx *store.Tx, typ, actor string, ref event.Ref) trail.Fact {
	conn, _ := in.deps.Registry.ByAccount(ref.AccountRef())
	return trail.Fact{Stream: Name + "/" + ref.AccountRef() + "/", Type: typ, Time: time.UnixMicro(tx.Now()).UTC(), Actor: actor, Tenant: conn.Tenant, Subject: ref.String()}
}

// releaseRaised: the record was admitted, so what was said of it no longer holds.
func (in *Ingest) releaseRaised(tx *store.Tx, ref event.Ref) (err error) {
	rows, err := tx.Query(`UPDATE exception SET state = 'released', action = 'admitted', acted_by = 'tieout', acted_at = $1 WHERE subject = $2 AND state = 'open' RETURNING id`,
		tx.Now(), ref.String())
	if err != nil {
		return err
	}
	var facts []trail.Fact
	defer func() {
		if err = errors.Join(err, rows.Close()); err == nil {
			err = trail.Append(tx, facts...)
		}
	}()
	for rows.Next() {
		f := in.exceptionFact(tx, "exception.acted", Name, ref)
		f.Outcome, f.Detail = "admitted", "the record was read again and admitted"
		if err := rows.Scan(&f.Exception); err != nil {
			return err
		}
		facts = append(facts, f)
	}
	return rows.Err()
}
