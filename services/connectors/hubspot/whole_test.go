package hubspot

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
		s.clock.move(time.Second)
		s.change("line_items", w.line, props{"description": path})
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

// A vendor that answers every page with the same one is left, not asked for ever.
func TestPagesThatDoNotMoveEnd(t *testing.T) {
	var page []string
	for range searchPage {
		page = append(page, `{"id":"7","updatedAt":"2026-11-24T12:00:00Z"}`)
	}
	search := `{"results":[` + strings.Join(page, ",") + `],"paging":{"next":{"after":"7"}}}`
	conn := with(t, roundTrip(func(r *http.Request) *http.Response {
		if strings.HasPrefix(r.URL.Path, "/crm/v4/") {
			return respond(http.StatusOK, strings.NewReader(`{"results":[{"from":{"id":"7"},"to":[],"paging":{"next":{"after":"1"}}}]}`))
		}
		return respond(http.StatusOK, strings.NewReader(search))
	}))
	for _, name := range []string{"list", "changes", "markers", "fetch deals", "fetch lines"} {
		if err := reads(t, conn)[name](); fault.KindOf(err) != fault.Transient {
			t.Errorf("%s: %v", name, err)
		}
	}
	var last error
	for _, last = range conn.Source.Changes(t.Context(), typeCompany, "") {
	}
	if fault.KindOf(last) != fault.Transient {
		t.Errorf("changes of one moment: %v", last)
	}
}

// No answer, whatever it holds, makes the decoders panic, and none but a whole
// one counts: what is read has an id, and nothing is "gone" or "none" because
// an answer was garbage.
func FuzzAnswers(f *testing.F) {
	for _, body := range hollow() {
		f.Add(200, []byte(body))
	}
	names, err := filepath.Glob("testdata/faults/*.http")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a := fixture(f, strings.TrimSuffix(filepath.Base(name), ".http"))
		f.Add(a.status, a.body)
	}
	f.Add(200, []byte(`{"results":[{"id":"7","properties":{"hs_is_closed_won":"true","closedate":"x","hs_merged_object_ids":"8;;9"},"archived":true,"updatedAt":"2026-11-24T12:00:00Z"}],"total":1}`))
	f.Add(207, []byte(`{"results":[{"from":{"id":"7"},"to":[{"toObjectId":8,"associationTypes":[{"label":null},{"label":"Primary"}]}],"paging":{"next":{"after":"8"}}}],"errors":[{"category":"OBJECT_NOT_FOUND","context":{"fromObjectId":["7"],"ids":["7"]}}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		var sent atomic.Int64
		conn := with(t, roundTrip(func(*http.Request) *http.Response {
			if sent.Add(1) > 40 { // a page that always names a next one
				return respond(http.StatusNotFound, strings.NewReader(""))
			}
			return respond(status, bytes.NewReader(body))
		}))
		fine := status < 300 && json.Valid(body)
		for _, typ := range []string{typeDeal, typeCompany, typeLineItem} {
			sent.Store(0)
			records, err := conn.Source.Fetch(t.Context(), typ, []string{"7"})
			if err == nil && (!fine || (typ != typeLineItem && len(records) == 0)) {
				t.Fatalf("fetch %s: %v out of %d %q", typ, records, status, body)
			}
			for _, r := range records {
				if r.Ref.ID == "" || len(r.Data) == 0 {
					t.Fatalf("%+v out of %q", r, body)
				}
			}
		}
		sent.Store(0)
		for ref, err := range conn.Source.List(t.Context(), typeDeal) {
			if err == nil && (ref.ID == "" || !fine) {
				t.Fatalf("listed %s out of %d %q", ref, status, body)
			}
		}
		sent.Store(0)
		for c, err := range conn.Source.Changes(t.Context(), typeCompany, "") {
			if err == nil && !fine {
				t.Fatalf("%+v out of %d %q", c, status, body)
			}
		}
		items := []connector.Item{{Body: []byte(`{"id":"7","properties":{}}`)}, {Body: []byte(`{"id":"8","properties":{}}`)}}
		for n := range 2 {
			for _, o := range conn.Target.Put(t.Context(), connector.Call{Items: items[:n+1]}) {
				if (o.Err == nil) == (o.Posting == nil) || (o.Err == nil && (!fine || o.Posting.Ref.ID == "")) {
					t.Fatalf("%+v, %v out of %d %q", o.Posting, o.Err, status, body)
				}
			}
		}
	})
}
