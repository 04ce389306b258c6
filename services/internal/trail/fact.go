// Package trail is how services tell what happened: a fact is written in the
// transaction of the change it reports, numbered without gaps in its stream,
// sent by a relay, taken once and in order by its consumers, and sent again by
// a completer where Kafka lost it.
package trail

import (
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/money"
)

// Topic carries the facts, keyed by stream.
const Topic = "tieout.trail.v1"

// Schema is what the schema header of a fact says.
const Schema = "audit.v1.Fact"

// Fact is one entry of the trail: ids and amounts, never personal data. What
// each field means stands in audit.v1.Fact.
type Fact struct {
	EventID     string
	Stream      string // service/(target or account)/entity
	Incarnation int64
	Seq         int64
	Type        string
	Time        time.Time
	Actor       string
	Tenant      string
	Entity      string
	Target      string
	Lane        string
	SlotSeq     int64
	OpIDs       []string
	Outcome     string
	// Subject and Customer are refs at the source.
	Subject, Customer string
	Rev               int64
	Route             string
	MappingHash       string
	Approval          string
	TraceID           string
	Posting           *Posting
	Detail            string
	SourceEventID     string
	RequestHash       string
	Exception         string
	OccurredAt        time.Time
	Render            int64
}

// Posting is what the books confirmed.
type Posting struct {
	Kind, Part      string
	N               int64
	OtherRef        string
	Number          string
	Version         string
	Status          string
	Net, Tax, Gross money.Amount
	CustomerRef     string
	IssueDate       string
	SourceRef       string
	Content         string // digest of the owned fields, as the books confirmed them
}

// Head is the highest fact of a stream that somebody has.
type Head struct {
	Stream      string
	Incarnation int64
	Seq         int64
}

// numbered is the name under which one incarnation of a stream is kept: facts
// of a database that went back must never be taken for those it had sent.
func numbered(stream string, incarnation int64) string {
	return stream + "/" + strconv.FormatInt(incarnation, 10)
}

// unnumbered takes such a name apart.
func unnumbered(name string) (stream string, incarnation int64) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name, 0
	}
	incarnation, _ = strconv.ParseInt(name[i+1:], 10, 64)
	return name[:i], incarnation
}
