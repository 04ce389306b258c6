package hubspot

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

const (
	searchPage = 200             // HubSpot's largest page of a search
	overlap    = 5 * time.Minute // longer than HubSpot's search lags
)

// position is how far one type of objects was read: up to the object with id
// among those modified at that moment.
type position struct {
	at time.Time
	id string
}

func (p position) String() string { return p.at.UTC().Format(timeFormat) + "/" + p.id }

func parsePosition(s string) (position, error) {
	at, id, ok := strings.Cut(s, "/")
	t, err := time.Parse(timeFormat, at)
	if !ok || err != nil {
		return position{}, fault.New(fault.Internal, "cursor %q is not TIME/ID", s)
	}
	return position{at: t, id: id}, nil
}

// cursor is a position for each type that is searched. A deal's line items have
// their own, as a changed line does not always touch its deal, and come first,
// so that lines of no deal do not hold the cursor.
type cursor []position

func (c cursor) String() string {
	var parts []string
	for _, p := range c {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ",")
}

func (s *source) parseCursor(text string, n int) (cursor, error) {
	c := make(cursor, n)
	if text == "" {
		for i := range c {
			c[i].at = s.now().UTC()
		}
		return c, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) != n {
		return nil, fault.New(fault.Internal, "cursor %q has not %d positions", text, n)
	}
	var err error
	for i, p := range parts {
		if c[i], err = parsePosition(p); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Changes searches by modification time, from five minutes before the cursor:
// the search index lags. What it yields are hints, read by Fetch; a change of
// a line item yields its deals.
func (s *source) Changes(ctx context.Context, typ, since string) iter.Seq2[connector.Change, error] {
	return func(yield func(connector.Change, error) bool) {
		searched := []string{typ}
		if typ == typeDeal {
			searched = []string{typeLineItem, typeDeal}
		}
		at, err := s.parseCursor(since, len(searched))
		if err != nil {
			yield(connector.Change{}, err)
			return
		}
		for i, t := range searched {
			if !s.changed(ctx, t, at[i].at.Add(-overlap), func(page []*object) bool { return s.hint(ctx, t, page, at, i, yield) }, yield) {
				return
			}
		}
	}
}

// hint yields a page of changed objects, or the owners of changed children.
func (s *source) hint(ctx context.Context, typ string, page []*object, at cursor, i int, yield func(connector.Change, error) bool) bool {
	move := func(o *object) {
		if next := (position{at: modified(typ, o), id: o.ID}); !next.at.Before(at[i].at) {
			at[i] = next
		}
	}
	if typ != typeLineItem {
		for _, o := range page {
			move(o)
			if !yield(connector.Change{Ref: s.ref(typ, o.ID), Cursor: at.String()}, nil) {
				return false
			}
		}
		return true
	}
	var ids []string
	for _, o := range page {
		ids = append(ids, o.ID)
	}
	deals, err := s.owners(ctx, ids)
	if err != nil {
		yield(connector.Change{}, err)
		return false
	}
	if len(deals) == 0 {
		move(page[len(page)-1])
	}
	for n, id := range deals {
		if n == len(deals)-1 { // only then is the whole page accounted for
			move(page[len(page)-1])
		}
		if !yield(connector.Change{Ref: s.ref(typeDeal, id), Cursor: at.String()}, nil) {
			return false
		}
	}
	return true
}

// changed walks the objects modified at from or later, oldest first. Each page
// begins at the time where the last one ended and never at an offset: an
// object that changes meanwhile moves to the end and would pull others past an
// offset. It says whether to go on.
func (s *source) changed(ctx context.Context, typ string, from time.Time, take func([]*object) bool, yield func(connector.Change, error) bool) bool {
	for {
		page, err := s.search(ctx, typ, modifiedProperty(typ), []condition{{modifiedProperty(typ), "GTE", millis(from)}})
		if err != nil {
			yield(connector.Change{}, fmt.Errorf("search %s: %w", typ, err))
			return false
		}
		if len(page) > 0 && !take(page) {
			return false
		}
		if len(page) < searchPage {
			return true
		}
		last := modified(typ, page[len(page)-1])
		if last.After(from) {
			from = last
			continue
		}
		if !s.moment(ctx, typ, from, take, yield) {
			return false
		}
		from = from.Add(time.Millisecond)
	}
}

// moment walks the objects modified in one millisecond, by id: an import
// changes more of them at once than a page holds.
func (s *source) moment(ctx context.Context, typ string, at time.Time, take func([]*object) bool, yield func(connector.Change, error) bool) bool {
	id := "0"
	for {
		page, err := s.search(ctx, typ, "hs_object_id", []condition{{modifiedProperty(typ), "EQ", millis(at)}, {"hs_object_id", "GT", id}})
		if err != nil {
			yield(connector.Change{}, fmt.Errorf("search %s: %w", typ, err))
			return false
		}
		if len(page) > 0 && !take(page) {
			return false
		}
		if len(page) < searchPage {
			return true
		}
		id = page[len(page)-1].ID
	}
}

// condition is one filter of a search.
type condition struct {
	Property string `json:"propertyName"`
	Operator string `json:"operator"`
	Value    string `json:"value,omitempty"`
}

func (s *source) search(ctx context.Context, typ, sort string, filters []condition) ([]*object, error) {
	return searchPageOf(ctx, s.client, typ, sort, []string{modifiedProperty(typ)}, filters)
}

// searchPageOf is the first page of a search, sorted upwards.
func searchPageOf(ctx context.Context, c *client, typ, sort string, properties []string, filters []condition) ([]*object, error) {
	body := map[string]any{
		"filterGroups": []any{map[string]any{"filters": filters}},
		"sorts":        []any{map[string]string{"propertyName": sort, "direction": "ASCENDING"}},
		"properties":   properties, "limit": searchPage,
	}
	var r reply
	err := c.read(ctx, http.MethodPost, "/crm/v3/objects/"+pathOf(typ)+"/search", body, &r)
	return r.Results, err
}

func modifiedProperty(typ string) string {
	if typ == typeContact {
		return "lastmodifieddate"
	}
	return "hs_lastmodifieddate"
}

// modified is when the index saw the object change last.
func modified(typ string, o *object) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, o.text(modifiedProperty(typ))); err == nil {
		return t.UTC().Truncate(time.Millisecond)
	}
	return o.UpdatedAt.UTC().Truncate(time.Millisecond)
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
