package hubspot

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

// source reads a portal.
type source struct {
	client  *client
	account string
	schema  schema
	now     func() time.Time
	// searches paces what asks the search.
	searches *rate.Limiter
	listed   lineMemory
}

// Fetch reads aggregates in few requests: for 100 deals one for the deals, one
// for each kind of association and one for each 100 objects behind them.
//
// Two answers have another ref than the id that was asked for: an id that was
// merged is answered by its survivor, whose MergedFrom names it, and line items
// (type line_item, from webhooks) are answered by the deals they belong to.
func (s *source) Fetch(ctx context.Context, typ string, ids []string) ([]connector.Record, error) {
	if typ == typeLineItem {
		deals, _, err := s.owners(ctx, ids)
		if err != nil {
			return nil, err
		}
		typ, ids = typeDeal, deals
	}
	if objectTypeID(typ) == "" {
		return nil, fault.New(fault.Internal, "no object type %q", typ)
	}
	var out []connector.Record
	for chunk := range slices.Chunk(unique(ids), batchMax) {
		records, err := s.fetch(ctx, typ, chunk)
		if err != nil {
			return nil, fmt.Errorf("fetch %d of %s: %w", len(chunk), typ, err)
		}
		out = append(out, records...)
	}
	return once(out), nil
}

// fetch reads up to 100 aggregates.
func (s *source) fetch(ctx context.Context, typ string, ids []string) ([]connector.Record, error) {
	found, missing, err := s.batch(ctx, typ, ids, false)
	if err != nil {
		return nil, err
	}
	gone, err := s.gone(ctx, typ, missing)
	if err != nil {
		return nil, err
	}
	aggregates := make([]*aggregate, 0, len(found))
	for _, o := range found {
		aggregates = append(aggregates, &aggregate{typ: typ, object: o})
	}
	related := map[string]map[string]any{}
	if typ == typeDeal {
		if related, err = s.complete(ctx, aggregates); err != nil {
			return nil, err
		}
	}
	out := gone
	for _, a := range aggregates {
		out = append(out, s.record(a, related[a.object.ID]))
	}
	return out, nil
}

// batch reads objects, each once, and says which ids were not answered.
func (s *source) batch(ctx context.Context, typ string, ids []string, archived bool) ([]*object, missing, error) {
	gone := missing{listed: map[string]bool{}}
	var found []*object
	seen := map[string]bool{}
	for chunk := range slices.Chunk(unique(ids), batchMax) {
		reply, err := s.batchOnce(ctx, typ, chunk, archived)
		if err != nil {
			return nil, gone, err
		}
		answered := map[string]bool{}
		for _, o := range reply.Results {
			for _, id := range append(o.merged(), o.ID) {
				answered[id] = true
			}
			if !seen[o.ID] {
				seen[o.ID] = true
				found = append(found, o)
			}
		}
		if err := gone.add(chunk, answered, reply.Errors); err != nil {
			return nil, gone, err
		}
	}
	return found, gone, nil
}

// reply is a batch answer; 207 carries errors beside results.
type reply struct {
	Results []*object `json:"results"`
	Errors  []refusal `json:"errors"`
}

func (s *source) batchOnce(ctx context.Context, typ string, ids []string, archived bool) (*reply, error) {
	inputs := make([]map[string]string, 0, len(ids))
	for _, id := range ids {
		inputs = append(inputs, map[string]string{"id": id})
	}
	path := "/crm/v3/objects/" + pathOf(typ) + "/batch/read"
	if archived {
		path += "?archived=true"
	}
	var r reply
	err := s.client.read(ctx, http.MethodPost, path, map[string]any{"inputs": inputs, "properties": s.schema.asked(typ)}, &r)
	return &r, err
}

// missing are the ids that a batch did not answer; listed are those that
// HubSpot itself called missing.
type missing struct {
	ids    []string
	listed map[string]bool
}

// add keeps the ids that were not answered. An error of another kind than
// "not found" means that the answer is not whole, and so counts for nothing.
func (m *missing) add(asked []string, answered map[string]bool, errs []refusal) error {
	for _, e := range errs {
		if e.Category != "OBJECT_NOT_FOUND" {
			return partial(e, reading)
		}
		for _, id := range e.Context["ids"] {
			m.listed[id] = true
		}
	}
	for _, id := range asked {
		if !answered[id] {
			m.ids = append(m.ids, id)
		}
	}
	return nil
}

// gone answers for the ids that are no live objects. An object is gone only if
// HubSpot says so: archived, or listed as missing.
func (s *source) gone(ctx context.Context, typ string, m missing) ([]connector.Record, error) {
	if len(m.ids) == 0 {
		return nil, nil
	}
	archived, still, err := s.batch(ctx, typ, m.ids, true)
	if err != nil {
		return nil, err
	}
	var out []connector.Record
	for _, o := range archived {
		r := s.record(&aggregate{typ: typ, object: o}, nil)
		r.Deleted, r.ChangedAt = true, o.ArchivedAt
		out = append(out, r)
	}
	for _, id := range still.ids {
		if !m.listed[id] && !still.listed[id] {
			return nil, fault.New(fault.Transient, "HubSpot answered neither %s %s nor that it is missing", typ, id)
		}
		out = append(out, connector.Record{Ref: s.ref(typ, id), Deleted: true, Absent: true, ChangedAt: s.now().UTC(), Data: canonical(map[string]any{"id": id, "type": typ})})
	}
	return out, nil
}

// List yields the refs of all live records, by pages in the order of ids, so
// that a record made or removed meanwhile moves no other.
func (s *source) List(ctx context.Context, typ string) iter.Seq2[event.Ref, error] {
	return func(yield func(event.Ref, error) bool) {
		for o, err := range s.list(ctx, typ, url.Values{}) {
			if !yield(s.ref(typ, o.ID), err) {
				return
			}
		}
	}
}

// Archived yields the records that were archived; HubSpot forgets them after 90
// days.
func (s *source) Archived(ctx context.Context, typ string) iter.Seq2[connector.Gone, error] {
	return func(yield func(connector.Gone, error) bool) {
		for o, err := range s.list(ctx, typ, url.Values{"archived": {"true"}, "properties": {propertyMerged}}) {
			if !yield(connector.Gone{Ref: s.ref(typ, o.ID), MergedFrom: s.refs(typ, o.merged())}, err) {
				return
			}
		}
	}
}

// list yields all objects of a type, by pages; with an error comes an empty one.
func (s *source) list(ctx context.Context, typ string, q url.Values) iter.Seq2[*object, error] {
	return func(yield func(*object, error) bool) {
		q.Set("limit", strconv.Itoa(batchMax))
		after := ""
		for {
			var page struct {
				reply
				Paging paging `json:"paging"`
			}
			if after != "" {
				q.Set("after", after)
			}
			if err := s.client.read(ctx, http.MethodGet, "/crm/v3/objects/"+pathOf(typ)+"?"+q.Encode(), nil, &page); err != nil {
				yield(&object{}, fmt.Errorf("list %s: %w", typ, err))
				return
			}
			for _, o := range page.Results {
				if !yield(o, nil) {
					return
				}
			}
			next := page.Paging.Next.After
			if next == "" {
				return
			}
			if next == after {
				yield(&object{}, fault.New(fault.Transient, "list %s: the cursor does not move", typ))
				return
			}
			after = next
		}
	}
}

// Count asks the search for the number of live records; it lags by seconds.
func (s *source) Count(ctx context.Context, typ string) (int64, error) {
	var found struct {
		reply
		Total int64 `json:"total"`
	}
	err := s.client.read(ctx, http.MethodPost, "/crm/v3/objects/"+pathOf(typ)+"/search", map[string]any{"limit": 1, "filterGroups": []any{}}, &found)
	return found.Total, err
}

// paging is the cursor of the next page, "" at the end.
type paging struct {
	Next struct {
		After string `json:"after"`
	} `json:"next"`
}

// once drops a survivor that several chunks of ids led to.
func once(records []connector.Record) []connector.Record {
	seen := map[event.Ref]bool{}
	return slices.DeleteFunc(records, func(r connector.Record) bool {
		again := seen[r.Ref]
		seen[r.Ref] = true
		return again
	})
}

func unique(ids []string) []string {
	out := slices.Clone(ids)
	slices.SortFunc(out, byNumber)
	return slices.Compact(out)
}
