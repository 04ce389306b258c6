package hubspot

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

// target writes markers: what a deal became in the books, as three properties
// of the deal.
type target struct {
	client  *client
	account string
}

// marker is the frozen body of one write, and one input of a batch.
type marker struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
}

// Encode is pure. A marker that is voided without a document is emptied.
func (t *target) Encode(d connector.Draft) (connector.Encoded, error) {
	if d.Part == nil || d.Part.Kind != document.MarkerKind {
		return connector.Encoded{}, fault.New(fault.Rejected, "HubSpot takes markers only")
	}
	var ref event.Ref
	var err error
	m := document.Marker{}
	switch {
	case d.Part.Marker != nil:
		m = *d.Part.Marker
		ref, err = event.ParseRef(m.Record)
	case d.Current != nil:
		ref = d.Current.Ref
	default:
		ref, err = event.ParseRef(d.Part.Subject)
	}
	if err != nil || ref.System != System || ref.Account != t.account || ref.Type != typeDeal {
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "record", Text: fmt.Sprintf("%q is no deal of hubspot/%s", ref, t.account), Err: err}
	}
	fields := map[string]string{propertyNumber: m.Number, propertyID: m.ID, propertyStatus: m.Status}
	body, err := json.Marshal(marker{ID: ref.ID, Properties: fields})
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return connector.Encoded{Body: body, Fields: fields}, nil
}

// Put sends one PATCH, or one batch update for several markers. Sending a
// marker again changes nothing, so doubt costs time only.
func (t *target) Put(ctx context.Context, call connector.Call) []connector.Outcome {
	inputs := make([]marker, len(call.Items))
	for i, item := range call.Items {
		if err := decode(item.Body, &inputs[i]); err != nil || inputs[i].ID == "" {
			return same(len(call.Items), &fault.Error{Kind: fault.Internal, Text: "frozen body is not readable", Err: err})
		}
	}
	switch len(inputs) {
	case 0:
		return nil
	case 1:
		return []connector.Outcome{t.patch(ctx, inputs[0])}
	}
	return t.update(ctx, inputs)
}

func same(n int, err error) []connector.Outcome {
	out := make([]connector.Outcome, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

func (t *target) patch(ctx context.Context, m marker) connector.Outcome {
	a, err := t.client.send(ctx, http.MethodPatch, "/crm/v3/objects/deals/"+url.PathEscape(m.ID), map[string]any{"properties": m.Properties})
	if err == nil {
		err = faultOf(a, writing)
	}
	if err != nil {
		return connector.Outcome{Err: err}
	}
	var o object
	if err := decodeWhole(a.body, &o); err != nil {
		return connector.Outcome{Err: unreadable(err, writing)}
	}
	return t.done(&o)
}

// done is the posting that an answer shows.
func (t *target) done(o *object) connector.Outcome {
	p := t.posting(o)
	return connector.Outcome{Posting: &p}
}

// update sends a batch. Its answer names results by id; what it names neither
// as done nor as missing is in doubt.
func (t *target) update(ctx context.Context, inputs []marker) []connector.Outcome {
	a, err := t.client.send(ctx, http.MethodPost, "/crm/v3/objects/deals/batch/update", map[string]any{"inputs": inputs})
	if err == nil {
		err = faultOf(a, writing)
	}
	if err != nil {
		return same(len(inputs), err)
	}
	var r reply
	if err := decodeWhole(a.body, &r); err != nil {
		return same(len(inputs), unreadable(err, writing))
	}
	out := make([]connector.Outcome, len(inputs))
	for i, in := range inputs {
		out[i] = t.outcome(in.ID, &r)
	}
	return out
}

func (t *target) outcome(id string, r *reply) connector.Outcome {
	for _, o := range r.Results {
		if o.ID == id || contains(o.merged(), id) {
			return t.done(o)
		}
	}
	for _, e := range r.Errors {
		if contains(e.Context["ids"], id) {
			return connector.Outcome{Err: partial(e, writing)}
		}
	}
	return connector.Outcome{Err: &fault.Error{Kind: fault.InDoubt, Text: "the batch has no answer for deal " + id, Status: http.StatusMultiStatus}}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// Find reports nothing: a marker carries no mark of its own, its record is
// known, and sending it again is harmless.
func (t *target) Find(_ context.Context, p connector.Probe) ([]connector.Posting, error) {
	if p.Kind != document.MarkerKind {
		return nil, fault.New(fault.Rejected, "HubSpot takes markers only")
	}
	return nil, nil
}

// Get reads the marker of a deal.
func (t *target) Get(ctx context.Context, kind document.Kind, ref event.Ref) (connector.Posting, error) {
	if kind != document.MarkerKind || ref.Type != typeDeal {
		return connector.Posting{}, fault.New(fault.Rejected, "HubSpot takes markers of deals only")
	}
	var o object
	q := url.Values{"properties": {strings.Join(markerProperties(), ",")}}
	if err := t.client.read(ctx, http.MethodGet, "/crm/v3/objects/deals/"+url.PathEscape(ref.ID)+"?"+q.Encode(), nil, &o); err != nil {
		return connector.Posting{}, fmt.Errorf("get %s: %w", ref, err)
	}
	return t.posting(&o), nil
}

// List yields all markers; they are not dated, so every period has them all.
func (t *target) List(ctx context.Context, kind document.Kind, _, _ string) iter.Seq2[connector.Posting, error] {
	return func(yield func(connector.Posting, error) bool) {
		if kind != document.MarkerKind {
			yield(connector.Posting{}, fault.New(fault.Rejected, "HubSpot takes markers only"))
			return
		}
		for id := "0"; ; {
			page, _, err := searchFirst(ctx, t.client, typeDeal, "hs_object_id", markerProperties(),
				[]condition{{Property: propertyID, Operator: "HAS_PROPERTY"}, {"hs_object_id", "GT", id}})
			if err != nil {
				yield(connector.Posting{}, fmt.Errorf("list markers: %w", err))
				return
			}
			for _, o := range page {
				if byNumber(o.ID, id) <= 0 {
					yield(connector.Posting{}, fault.New(fault.Transient, "list markers: the search after id %s does not move", id))
					return
				}
				id = o.ID
				if !yield(t.posting(o), nil) {
					return
				}
			}
			if len(page) < searchPage {
				return
			}
		}
	}
}

func (t *target) posting(o *object) connector.Posting {
	p := connector.Posting{
		Ref:  event.Ref{System: System, Account: t.account, Type: typeDeal, ID: o.ID},
		Kind: document.MarkerKind, Number: o.text(propertyNumber), Status: connector.Status(o.text(propertyStatus)),
		Version: o.UpdatedAt.UTC().Format(timeFormat), Active: !o.Archived, ChangedAt: o.UpdatedAt,
		Fields: map[string]string{},
	}
	for _, name := range markerProperties() {
		p.Fields[name] = o.text(name)
	}
	return p
}
