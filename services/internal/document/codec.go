package document

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	documentv1 "tieout.dev/proto/document/v1"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

var kinds = map[Kind]documentv1.Kind{
	CustomerKind: documentv1.Kind_KIND_CUSTOMER, ItemKind: documentv1.Kind_KIND_ITEM,
	InvoiceKind: documentv1.Kind_KIND_INVOICE, MarkerKind: documentv1.Kind_KIND_MARKER,
}

var desires = map[Desired]documentv1.Desired{
	Draft: documentv1.Desired_DESIRED_DRAFT, Issued: documentv1.Desired_DESIRED_ISSUED, Voided: documentv1.Desired_DESIRED_VOIDED,
}

var voidCauses = map[VoidCause]documentv1.VoidCause{
	"": documentv1.VoidCause_VOID_CAUSE_UNSPECIFIED, Lost: documentv1.VoidCause_VOID_CAUSE_LOST, Reopened: documentv1.VoidCause_VOID_CAUSE_REOPENED,
	Cancelled: documentv1.VoidCause_VOID_CAUSE_CANCELLED, Deleted: documentv1.VoidCause_VOID_CAUSE_DELETED,
}

var modes = map[Mode]documentv1.Mode{Own: documentv1.Mode_MODE_OWN, Ensure: documentv1.Mode_MODE_ENSURE}

var verdicts = map[Verdict]documentv1.Verdict{
	Documents: documentv1.Verdict_VERDICT_DOCUMENTS, Nothing: documentv1.Verdict_VERDICT_NOTHING, Rejected: documentv1.Verdict_VERDICT_REJECTED,
}

// Encode returns the rendering as document.v1.Rendering.
func Encode(r *Rendering) ([]byte, error) {
	m := &documentv1.Rendering{
		EventId: r.EventID, Tenant: r.Tenant, Entity: r.Entity, Route: r.Route, Target: r.Target, Lane: r.Lane, Seq: r.Seq,
		Class: event.ClassToProto(r.Class), Ref: r.Ref, Rev: r.Rev, Cause: event.CauseToProto(r.Cause), Approval: r.Approval,
		After: event.AfterToProto(r.After), Render: r.Render, OccurredAt: timestamppb.New(r.OccurredAt), MappingHash: r.MappingHash,
		Verdict: verdicts[r.Verdict], Customer: r.Customer, Type: event.TypeToProto(r.Type), SlotNo: r.SlotNo,
		MergedFrom: r.MergedFrom, MatchOnly: r.MatchOnly, UpdateOnly: r.UpdateOnly, Unmatched: string(r.Unmatched),
	}
	if r.Reason != (Reason{}) {
		m.Reason = &documentv1.Reason{Kind: r.Reason.Kind, Field: r.Reason.Field, Detail: r.Reason.Detail, Rule: r.Reason.Rule}
	}
	for i := range r.Parts {
		m.Parts = append(m.Parts, encodePart(&r.Parts[i]))
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Decode reads a document.v1.Rendering and refuses one without its place.
func Decode(b []byte) (*Rendering, error) {
	var m documentv1.Rendering
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode rendering: %w", err)
	}
	r := &Rendering{
		EventID: m.GetEventId(), Tenant: m.GetTenant(), Entity: m.GetEntity(), Route: m.GetRoute(), Target: m.GetTarget(),
		Lane: m.GetLane(), Seq: m.GetSeq(), Class: event.ClassFromProto(m.GetClass()), Ref: m.GetRef(), Rev: m.GetRev(),
		Cause: event.CauseFromProto(m.GetCause()), Approval: m.GetApproval(), After: event.AfterFromProto(m.GetAfter()),
		Render: m.GetRender(), OccurredAt: m.GetOccurredAt().AsTime(), MappingHash: m.GetMappingHash(),
		Verdict: reverse(verdicts, m.GetVerdict()), Customer: m.GetCustomer(), Type: event.TypeFromProto(m.GetType()), SlotNo: m.GetSlotNo(),
		MergedFrom: m.GetMergedFrom(), MatchOnly: m.GetMatchOnly(), UpdateOnly: m.GetUpdateOnly(), Unmatched: Unmatched(m.GetUnmatched()),
		Reason: Reason{m.GetReason().GetKind(), m.GetReason().GetField(), m.GetReason().GetDetail(), m.GetReason().GetRule()},
	}
	if r.EventID == "" || r.Target == "" || r.Lane == "" || r.Seq < 1 || r.Verdict == "" || !r.Class.Valid() {
		return nil, fmt.Errorf("decode rendering: rendering of %q lacks event id, target, lane, seq, class or verdict", r.Ref)
	}
	for _, p := range m.GetParts() {
		part := decodePart(p)
		if part.Name == "" || part.Kind == "" || part.Mode == "" || part.Desired == "" || part.Subject == "" {
			return nil, fmt.Errorf("decode rendering: a part of %q lacks name, kind, mode, desired or subject", r.Ref)
		}
		r.Parts = append(r.Parts, part)
	}
	return r, nil
}

func encodePart(p *Part) *documentv1.Part {
	m := &documentv1.Part{
		Name: p.Name, Kind: kinds[p.Kind], Mode: modes[p.Mode], Desired: desires[p.Desired],
		VoidCause: voidCauses[p.VoidCause], Subject: p.Subject,
	}
	for _, n := range p.Needs {
		m.Needs = append(m.Needs, &documentv1.Need{Ref: n.Ref, Kind: kinds[n.Kind], Part: n.Part})
	}
	switch {
	case p.Party != nil:
		m.Document = &documentv1.Part_Party{Party: encodeParty(p.Party)}
	case p.Item != nil:
		m.Document = &documentv1.Part_Item{Item: &documentv1.Item{
			Sku: p.Item.SKU, Name: p.Item.Name, Description: p.Item.Description, Account: p.Item.Account,
			Price: decimalTo(p.Item.Price), PriceCurrency: p.Item.PriceCurrency,
		}}
	case p.Invoice != nil:
		m.Document = &documentv1.Part_Invoice{Invoice: encodeInvoice(p.Invoice)}
	case p.Marker != nil:
		m.Document = &documentv1.Part_Marker{Marker: &documentv1.Marker{
			Record: p.Marker.Record, Number: p.Marker.Number, Id: p.Marker.ID, Status: p.Marker.Status,
		}}
	}
	return m
}

func decodePart(m *documentv1.Part) Part {
	p := Part{
		Name: m.GetName(), Kind: reverse(kinds, m.GetKind()), Mode: reverse(modes, m.GetMode()),
		Desired: reverse(desires, m.GetDesired()), VoidCause: reverse(voidCauses, m.GetVoidCause()), Subject: m.GetSubject(),
	}
	for _, n := range m.GetNeeds() {
		p.Needs = append(p.Needs, Need{Ref: n.GetRef(), Kind: reverse(kinds, n.GetKind()), Part: n.GetPart()})
	}
	switch d := m.GetDocument().(type) {
	case *documentv1.Part_Party:
		p.Party = decodeParty(d.Party)
	case *documentv1.Part_Item:
		p.Item = &Item{
			SKU: d.Item.GetSku(), Name: d.Item.GetName(), Description: d.Item.GetDescription(), Account: d.Item.GetAccount(),
			Price: decimalFrom(d.Item.GetPrice()), PriceCurrency: d.Item.GetPriceCurrency(),
		}
	case *documentv1.Part_Invoice:
		p.Invoice = decodeInvoice(d.Invoice)
	case *documentv1.Part_Marker:
		p.Marker = &Marker{Record: d.Marker.GetRecord(), Number: d.Marker.GetNumber(), ID: d.Marker.GetId(), Status: d.Marker.GetStatus()}
	}
	return p
}

func encodeParty(p *Party) *documentv1.Party {
	return &documentv1.Party{
		DisplayName: p.DisplayName, LegalName: p.LegalName, GivenName: p.GivenName, FamilyName: p.FamilyName,
		Email: p.Email, Phone: p.Phone, Currency: p.Currency, Assumed: p.Assumed, TaxId: p.TaxID, Billing: addressTo(p.Billing),
	}
}

func decodeParty(m *documentv1.Party) *Party {
	return &Party{
		DisplayName: m.GetDisplayName(), LegalName: m.GetLegalName(), GivenName: m.GetGivenName(), FamilyName: m.GetFamilyName(),
		Email: m.GetEmail(), Phone: m.GetPhone(), Currency: m.GetCurrency(), Assumed: m.GetAssumed(),
		TaxID: m.GetTaxId(), Billing: addressFrom(m.GetBilling()),
	}
}

func addressTo(a *Address) *documentv1.Address {
	if a == nil {
		return nil
	}
	return &documentv1.Address{Lines: a.Lines, City: a.City, PostalCode: a.PostalCode, Subdivision: a.Subdivision, Country: a.Country}
}

func addressFrom(m *documentv1.Address) *Address {
	if m == nil {
		return nil
	}
	return &Address{Lines: m.GetLines(), City: m.GetCity(), PostalCode: m.GetPostalCode(), Subdivision: m.GetSubdivision(), Country: m.GetCountry()}
}

func encodeInvoice(v *Invoice) *documentv1.Invoice {
	m := &documentv1.Invoice{
		IssueDate: v.IssueDate, DueDate: v.DueDate, Currency: v.Currency, Customer: v.Customer, CustomerPart: v.CustomerPart,
		Note: v.Note, PurchaseOrder: v.PurchaseOrder, ShipTo: addressTo(v.ShipTo),
		Totals: &documentv1.Totals{
			Lines: amountTo(v.Totals.Lines), Net: amountTo(v.Totals.Net), Tax: amountTo(v.Totals.Tax), Gross: amountTo(v.Totals.Gross),
		},
	}
	for _, l := range v.Lines {
		m.Lines = append(m.Lines, &documentv1.Line{
			Id: l.ID, Item: l.Item, Description: l.Description, Quantity: decimalTo(l.Quantity), Unit: l.Unit,
			Price: decimalTo(l.Price), Net: amountTo(l.Net), Tax: l.Tax, Account: l.Account, Allowance: amountTo(l.Allowance),
		})
	}
	return m
}

func decodeInvoice(m *documentv1.Invoice) *Invoice {
	t := m.GetTotals()
	v := &Invoice{
		IssueDate: m.GetIssueDate(), DueDate: m.GetDueDate(), Currency: m.GetCurrency(), Customer: m.GetCustomer(),
		CustomerPart: m.GetCustomerPart(), Note: m.GetNote(), PurchaseOrder: m.GetPurchaseOrder(), ShipTo: addressFrom(m.GetShipTo()),
		Totals: Totals{amountFrom(t.GetLines()), amountFrom(t.GetNet()), amountFrom(t.GetTax()), amountFrom(t.GetGross())},
	}
	for _, l := range m.GetLines() {
		v.Lines = append(v.Lines, Line{
			ID: l.GetId(), Item: l.GetItem(), Description: l.GetDescription(), Quantity: decimalFrom(l.GetQuantity()), Unit: l.GetUnit(),
			Price: decimalFrom(l.GetPrice()), Net: amountFrom(l.GetNet()), Tax: l.GetTax(), Account: l.GetAccount(), Allowance: amountFrom(l.GetAllowance()),
		})
	}
	return v
}

func amountTo(a money.Amount) *documentv1.Money {
	if a == (money.Amount{}) {
		return nil
	}
	return &documentv1.Money{Minor: a.Minor, Currency: a.Currency}
}

func amountFrom(m *documentv1.Money) money.Amount {
	return money.Amount{Minor: m.GetMinor(), Currency: m.GetCurrency()}
}

func decimalTo(d money.Decimal) *documentv1.Decimal {
	return &documentv1.Decimal{Unscaled: d.Unscaled, Scale: d.Scale}
}

func decimalFrom(m *documentv1.Decimal) money.Decimal {
	return money.Decimal{Unscaled: m.GetUnscaled(), Scale: m.GetScale()}
}

func reverse[K ~string, V comparable](m map[K]V, v V) K {
	for k, w := range m {
		if w == v {
			return k
		}
	}
	return ""
}
