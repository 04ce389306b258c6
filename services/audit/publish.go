package audit

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"tieout.dev/services/audit/cloudevent"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// publish numbers the fact in the public stream of its key and writes it to the
// outbox. There is a stream for each key, so a reader of one partition can see
// that nothing is missing.
func (a *Audit) publish(ctx context.Context, tx *store.Tx, f *trail.Fact) error {
	e := cloudevent.Event{
		ID: f.EventID, Source: "tieout/" + f.Stream, Type: cloudevent.TypeOf(f.Type), Time: f.Time, Subject: f.Subject, DataSchema: a.schema,
		Key: publicKey(f), Data: cloudevent.DataOf(f),
	}
	if e.Subject == "" {
		e.Subject = f.Target
	}
	e.TraceParent = (&stream.Record{Headers: stream.Inject(ctx, nil)}).Header(stream.HeaderTraceParent)
	name := Name + "/" + e.Key
	err := tx.QueryRow(`INSERT INTO fact_stream (stream, incarnation, last_seq)
		VALUES ($1, COALESCE((SELECT incarnation FROM fact_stream WHERE stream = ''), 1), 1)
		ON CONFLICT (stream) DO UPDATE SET last_seq = fact_stream.last_seq + 1
		RETURNING incarnation, last_seq`, name).Scan(&e.Incarnation, &e.Seq)
	if err != nil {
		return err
	}
	r, err := e.Record()
	if err != nil {
		return err
	}
	headers, err := json.Marshal(r.Headers)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO outbox (stream, seq, topic, key, headers, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		name+"/"+strconv.FormatInt(e.Incarnation, 10), e.Seq, r.Topic, r.Key, string(headers), r.Value, tx.Now())
	return err
}

// publicKey is the fiscal entity and the customer; what has neither is ordered
// by its producer's stream.
func publicKey(f *trail.Fact) string {
	switch {
	case f.Entity == "" && f.Customer == "":
		return f.Stream
	case f.Customer == "":
		return f.Entity
	}
	return strings.Join([]string{f.Entity, f.Customer}, "/")
}
