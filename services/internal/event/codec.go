package event

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "tieout.dev/proto/event/v1"
)

var classes = map[Class]eventv1.Class{Realtime: eventv1.Class_CLASS_REALTIME, Bulk: eventv1.Class_CLASS_BULK}

var causes = map[Cause]eventv1.Cause{
	Change: eventv1.Cause_CAUSE_CHANGE, Push: eventv1.Cause_CAUSE_PUSH, Linked: eventv1.Cause_CAUSE_LINK,
	Repair: eventv1.Cause_CAUSE_REPAIR, Posting: eventv1.Cause_CAUSE_POSTING, Reissue: eventv1.Cause_CAUSE_REISSUE,
	Requeue: eventv1.Cause_CAUSE_REQUEUE,
}

var types = map[Type]eventv1.Type{
	Put: eventv1.Type_TYPE_PUT, Delete: eventv1.Type_TYPE_DELETE, Merge: eventv1.Type_TYPE_MERGE, Posted: eventv1.Type_TYPE_POSTING, Empty: eventv1.Type_TYPE_EMPTY,
}

// Encode returns the event as event.v1.Event.
func Encode(e *Event) ([]byte, error) {
	m := &eventv1.Event{
		EventId: e.ID, Tenant: e.Tenant, Entity: e.Entity, Connection: e.Connection, Route: e.Route, Mapping: e.Mapping,
		Target: e.Target, Lane: e.Lane, Seq: e.Seq, Class: ClassToProto(e.Class), Ref: e.Ref.String(), Rev: e.Rev,
		Cause: CauseToProto(e.Cause), Approval: e.Approval, Type: TypeToProto(e.Type), MergedFrom: e.MergedFrom,
		After: AfterToProto(e.After), Render: e.Render, OccurredAt: timestamppb.New(e.OccurredAt), Data: e.Data,
		Related: e.Related, DataHash: e.DataHash, SlotNo: e.SlotNo, Customer: e.Customer, MatchOnly: e.MatchOnly,
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Decode reads an event.v1.Event and refuses one without its identity.
func Decode(b []byte) (*Event, error) {
	var m eventv1.Event
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	ref, err := ParseRef(m.GetRef())
	if err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	e := &Event{
		ID: m.GetEventId(), Tenant: m.GetTenant(), Entity: m.GetEntity(), Connection: m.GetConnection(), Route: m.GetRoute(),
		Mapping: m.GetMapping(), Target: m.GetTarget(), Lane: m.GetLane(), Seq: m.GetSeq(), Class: ClassFromProto(m.GetClass()),
		Ref: ref, Rev: m.GetRev(), Cause: CauseFromProto(m.GetCause()), Approval: m.GetApproval(), Type: TypeFromProto(m.GetType()),
		MergedFrom: m.GetMergedFrom(), After: AfterFromProto(m.GetAfter()), Render: m.GetRender(),
		OccurredAt: m.GetOccurredAt().AsTime(), Data: m.GetData(), Related: m.GetRelated(), DataHash: m.GetDataHash(),
		SlotNo: m.GetSlotNo(), Customer: m.GetCustomer(), MatchOnly: m.GetMatchOnly(),
	}
	if e.ID == "" || e.Target == "" || e.Lane == "" || e.Seq < 1 || !e.Class.Valid() || e.Type == "" || e.Cause == "" {
		return nil, fmt.Errorf("decode event: event %q of %s lacks id, target, lane, seq, class, type or cause", e.ID, ref)
	}
	return e, nil
}

// ClassToProto maps a class to the wire.
func ClassToProto(c Class) eventv1.Class { return classes[c] }

// ClassFromProto maps a class from the wire, "" where it is unknown.
func ClassFromProto(c eventv1.Class) Class { return lookup(classes, c) }

// CauseToProto maps a cause to the wire.
func CauseToProto(c Cause) eventv1.Cause { return causes[c] }

// CauseFromProto maps a cause from the wire, "" where it is unknown.
func CauseFromProto(c eventv1.Cause) Cause { return lookup(causes, c) }

// TypeToProto maps a type to the wire.
func TypeToProto(t Type) eventv1.Type { return types[t] }

// TypeFromProto maps a type from the wire, "" where it is unknown.
func TypeFromProto(t eventv1.Type) Type { return lookup(types, t) }

// AfterToProto maps slots to the wire.
func AfterToProto(after []LaneSeq) []*eventv1.LaneSeq {
	out := make([]*eventv1.LaneSeq, 0, len(after))
	for _, a := range after {
		out = append(out, &eventv1.LaneSeq{Lane: a.Lane, Seq: a.Seq})
	}
	return out
}

// AfterFromProto maps slots from the wire.
func AfterFromProto(after []*eventv1.LaneSeq) []LaneSeq {
	var out []LaneSeq
	for _, a := range after {
		out = append(out, LaneSeq{Lane: a.GetLane(), Seq: a.GetSeq()})
	}
	return out
}

func lookup[K ~string, V comparable](m map[K]V, v V) K {
	for k, w := range m {
		if w == v {
			return k
		}
	}
	return ""
}
