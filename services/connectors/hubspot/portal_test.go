package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"tieout.dev/services/connectors/hubspot/sandbox"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// tokens is one static token that can be replaced.
type tokens struct {
	mu        sync.Mutex
	now, next string
	refused   int
}

func (t *tokens) Token(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now, nil
}

func (t *tokens) Refresh(context.Context, string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.now = t.next
	return t.now, nil
}

// clock is a wall that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) After(time.Duration) <-chan time.Time { return nil }

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// run lets the clock go on with ours, until it is stopped.
func (c *clock) run(step time.Duration) (stop func()) {
	tick, done := time.NewTicker(step), make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				c.move(step)
			case <-done:
				return
			}
		}
	}()
	return func() { tick.Stop(); close(done) }
}

// stage is a portal, a connection to it and a person with a script of their own.
type stage struct {
	t      *testing.T
	portal *sandbox.Portal
	url    string
	clock  *clock
	tokens *tokens
	conn   *connector.Connection
}

func newStage(t *testing.T, settings map[string]string) *stage {
	t.Helper()
	s := &stage{t: t, clock: newClock()}
	var err error
	if s.portal, err = sandbox.New(sandbox.Config{Clock: s.clock}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.portal)
	t.Cleanup(func() { srv.Close(); s.portal.Close() })
	s.url, s.tokens = srv.URL, &tokens{now: s.portal.AccessToken, next: s.portal.AccessToken}
	s.control("settings", map[string]any{"limits": map[string]int{"ten_secondly_rolling": 0, "secondly": 0}})
	s.conn, err = Open(connector.Config{
		Account: s.portal.Account, BaseURL: srv.URL, Tokens: s.tokens, Now: s.clock.Now, Settings: settings,
		Secrets: map[string]connector.Secret{secretApp: connector.Secret(s.portal.AppSecret), "client_id": connector.Secret(s.portal.ClientID)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call sends a request of the person's and decodes the answer.
func (s *stage) call(method, path string, body any) map[string]any {
	s.t.Helper()
	raw, _ := json.Marshal(body)
	req, _ := http.NewRequest(method, s.url+path, bytes.NewReader(raw))
	req.Header.Set("Authorization", "Bearer "+s.portal.ReaderToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	out := map[string]any{}
	_ = json.Unmarshal(answer, &out)
	return out
}

func (s *stage) control(name string, body any) {
	s.t.Helper()
	s.call("POST", "/_sandbox/"+name, body)
}

// hits counts the requests that faults have hit.
func (s *stage) hits() (n int64) {
	s.t.Helper()
	for _, f := range s.call("GET", "/_sandbox/faults", nil)["items"].([]any) {
		n += int64(f.(map[string]any)["hits"].(float64))
	}
	return n
}

type props = map[string]string

// create makes an object; links are type id, other id.
func (s *stage) create(plural string, p props, links ...any) string {
	s.t.Helper()
	list := []any{}
	for i := 0; i+1 < len(links); i += 2 {
		list = append(list, map[string]any{"to": map[string]any{"id": links[i+1]}, "types": []any{map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": links[i]}}})
	}
	return s.call("POST", "/crm/v3/objects/"+plural, map[string]any{"properties": p, "associations": list})["id"].(string)
}

func (s *stage) change(plural, id string, p props) {
	s.t.Helper()
	s.call("PATCH", "/crm/v3/objects/"+plural+"/"+id, map[string]any{"properties": p})
}

func (s *stage) ref(typ, id string) event.Ref {
	return event.Ref{System: System, Account: "48213", Type: typ, ID: id}
}

// fetch reads one record.
func (s *stage) fetch(typ string, ids ...string) connector.Record {
	s.t.Helper()
	records, err := s.conn.Source.Fetch(s.t.Context(), typ, ids)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(records) != 1 {
		s.t.Fatalf("%d records for %s %v", len(records), typ, ids)
	}
	return records[0]
}

// requests counts what the connection sent, by path.
func (s *stage) requests() (paths []string) { return s.requestsOf("") }

// requestsOf are those that arrived at one of the sandbox's portals.
func (s *stage) requestsOf(account string) (paths []string) {
	s.t.Helper()
	resp, err := http.Get(s.url + "/_sandbox/requests?account=" + account)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var r struct{ App, Method, Path string }
		if d.Decode(&r) != nil {
			return paths
		}
		if r.App == "app" || r.App == "" {
			paths = append(paths, r.Method+" "+r.Path)
		}
	}
}

// world is an ordinary deal with everything around it.
type world struct{ company, contact, product, line, deal string }

func (s *stage) world() world {
	s.t.Helper()
	var w world
	w.company = s.create("companies", props{"name": "Acme", "country": "Ireland"})
	w.contact = s.create("contacts", props{"email": "ann@acme.example", "firstname": "Ann"})
	w.product = s.create("products", props{"name": "Support", "price": "50", "hs_sku": "SUP"})
	w.line = s.create("line_items", props{"hs_product_id": w.product, "quantity": "2", "price": "50.00", "hs_line_item_currency_code": "EUR"})
	w.deal = s.create("deals", props{"dealname": "First", "dealstage": "closedwon", "pipeline": "default", "amount": "100.00"}, 5, w.company, 3, w.contact, 19, w.line)
	return w
}

func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	v, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if again := canonical(v); !bytes.Equal(again, raw) {
		t.Fatalf("not canonical: %s", raw)
	}
	return v.(map[string]any)
}

func text(v any, path ...any) string {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return fmt.Sprint(v)
}

// reopen is another connection to the same portal.
func (s *stage) reopen(settings map[string]string) *connector.Connection {
	s.t.Helper()
	conn, err := Open(connector.Config{
		Account: s.portal.Account, BaseURL: s.url, Tokens: s.tokens, Now: s.clock.Now, Settings: settings,
		Secrets: map[string]connector.Secret{secretApp: connector.Secret(s.portal.AppSecret), secretClientID: connector.Secret(s.portal.ClientID)},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}
