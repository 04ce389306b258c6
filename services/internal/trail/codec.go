package trail

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	"tieout.dev/services/internal/money"
)

// Encode returns the fact as audit.v1.Fact.
func Encode(f *Fact) ([]byte, error) {
	m := &auditv1.Fact{
		EventId: f.EventID, Stream: f.Stream, Incarnation: f.Incarnation, Seq: f.Seq, Type: f.Type, Time: timestamp(f.Time), Actor: f.Actor,
		Tenant: f.Tenant, Entity: f.Entity, Target: f.Target, Lane: f.Lane, SlotSeq: f.SlotSeq, OpIds: f.OpIDs, Outcome: f.Outcome,
		Subject: f.Subject, Customer: f.Customer, Rev: f.Rev, Route: f.Route, MappingHash: f.MappingHash, Approval: f.Approval,
		TraceId: f.TraceID, Detail: f.Detail, SourceEventId: f.SourceEventID, RequestHash: f.RequestHash, Exception: f.Exception,
		OccurredAt: timestamp(f.OccurredAt), Render: f.Render,
	}
	if p := f.Posting; p != nil {
		m.Posting = &auditv1.Posting{
			Kind: p.Kind, Part: p.Part, N: p.N, OtherRef: p.OtherRef, Number: p.Number, Version: p.Version, Status: p.Status,
			Net: amount(p.Net), Tax: amount(p.Tax), Gross: amount(p.Gross), CustomerRef: p.CustomerRef, IssueDate: p.IssueDate, SourceRef: p.SourceRef, Content: p.Content,
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode fact %s of %s: %w", f.Type, f.Stream, err)
	}
	return b, nil
}

// Decode reads an audit.v1.Fact and refuses one without its identity.
func Decode(b []byte) (*Fact, error) {
	var m auditv1.Fact
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode fact: %w", err)
	}
	f := &Fact{
		EventID: m.GetEventId(), Stream: m.GetStream(), Incarnation: m.GetIncarnation(), Seq: m.GetSeq(), Type: m.GetType(),
		Time: instant(m.GetTime()), Actor: m.GetActor(), Tenant: m.GetTenant(), Entity: m.GetEntity(), Target: m.GetTarget(), Lane: m.GetLane(),
		SlotSeq: m.GetSlotSeq(), OpIDs: m.GetOpIds(), Outcome: m.GetOutcome(), Subject: m.GetSubject(), Customer: m.GetCustomer(), Rev: m.GetRev(),
		Route: m.GetRoute(), MappingHash: m.GetMappingHash(), Approval: m.GetApproval(), TraceID: m.GetTraceId(), Detail: m.GetDetail(),
		SourceEventID: m.GetSourceEventId(), RequestHash: m.GetRequestHash(), Exception: m.GetException(), OccurredAt: instant(m.GetOccurredAt()),
		Render: m.GetRender(),
	}
	if p := m.GetPosting(); p != nil {
		f.Posting = &Posting{
			Kind: p.GetKind(), Part: p.GetPart(), N: p.GetN(), OtherRef: p.GetOtherRef(), Number: p.GetNumber(), Version: p.GetVersion(),
			Status: p.GetStatus(), Net: fromAmount(p.GetNet()), Tax: fromAmount(p.GetTax()), Gross: fromAmount(p.GetGross()),
			CustomerRef: p.GetCustomerRef(), IssueDate: p.GetIssueDate(), SourceRef: p.GetSourceRef(), Content: p.GetContent(),
		}
	}
	if f.EventID == "" || f.Stream == "" || f.Incarnation < 1 || f.Seq < 1 || f.Type == "" {
		return nil, fmt.Errorf("decode fact: fact %q of stream %q lacks id, stream, incarnation, seq or type", f.EventID, f.Stream)
	}
	return f, nil
}

func amount(a money.Amount) *auditv1.Money {
	if a == (money.Amount{}) {
		return nil
	}
	return &auditv1.Money{Minor: a.Minor, Currency: a.Currency}
}

func fromAmount(m *auditv1.Money) money.Amount {
	return money.Amount{Minor: m.GetMinor(), Currency: m.GetCurrency()}
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
