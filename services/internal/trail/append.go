package trail

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/stream"
)

// Append numbers the facts in their streams and writes them to the outbox, in
// the caller's transaction. It locks the rows of the streams, so it comes after
// every other lock, and the order of commits is the order of numbers. It fills
// in EventID, Incarnation, Seq and, where it is empty, Time.
func Append(tx *store.Tx, facts ...Fact) error {
	byStream := map[string][]*Fact{}
	for i := range facts {
		byStream[facts[i].Stream] = append(byStream[facts[i].Stream], &facts[i])
	}
	names := make([]string, 0, len(byStream))
	for name := range byStream {
		if name == "" {
			return errors.New("append: a fact has no stream")
		}
		names = append(names, name)
	}
	slices.Sort(names) // two transactions with the same streams must not wait for each other
	for _, name := range names {
		if err := appendStream(tx, name, byStream[name]); err != nil {
			return fmt.Errorf("append to %s: %w", name, err)
		}
	}
	return nil
}

func appendStream(tx *store.Tx, name string, facts []*Fact) error {
	var incarnation, last int64
	err := tx.QueryRow(`INSERT INTO fact_stream (stream, incarnation, last_seq)
		VALUES ($1, COALESCE((SELECT incarnation FROM fact_stream WHERE stream = ''), 1), $2)
		ON CONFLICT (stream) DO UPDATE SET last_seq = fact_stream.last_seq + excluded.last_seq
		RETURNING incarnation, last_seq`, name, len(facts)).Scan(&incarnation, &last)
	if err != nil {
		return err
	}
	crash.At(crash.TrailNumbered)
	for i, f := range facts {
		f.Incarnation, f.Seq = incarnation, last-int64(len(facts)-1-i)
		f.EventID = event.Digest("fact/v1", name, strconv.FormatInt(f.Incarnation, 10), strconv.FormatInt(f.Seq, 10))
		if f.Time.IsZero() {
			f.Time = store.Time(tx.Now())
		}
		if err := insert(tx, f); err != nil {
			return err
		}
	}
	crash.At(crash.TrailAppended)
	return nil
}

func insert(tx *store.Tx, f *Fact) error {
	body, err := Encode(f)
	if err != nil {
		return err
	}
	headers, err := json.Marshal(stream.Inject(tx.Context(), f.headers()))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO outbox (stream, seq, topic, key, headers, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		numbered(f.Stream, f.Incarnation), f.Seq, Topic, f.Stream, string(headers), body, tx.Now())
	return err
}

// Told lists the streams of this database with the last fact of each.
func Told(tx *store.Tx) (heads []Head, err error) {
	rows, err := tx.Query(`SELECT stream, incarnation, last_seq FROM fact_stream WHERE stream <> '' ORDER BY stream`)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var h Head
		if err := rows.Scan(&h.Stream, &h.Incarnation, &h.Seq); err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	return heads, rows.Err()
}

// headers are those of the fact that say something.
func (f *Fact) headers() []stream.Header {
	all := []stream.Header{
		{Key: stream.HeaderEventID, Value: f.EventID}, {Key: stream.HeaderType, Value: f.Type}, {Key: stream.HeaderSchema, Value: Schema},
		{Key: stream.HeaderTenant, Value: f.Tenant}, {Key: stream.HeaderEntity, Value: f.Entity}, {Key: stream.HeaderTarget, Value: f.Target},
		{Key: stream.HeaderLane, Value: f.Lane},
	}
	if f.SlotSeq > 0 {
		all = append(all, stream.Header{Key: stream.HeaderSeq, Value: strconv.FormatInt(f.SlotSeq, 10)})
	}
	return slices.DeleteFunc(all, func(h stream.Header) bool { return h.Value == "" })
}

// Reincarnate begins every stream of this database anew. It is called once
// after the database went back: what is said from now on must not be taken for
// what was said, under the same numbers, by what was lost. The new incarnation
// is a time, so that a second restore of the same copy does not repeat it.
func Reincarnate(tx *store.Tx) (incarnation int64, err error) {
	if err := tx.QueryRow(`SELECT COALESCE(max(incarnation), 0) + 1 FROM fact_stream`).Scan(&incarnation); err != nil {
		return 0, fmt.Errorf("reincarnate: %w", err)
	}
	incarnation = max(incarnation, tx.Now()/1_000_000)
	if _, err := tx.Exec(`UPDATE fact_stream SET incarnation = $1, last_seq = 0`, incarnation); err != nil {
		return 0, fmt.Errorf("reincarnate: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO fact_stream (stream, incarnation, last_seq) VALUES ('', $1, 0) ON CONFLICT (stream) DO UPDATE SET incarnation = excluded.incarnation`, incarnation)
	if err != nil {
		return 0, fmt.Errorf("reincarnate: %w", err)
	}
	return incarnation, nil
}
