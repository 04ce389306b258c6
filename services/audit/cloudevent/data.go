package cloudevent

import (
	"time"

	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/trail"
)

// Data is the value of a record: one fact, in ids and amounts, without personal
// data. What is not known is left out.
type Data struct {
	EventID       string        `json:"event_id"`
	Type          string        `json:"type"`
	Time          string        `json:"time"`
	Actor         string        `json:"actor,omitempty"`
	Tenant        string        `json:"tenant,omitempty"`
	Entity        string        `json:"entity,omitempty"`
	Target        string        `json:"target,omitempty"`
	Lane          string        `json:"lane,omitempty"`
	SlotSeq       int64         `json:"slot_seq,omitempty"`
	OpIDs         []string      `json:"op_ids,omitempty"`
	Outcome       string        `json:"outcome,omitempty"`
	Detail        string        `json:"detail,omitempty"`
	Subject       string        `json:"subject,omitempty"`
	Customer      string        `json:"customer,omitempty"`
	Rev           int64         `json:"rev,omitempty"`
	Route         string        `json:"route,omitempty"`
	MappingHash   string        `json:"mapping_hash,omitempty"`
	Approval      string        `json:"approval,omitempty"`
	TraceID       string        `json:"trace_id,omitempty"`
	SourceEventID string        `json:"source_event_id,omitempty"`
	RequestHash   string        `json:"request_hash,omitempty"`
	Exception     string        `json:"exception,omitempty"`
	OccurredAt    string        `json:"occurred_at,omitempty"`
	Posting       *Posting      `json:"posting,omitempty"`
	Trail         TrailPosition `json:"trail"`
}

// TrailPosition is where the fact stands in its producer's stream.
type TrailPosition struct {
	Stream      string `json:"stream"`
	Incarnation int64  `json:"incarnation"`
	Seq         int64  `json:"seq"`
}

// Posting is what the books confirmed.
type Posting struct {
	Kind        string        `json:"kind"`
	Part        string        `json:"part"`
	N           int64         `json:"n"`
	OtherRef    string        `json:"other_ref"`
	SourceRef   string        `json:"source_ref"`
	Number      string        `json:"number,omitempty"`
	Version     string        `json:"version,omitempty"`
	Status      string        `json:"status,omitempty"`
	CustomerRef string        `json:"customer_ref,omitempty"`
	IssueDate   string        `json:"issue_date,omitempty"`
	Net         *money.Amount `json:"net,omitempty"`
	Tax         *money.Amount `json:"tax,omitempty"`
	Gross       *money.Amount `json:"gross,omitempty"`
}

// DataOf is the public form of a fact.
func DataOf(f *trail.Fact) Data {
	d := Data{
		EventID: f.EventID, Type: f.Type, Time: instant(f.Time), Actor: f.Actor, Tenant: f.Tenant, Entity: f.Entity, Target: f.Target, Lane: f.Lane,
		SlotSeq: f.SlotSeq, OpIDs: f.OpIDs, Outcome: f.Outcome, Detail: f.Detail, Subject: f.Subject, Customer: f.Customer, Rev: f.Rev, Route: f.Route,
		MappingHash: f.MappingHash, Approval: f.Approval, TraceID: f.TraceID, SourceEventID: f.SourceEventID, RequestHash: f.RequestHash,
		Exception: f.Exception, OccurredAt: instant(f.OccurredAt), Trail: TrailPosition{Stream: f.Stream, Incarnation: f.Incarnation, Seq: f.Seq},
	}
	if p := f.Posting; p != nil {
		d.Posting = &Posting{
			Kind: p.Kind, Part: p.Part, N: p.N, OtherRef: p.OtherRef, SourceRef: p.SourceRef, Number: p.Number, Version: p.Version, Status: p.Status,
			CustomerRef: p.CustomerRef, IssueDate: p.IssueDate, Net: amount(p.Net), Tax: amount(p.Tax), Gross: amount(p.Gross),
		}
	}
	return d
}

func amount(a money.Amount) *money.Amount {
	if a.Currency == "" {
		return nil
	}
	return &a
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}
