package hubspot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
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
		p := &poll{source: s, at: at, yield: yield}
		if typ == typeDeal {
			p.lines = s.listed.after(since)
		}
		for i, t := range searched {
			if err := p.walk(ctx, i, t); err != nil {
				p.fail(err)
				return
			}
		}
		p.end()
	}
}

// errStopped says that the caller wants no more.
var errStopped = errors.New("stopped")

// poll is one run of Changes. The last change is held back, so that it can
// carry the cursor that stands for the whole run.
type poll struct {
	source *source
	at     cursor
	held   *connector.Change
	yield  func(connector.Change, error) bool
	lines  *lines
}

func (p *poll) emit(c connector.Change) error {
	before := p.held
	p.held = &c
	if before != nil && !p.yield(*before, nil) {
		return errStopped
	}
	return nil
}

func (p *poll) fail(err error) {
	if errors.Is(err, errStopped) || (p.held != nil && !p.yield(*p.held, nil)) {
		return
	}
	p.yield(connector.Change{}, err)
}

func (p *poll) end() {
	if p.held == nil { // nothing changed: the first cursor must stand all the same
		p.held = &connector.Change{}
	}
	p.held.Cursor = p.at.String()
	if p.yield(*p.held, nil) && p.lines != nil {
		p.source.listed.end(p.held.Cursor, p.lines)
	}
}

// walk yields what changed of one type, oldest first. Each page begins at the
// time where the last one ended and never at an offset: an object that changes
// meanwhile moves to the end and would pull others past an offset.
func (p *poll) walk(ctx context.Context, i int, typ string) error {
	from := p.at[i].at.Add(-overlap)
	for {
		page, served, err := p.source.search(ctx, typ, modifiedProperty(typ), []condition{{modifiedProperty(typ), "GTE", millis(from)}})
		if err == nil {
			err = p.take(ctx, i, typ, page)
		}
		if err != nil {
			return err
		}
		if len(page) < searchPage {
			p.arrive(i, served)
			return nil
		}
		last := modified(typ, page[len(page)-1])
		if last.After(from) {
			from = last
			continue
		}
		if err := p.moment(ctx, i, typ, from); err != nil {
			return err
		}
		from = from.Add(time.Millisecond)
	}
}

// moment walks the objects modified in one millisecond, by id: an import
// changes more of them at once than a page holds.
func (p *poll) moment(ctx context.Context, i int, typ string, at time.Time) error {
	for id := "0"; ; {
		page, _, err := p.source.search(ctx, typ, "hs_object_id", []condition{{modifiedProperty(typ), "EQ", millis(at)}, {"hs_object_id", "GT", id}})
		if err == nil {
			err = p.take(ctx, i, typ, page)
		}
		if err != nil || len(page) < searchPage {
			return err
		}
		last := page[len(page)-1].ID
		if byNumber(last, id) <= 0 {
			return fault.New(fault.Transient, "the search of %s after id %s does not move", typ, id)
		}
		id = last
	}
}

// take yields a page of changed objects, or the owners of changed children.
func (p *poll) take(ctx context.Context, i int, typ string, page []*object) error {
	if len(page) == 0 {
		return nil
	}
	if typ == typeLineItem {
		return p.takeLines(ctx, i, page)
	}
	for _, o := range page {
		p.move(i, typ, o)
		if err := p.emit(connector.Change{Ref: p.source.ref(typ, o.ID), Cursor: p.at.String(), Version: version(typ, o)}); err != nil {
			return err
		}
	}
	return nil
}

// takeLines yields the deals of changed line items, without a version: the
// deal's own may be an old one. Lines that the run before has yielded as they
// are now are left out.
func (p *poll) takeLines(ctx context.Context, i int, page []*object) error {
	var ids []string
	for _, o := range page {
		if p.lines.changed(o) {
			ids = append(ids, o.ID)
		}
	}
	deals, orphans, err := p.source.owners(ctx, ids)
	if err != nil {
		return err
	}
	p.lines.forget(orphans)
	for n, id := range deals {
		if n == len(deals)-1 { // only then is the whole page accounted for
			p.move(i, typeLineItem, page[len(page)-1])
		}
		if err := p.emit(connector.Change{Ref: p.source.ref(typeDeal, id), Cursor: p.at.String()}); err != nil {
			return err
		}
	}
	if len(deals) == 0 {
		p.move(i, typeLineItem, page[len(page)-1])
	}
	return nil
}

func (p *poll) move(i int, typ string, o *object) {
	if next := (position{at: modified(typ, o), id: o.ID}); !next.at.Before(p.at[i].at) {
		p.at[i] = next
	}
}

// arrive moves the position to the moment, by HubSpot's clock, at which the
// index had nothing more: what was changed last is not yielded for ever.
func (p *poll) arrive(i int, served time.Time) {
	if served.After(p.at[i].at) {
		p.at[i] = position{at: served}
	}
}

// condition is one filter of a search.
type condition struct {
	Property string `json:"propertyName"`
	Operator string `json:"operator"`
	Value    string `json:"value,omitempty"`
}

// HubSpot allows five searches a second, apart from all other limits. Three a
// second with two at once are never more than that.
const (
	searchesPerSecond = 3
	searchesAtOnce    = 2
	// searchTries bounds how often a search is asked again that somebody else's
	// searches left no room for.
	searchTries = 5
)

// search asks within HubSpot's limit of searches, and again where others have
// used it up: a listing that ended there would never come to its end.
func (s *source) search(ctx context.Context, typ, sort string, filters []condition) ([]*object, time.Time, error) {
	for try := 1; ; try++ {
		if err := s.searches.Wait(ctx); err != nil {
			return nil, time.Time{}, err
		}
		page, served, err := searchFirst(ctx, s.client, typ, sort, []string{modifiedProperty(typ)}, filters)
		f := fault.As(err)
		if err == nil || f.Kind != fault.RateLimited || f.RetryAfter > 10*time.Second || try == searchTries {
			return page, served, err
		}
		if !idle.For(ctx, max(f.RetryAfter, 10*time.Millisecond)) {
			return nil, time.Time{}, ctx.Err()
		}
	}
}

// searchFirst is the first page of a search, sorted upwards, and when HubSpot
// says it answered.
func searchFirst(ctx context.Context, c *client, typ, sort string, properties []string, filters []condition) ([]*object, time.Time, error) {
	body := map[string]any{
		"filterGroups": []any{map[string]any{"filters": filters}},
		"sorts":        []any{map[string]string{"propertyName": sort, "direction": "ASCENDING"}},
		"properties":   properties, "limit": searchPage,
	}
	var r reply
	served, err := c.readAt(ctx, http.MethodPost, "/crm/v3/objects/"+pathOf(typ)+"/search", body, &r)
	if err != nil {
		return nil, served, fmt.Errorf("search %s: %w", typ, err)
	}
	return r.Results, served, nil
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

// version is the same in a listing and in a record.
func version(typ string, o *object) string { return modified(typ, o).Format(timeFormat) }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
