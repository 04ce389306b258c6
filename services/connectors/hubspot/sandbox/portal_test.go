package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a wall that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

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

// bench is a portal behind a server.
type bench struct {
	t      *testing.T
	portal *Portal
	server *httptest.Server
	clock  *clock
	token  string
}

func open(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{t: t, clock: &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
	var err error
	if b.portal, err = New(Config{Dir: dir, Clock: b.clock}); err != nil {
		t.Fatal(err)
	}
	b.server, b.token = httptest.NewServer(b.portal), b.portal.AccessToken
	t.Cleanup(b.close)
	return b
}

func (b *bench) close() {
	b.server.Close()
	b.portal.Close()
}

// reply is an answer, decoded if it is JSON.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// at walks into the body by keys and indices.
func (r reply) at(path ...any) string {
	var v any = r.body
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			list, _ := v.([]any)
			if k >= len(list) {
				return "<none>"
			}
			v = list[k]
		}
	}
	return fmt.Sprint(v)
}

func (b *bench) send(method, path, body string) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if b.token != "" {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode, header: resp.Header, body: map[string]any{}}
	if r.raw, err = io.ReadAll(resp.Body); err != nil {
		b.t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(r.raw))
	d.UseNumber()
	_ = d.Decode(&r.body)
	return r
}

// do sends and wants the status.
func (b *bench) do(status int, method, path, body string, args ...any) reply {
	b.t.Helper()
	r := b.send(method, path, fmt.Sprintf(body, args...))
	if r.status != status {
		b.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.raw, status)
	}
	return r
}

// make creates an object and returns its id.
func (b *bench) make(plural, properties string, links ...string) string {
	b.t.Helper()
	return b.do(201, "POST", "/crm/v3/objects/"+plural, `{"properties":%s,"associations":[%s]}`, properties, strings.Join(links, ",")).at("id")
}

func to(id string, typeID int) string {
	return fmt.Sprintf(`{"to":{"id":%q},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":%d}]}`, id, typeID)
}

func (b *bench) unlimited() {
	b.t.Helper()
	b.do(200, "POST", "/_sandbox/settings", `{"limits":{"ten_secondly_rolling":0,"secondly":0}}`)
}
