// Package cloudevent is the public form of the audit trail: the topic
// tieout.audit.v1, CloudEvents 1.0 in binary mode of the Kafka binding.
//
// The value is JSON and not Protobuf: those who read it are other teams' tools
// (SIEM, warehouse, ksqlDB, Kafka Connect), which read JSON without a generated
// type of ours, and a JSON Schema with its digest travels with every record. The
// schema only grows; a new meaning is a new type.
package cloudevent

import (
	"crypto/sha256"
	_ "embed" // the schema
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/stream"
)

// Topic is where the public trail is published.
const Topic = "tieout.audit.v1"

// ContentType of the value.
const ContentType = "application/json"

// Names of the headers, as the binding prescribes them.
const (
	headerSpec        = "ce_specversion"
	headerID          = "ce_id"
	headerSource      = "ce_source"
	headerType        = "ce_type"
	headerTime        = "ce_time"
	headerSubject     = "ce_subject"
	headerSchema      = "ce_dataschema"
	headerKey         = "ce_partitionkey"
	headerSeq         = "ce_seq"
	headerIncarnation = "ce_incarnation"
	headerContent     = "content-type"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

//go:embed fact.v1.schema.json
var schema []byte

// Event is one record of the topic.
type Event struct {
	// ID is unique for ever: drop what was seen already.
	ID string
	// Source is the producing stream of the trail.
	Source string
	// Type is dev.tieout.<what happened>.v1.
	Type string
	Time time.Time
	// Subject is the record at the source, or the account it is about.
	Subject string
	// DataSchema names the schema of Data and its digest.
	DataSchema string
	// Key orders the topic: fiscal entity and customer.
	Key string
	// Seq numbers the records of one Key without gaps, from 1; a gap is a
	// reason to stop and to ask. Incarnation is raised when the numbering began
	// anew after a restore.
	Seq, Incarnation int64
	// TraceParent is the W3C header of the trace, if there is one.
	TraceParent string
	Data        Data
}

// TypeOf is the public name of a type of fact.
func TypeOf(fact string) string { return "dev.tieout." + fact + ".v1" }

// SchemaURI names the schema of the data; its fragment is the digest, so that a
// copy can be checked.
func SchemaURI() string {
	sum := sha256.Sum256(schema)
	return "https://tieout.dev/schemas/audit/fact.v1.schema.json#sha256=" + hex.EncodeToString(sum[:])
}

// Record is the event as it travels.
func (e *Event) Record() (stream.Record, error) {
	value, err := json.Marshal(e.Data)
	if err != nil {
		return stream.Record{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	headers := []stream.Header{
		{Key: headerSpec, Value: "1.0"}, {Key: headerID, Value: e.ID}, {Key: headerSource, Value: e.Source}, {Key: headerType, Value: e.Type},
		{Key: headerTime, Value: e.Time.UTC().Format(timeFormat)}, {Key: headerSchema, Value: e.DataSchema}, {Key: headerKey, Value: e.Key},
		{Key: headerSeq, Value: strconv.FormatInt(e.Seq, 10)}, {Key: headerIncarnation, Value: strconv.FormatInt(e.Incarnation, 10)},
		{Key: headerContent, Value: ContentType},
	}
	if e.Subject != "" {
		headers = append(headers, stream.Header{Key: headerSubject, Value: e.Subject})
	}
	if e.TraceParent != "" {
		headers = append(headers, stream.Header{Key: stream.HeaderTraceParent, Value: e.TraceParent})
	}
	return stream.Record{Topic: Topic, Key: e.Key, Value: value, Headers: headers, Time: e.Time}, nil
}

// Decode reads a record of the topic. It refuses what lacks a required
// attribute and keeps quiet about fields it does not know.
func Decode(r *stream.Record) (*Event, error) {
	e := &Event{
		ID: r.Header(headerID), Source: r.Header(headerSource), Type: r.Header(headerType), Subject: r.Header(headerSubject),
		DataSchema: r.Header(headerSchema), Key: r.Header(headerKey), TraceParent: r.Header(stream.HeaderTraceParent),
	}
	if v := r.Header(headerSpec); v != "1.0" {
		return nil, fmt.Errorf("decode event: %s is %q, not 1.0", headerSpec, v)
	}
	if e.ID == "" || e.Source == "" || !strings.HasPrefix(e.Type, "dev.tieout.") {
		return nil, fmt.Errorf("decode event: id %q, source %q or type %q is missing", e.ID, e.Source, e.Type)
	}
	if c := r.Header(headerContent); c != ContentType {
		return nil, fmt.Errorf("decode event %s: content type %q", e.ID, c)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339, r.Header(headerTime)); err != nil {
		return nil, fmt.Errorf("decode event %s: %w", e.ID, err)
	}
	for name, dest := range map[string]*int64{headerSeq: &e.Seq, headerIncarnation: &e.Incarnation} {
		if *dest, err = strconv.ParseInt(r.Header(name), 10, 64); err != nil || *dest < 1 {
			return nil, fmt.Errorf("decode event %s: %s is %q", e.ID, name, r.Header(name))
		}
	}
	if err := json.Unmarshal(r.Value, &e.Data); err != nil {
		return nil, fmt.Errorf("decode event %s: %w", e.ID, err)
	}
	return e, nil
}
