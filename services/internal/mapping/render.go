package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/traits"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/registry"
)

// Input is what a rendering depends on, and nothing else.
type Input struct {
	Event  *event.Event
	Entity registry.Entity
}

// Reject is the rendering of an event that no mapping could render.
func Reject(e *event.Event, hash string, why document.Reason) *document.Rendering {
	r := header(e, hash)
	r.Verdict, r.Reason = document.Rejected, why
	return r
}

// Render says what the event means for its target: documents, nothing, or why
// it is rejected. It never fails otherwise, whatever the record holds.
func (m *Mapping) Render(in Input) (out *document.Rendering) {
	defer func() {
		if p := recover(); p != nil { // a defect of ours must not stop a lane without a word
			out = Reject(in.Event, m.Hash, document.Reason{Kind: string(exception.Mapping), Detail: "the mapping could not render this record: tieout has a defect"})
		}
	}()
	return m.render(in)
}

func (m *Mapping) render(in Input) *document.Rendering {
	if in.Event == nil {
		return Reject(nil, m.Hash, document.Reason{Kind: string(exception.Validation), Detail: "there is no event"})
	}
	s, why := m.scope(in)
	var made []document.Part
	if why == nil {
		b := &builder{scope: s, entity: in.Entity, made: map[string][]document.Need{}, subjects: map[string][]string{}}
		why = b.parts()
		made = b.out
	}
	if why != nil {
		return Reject(in.Event, m.Hash, why.reason())
	}
	r := header(in.Event, m.Hash)
	r.Verdict, r.Parts = document.Documents, made
	if len(made) == 0 {
		r.Verdict = document.Nothing
	}
	return r
}

// header copies what says which event, where, and for whom.
func header(e *event.Event, hash string) *document.Rendering {
	if e == nil {
		return &document.Rendering{MappingHash: hash}
	}
	return &document.Rendering{
		EventID: e.ID, Tenant: e.Tenant, Entity: e.Entity, Route: e.Route, Target: e.Target, Lane: e.Lane, Seq: e.Seq, Class: e.Class,
		Ref: e.Ref.String(), Rev: e.Rev, SlotNo: e.SlotNo, Render: e.Render, Cause: e.Cause, Type: e.Type, Approval: e.Approval,
		Customer: e.Customer, After: e.After, OccurredAt: e.OccurredAt, MappingHash: hash, MergedFrom: e.MergedFrom, MatchOnly: e.MatchOnly,
	}
}

// scope is what the rules see of an event.
func (m *Mapping) scope(in Input) (*scope, *refusal) {
	e := in.Event
	if e.Ref.System != m.System || e.Ref.Type != m.Type && e.Type != event.Posted {
		return nil, &refusal{kind: exception.Mapping, detail: "the mapping reads records of type " + m.System + " " + m.Type + ", and this is another"}
	}
	data, err := decodeObject(e.Data)
	if err != nil {
		return nil, &refusal{kind: exception.Validation, detail: "the record cannot be read: it is no JSON object"}
	}
	related, err := decodeRelated(e.Related)
	if err != nil {
		return nil, &refusal{kind: exception.Validation, detail: "the record's snapshots cannot be read: they are no JSON objects"}
	}
	return &scope{m: m, spent: new(uint64), values: map[string]any{}, vars: map[string]any{
		m.Type:      m.schema.record(m.Type, data),
		relatedName: newSnapshots(related),
		eventRecord: m.schema.record(eventRecord, map[string]any{
			"type": string(e.Type), "cause": string(e.Cause), "ref": e.Ref.String(), "account": e.Ref.AccountRef(), "customer": e.Customer, "occurred_at": e.OccurredAt,
		}),
		entityRecord: m.schema.record(entityRecord, map[string]any{
			"id": in.Entity.ID, "currency": in.Entity.Currency, "zone": in.Entity.Zone, "country": in.Entity.Country, "net_days": in.Entity.NetDays,
		}),
	}}, nil
}

// decodeObject reads a JSON object whose numbers stay as they are written;
// nothing is an empty object.
func decodeObject(b []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON value")
	}
	return out, nil
}

func decodeRelated(b []byte) (map[string]map[string]any, error) {
	all, err := decodeObject(b)
	out := make(map[string]map[string]any, len(all))
	for at, raw := range all {
		data, ok := raw.(map[string]any)
		if !ok {
			return nil, errors.New("a snapshot is no object")
		}
		out[at] = data
	}
	return out, err
}

// builder makes the parts, one after the other.
type builder struct {
	*scope
	entity   registry.Entity
	out      []document.Part
	made     map[string][]document.Need // by part of the mapping
	subjects map[string][]string        // of an each: by item of its list
	turn     string                     // currency that a customer part is rendered for, "" for its own
}

func (b *builder) parts() *refusal {
	for _, p := range b.m.parts {
		if why := b.part(p); why != nil {
			return why
		}
	}
	return nil
}

func (b *builder) part(p *part) *refusal {
	for _, v := range p.voided {
		yes, why := b.truth(v.when)
		if why != nil {
			return why
		}
		if yes {
			return b.void(p, v.cause)
		}
	}
	if p.when != nil {
		if yes, why := b.truth(p.when); why != nil || !yes {
			return why
		}
	}
	if why := b.refuses(p); why != nil {
		return why
	}
	if p.each == nil {
		_, why := b.document(b.scope, p)
		if why == nil && p.everyCurrency() {
			why = b.currencies(p)
		}
		return why
	}
	return b.each(p)
}

// refuses: a person must complete the record before the part can be made. The
// mapping's sentence is whole, so no field is put before it.
func (b *builder) refuses(p *part) *refusal {
	for _, r := range p.refused {
		yes, why := b.truth(r.when)
		if why != nil {
			return why
		}
		if yes {
			return refused(r.when, &refusal{kind: exception.Validation, detail: r.say, whole: true})
		}
	}
	return nil
}

// currencies renders a customer's own record for each further currency of the
// entity: the books have a customer of its own for it.
func (b *builder) currencies(p *part) *refusal {
	defer func() { b.turn = "" }()
	for _, c := range b.entity.Currencies {
		if c == b.entity.Currency {
			continue
		}
		b.turn = c
		delete(b.made, p.name)
		if _, why := b.document(b.scope, p); why != nil {
			return why
		}
	}
	return nil
}

// void: the document shall not stand, whatever else the record says.
func (b *builder) void(p *part, cause document.VoidCause) *refusal {
	subject, why := b.subject(b.scope, p)
	if why != nil {
		return why
	}
	b.out = append(b.out, document.Part{Name: p.name, Kind: p.kind, Mode: p.mode, Desired: document.Voided, VoidCause: cause, Subject: subject})
	return nil
}

func (b *builder) each(p *part) *refusal {
	items, why := b.items(p.each)
	if why != nil {
		return why
	}
	if len(items) == 0 && p.otherwise != nil {
		subject, why := b.document(b.scope, p.otherwise)
		b.subjects[p.name] = []string{subject}
		return why
	}
	for i, item := range items {
		subject, why := b.document(b.with(p.each.item, item), p)
		if why != nil {
			return why.at(i)
		}
		b.subjects[p.name] = append(b.subjects[p.name], subject)
	}
	return nil
}

func (r *refusal) at(i int) *refusal {
	r.place = "line " + strconv.Itoa(i+1)
	return r
}

// items are those of a list, within what one document may hold.
func (b *builder) items(e *each) ([]any, *refusal) {
	v, err := b.eval(e.list)
	if err != nil {
		return nil, refused(e.list, err)
	}
	l, ok := v.(traits.Lister)
	if !ok {
		return nil, refused(e.list, errors.New("no list"))
	}
	var out []any
	for it := l.Iterator(); it.HasNext() == types.True; {
		if len(out) == maxLines {
			return nil, refused(e.list, &refusal{kind: exception.Size, detail: "has more than " + strconv.Itoa(maxLines) + " entries"})
		}
		out = append(out, it.Next())
	}
	return out, nil
}

// subject is the ref that a part is about.
func (b *builder) subject(s *scope, p *part) (string, *refusal) {
	subject, why := s.text(p.subject)
	if why != nil {
		return "", why
	}
	if _, err := event.ParseRef(subject); err != nil {
		return "", refused(p.subject, &refusal{kind: exception.Validation, detail: "names no record for the " + strings.ToLower(string(p.kind))})
	}
	return subject, nil
}

// document makes one part, unless the rendering has it already.
func (b *builder) document(s *scope, p *part) (string, *refusal) {
	subject, why := b.subject(s, p)
	if why != nil {
		return "", why
	}
	for _, n := range b.made[p.name] {
		if n.Ref == subject {
			return subject, nil
		}
	}
	out := document.Part{Name: p.name, Kind: p.kind, Mode: p.mode, Desired: document.Issued, Subject: subject}
	for _, need := range p.needs {
		out.Needs = append(out.Needs, b.made[need]...)
	}
	switch p.kind {
	case document.CustomerKind:
		why = b.customer(s, p, &out)
	case document.ItemKind:
		why = b.item(s, p, &out)
	case document.InvoiceKind:
		why = b.invoice(s, p, &out)
	case document.MarkerKind:
		why = b.marker(s, p, &out)
	}
	if why != nil {
		return "", why
	}
	b.out = append(b.out, out)
	b.made[p.name] = append(b.made[p.name], document.Need{Ref: subject, Kind: p.kind, Part: out.Name})
	return subject, nil
}

// trim reads a text field without the space around it; one that is required
// must show something.
func (s *scope) trim(b *block, name string, required bool) (string, *refusal) {
	r := b.rules[name]
	v, why := s.text(r)
	if why != nil && why.missing && !required {
		return "", nil
	}
	if why != nil {
		return "", why
	}
	v = strings.TrimSpace(v)
	if required && !visible(v) {
		return "", refused(r, &refusal{kind: exception.Validation, detail: "is empty, and " + b.name + " needs a " + strings.ReplaceAll(name, "_", " ")})
	}
	return v, nil
}

// texts reads several optional fields.
func (s *scope) texts(b *block, into map[string]*string) *refusal {
	for _, f := range sortedKeys(into) {
		v, why := s.trim(b, f, false)
		if why != nil {
			return why
		}
		*into[f] = v
	}
	return nil
}

// Nothing renders an event that asks for no document.
func Nothing(e *event.Event, hash string) *document.Rendering {
	r := header(e, hash)
	r.Verdict = document.Nothing
	return r
}
