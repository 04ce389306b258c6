package hubspot

import (
	"net/http"
	"strings"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
)

// hollow are answers of status 200 that bring nothing and prove nothing.
func hollow() map[string]string {
	return map[string]string{
		"an error":            `{"status":"error","message":"Internal error","correlationId":"1"}`,
		"an error with data":  `{"status":"error","message":"Internal error","results":[],"total":0,"id":"7"}`,
		"an error of a scope": `{"status":"error","category":"MISSING_SCOPES","message":"no"}`,
		"nothing":             ``,
		"an empty object":     `{}`,
		"null":                `null`,
		"an array":            `[]`,
		"a word":              `"ok"`,
		"results are null":    `{"results":null,"total":0}`,
		"results are a word":  `{"results":"none"}`,
		"a result is null":    `{"results":[null]}`,
		"a result has no id":  `{"results":[{"properties":{"dealname":"x"}}]}`,
		"cut short":           `{"results":[{"id":"7","proper`,
		"text behind":         `{"results":[]}<!-- proxy -->`,
		"a page of HTML":      `<html><body>Welcome to our Wi-Fi</body></html>`,
		"not UTF-8":           "{\"results\":[],\"x\":\"\xff\"}",
	}
}

// reads are all the ways in which the connector asks for something.
func reads(t *testing.T, conn *connector.Connection) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"fetch deals":   func() error { _, err := conn.Source.Fetch(ctx, typeDeal, []string{"7"}); return err },
		"fetch lines":   func() error { _, err := conn.Source.Fetch(ctx, typeLineItem, []string{"7"}); return err },
		"fetch company": func() error { _, err := conn.Source.Fetch(ctx, typeCompany, []string{"7"}); return err },
		"list": func() (last error) {
			for _, err := range conn.Source.List(ctx, typeDeal) {
				last = err
			}
			return last
		},
		"changes": func() (last error) {
			for c, err := range conn.Source.Changes(ctx, typeDeal, "") {
				if last = err; err == nil && c.Cursor != "" {
					t.Errorf("the cursor moved to %s", c.Cursor)
				}
			}
			return last
		},
		"count": func() error { _, err := conn.Source.(connector.Counter).Count(ctx, typeDeal); return err },
		"marker": func() error {
			_, err := conn.Target.Get(ctx, document.MarkerKind, eventRef{System: System, Account: "48213", Type: typeDeal, ID: "7"})
			return err
		},
		"markers": func() (last error) {
			for _, err := range conn.Target.List(ctx, document.MarkerKind, "", "") {
				last = err
			}
			return last
		},
		"setup": func() error { return conn.Setup(ctx) },
	}
}

// A hollow answer is a failure that passes, and never "there is nothing".
func TestAHollowAnswerIsNoEmptyPage(t *testing.T) {
	for name, body := range hollow() {
		conn := with(t, roundTrip(func(*http.Request) *http.Response { return respond(http.StatusOK, strings.NewReader(body)) }))
		for call, do := range reads(t, conn) {
			if err := do(); fault.KindOf(err) != fault.Transient {
				t.Errorf("%s, %s: %v", call, name, err)
			}
		}
	}
}

// A hollow answer to a write does not say whether it was done.
func TestAHollowAnswerToAWriteIsDoubt(t *testing.T) {
	item := func(id string) connector.Item {
		return connector.Item{Kind: document.MarkerKind, Effect: connector.Update, Body: []byte(`{"id":"` + id + `","properties":{"tieout_invoice_id":"1"}}`)}
	}
	for name, body := range hollow() {
		conn := with(t, roundTrip(func(*http.Request) *http.Response { return respond(http.StatusOK, strings.NewReader(body)) }))
		for _, items := range [][]connector.Item{{item("7")}, {item("7"), item("8")}} {
			for _, o := range conn.Target.Put(t.Context(), connector.Call{Items: items}) {
				if fault.KindOf(o.Err) != fault.InDoubt {
					t.Errorf("%d items, %s: %+v, %v", len(items), name, o.Posting, o.Err)
				}
			}
		}
	}
}

// One hollow answer among good ones costs the whole poll: its cursor stays.
func TestAPollThatBreaksOffKeepsItsCursor(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	_, cursor := s.changes("deal", "")
	s.clock.move(0)
	s.change("deals", w.deal, props{"dealname": "2nd"})
	for _, path := range []string{"/crm/v3/objects/line_items/search", "/crm/v3/objects/deals/search", "/crm/v4/**"} {
		s.control("faults", map[string]any{"effect": "fault_in_200", "match": map[string]any{"path": path}, "times": 1})
		var failed error
		moved := cursor
		for c, err := range s.conn.Source.Changes(t.Context(), "deal", cursor) {
			if failed = err; err == nil {
				moved = c.Cursor
			}
		}
		if fault.KindOf(failed) != fault.Transient {
			t.Errorf("%s: %v", path, failed)
		}
		if ids, _ := s.changes("deal", moved); len(ids) == 0 {
			t.Errorf("%s: the change is lost after %s", path, moved)
		}
	}
}
