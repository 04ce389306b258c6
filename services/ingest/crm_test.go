package ingest

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

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/connectors/hubspot"
	"tieout.dev/services/connectors/hubspot/sandbox"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

// crm is the service on a CRM that speaks HTTP, with a person's own script
// beside it.
type crm struct {
	*world
	portal *sandbox.Portal
	url    string
	conn   *connector.Connection

	mu        sync.Mutex
	delivered map[string]int // object id -> deliveries that came
}

type staticToken string

func (s staticToken) Token(context.Context) (string, error)           { return string(s), nil }
func (s staticToken) Refresh(context.Context, string) (string, error) { return string(s), nil }

func openCRM(t *testing.T) *crm {
	t.Helper()
	c := &crm{delivered: map[string]int{}}
	var err error
	if c.portal, err = sandbox.New(sandbox.Config{}); err != nil {
		t.Fatal(err)
	}
	vendor := httptest.NewServer(c.portal)
	t.Cleanup(func() { vendor.Close(); c.portal.Close() })
	c.url = vendor.URL
	c.conn, err = hubspot.Open(connector.Config{
		Account: c.portal.Account, BaseURL: vendor.URL, Tokens: staticToken(c.portal.AccessToken), Now: time.Now,
		Secrets: map[string]connector.Secret{"app_secret": connector.Secret(c.portal.AppSecret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ours http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.note(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		ours.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	public := front.URL + "/webhooks/hubspot"
	c.world = openOn(t, registry.Connection{ID: "crm", Account: c.portal.Account, App: "hubspot", PollEvery: time.Hour, PublicURL: public}, c.conn)
	ours = c.in.Handler()
	c.settings(map[string]any{"limits": map[string]int{"ten_secondly_rolling": 0, "secondly": 0}, "webhooks": map[string]any{"target": public, "deliver": false}})
	return c
}

func (c *crm) note(body []byte) {
	var events []struct {
		ID json.Number `json:"objectId"`
	}
	if json.Unmarshal(body, &events) != nil || len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered[events[0].ID.String()]++
}

func (c *crm) came(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.delivered[id]
}

func (c *crm) ask(method, path string, body any) map[string]any {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.portal.ReaderToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	out := map[string]any{}
	if resp.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	_ = json.Unmarshal(answer, &out) // some calls answer nothing
	return out
}

func (c *crm) settings(v map[string]any) { c.t.Helper(); c.ask("POST", "/_sandbox/settings", v) }

// create makes objects of one kind in one request each 100.
func (c *crm) create(plural string, inputs []any) (ids []string) {
	c.t.Helper()
	for len(inputs) > 0 {
		n := min(100, len(inputs))
		for _, o := range c.ask("POST", "/crm/v3/objects/"+plural+"/batch/create", map[string]any{"inputs": inputs[:n]})["results"].([]any) {
			ids = append(ids, o.(map[string]any)["id"].(string))
		}
		inputs = inputs[n:]
	}
	return ids
}

// deals makes n deals spread over some companies.
func (c *crm) deals(n, companies int) []string {
	c.t.Helper()
	var owners, list []any
	for i := range companies {
		owners = append(owners, map[string]any{"properties": map[string]string{"name": fmt.Sprint("Company ", i)}})
	}
	ids := c.create("companies", owners)
	for i := range n {
		list = append(list, map[string]any{"properties": map[string]string{"dealname": fmt.Sprint("Deal ", i)}, "associations": []any{map[string]any{
			"to": map[string]string{"id": ids[i%companies]}, "types": []any{map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}},
		}}})
	}
	return c.create("deals", list)
}

// behind are the deals whose known state is not the CRM's.
func (c *crm) behind(ids []string) (out []string) {
	c.t.Helper()
	records, err := c.conn.Source.Fetch(c.t.Context(), "deal", ids)
	if err != nil || len(records) != len(ids) {
		c.t.Fatalf("%d of %d records, %v", len(records), len(ids), err)
	}
	err = c.db.Read(c.t.Context(), func(tx *store.Tx) error {
		for _, r := range records {
			o, err := loadObject(tx, r.Ref)
			if err != nil {
				return err
			}
			if o.Hash != r.Hash {
				out = append(out, r.Ref.ID)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// inOrder holds what is true of every lane: its slots have no gap, and a
// record's revisions ascend in it.
func (c *crm) inOrder() {
	c.t.Helper()
	if n := c.count(`SELECT COUNT(*) FROM (SELECT target, lane FROM event GROUP BY target, lane HAVING COUNT(*) <> MAX(seq)) g`); n != 0 {
		c.t.Errorf("%d lanes have gaps", n)
	}
	if n := c.count(`SELECT COUNT(*) FROM event a JOIN event b ON a.route = b.route AND a.ref = b.ref AND a.lane = b.lane WHERE a.rev < b.rev AND a.seq > b.seq`); n != 0 {
		c.t.Errorf("%d revisions stand in front of older ones", n)
	}
}

// Webhooks that come twice, in any order or not at all end in the state of the
// CRM: what came is read as it is now, and what was lost the poll finds.
func TestDisorderedWebhooksEndInTheStateOfTheCRM(t *testing.T) {
	c := openCRM(t)
	c.in.sources[0].share = newShare(nil)
	const n = 500
	ids := c.deals(n+1, 20)
	c.run()
	c.until("all are known", func() bool {
		return c.count(`SELECT COUNT(*) FROM event`) == n+1 && c.count(`SELECT COUNT(*) FROM hint`) == 0
	})

	c.settings(map[string]any{"webhooks": map[string]any{"deliver": true, "duplicate": 0.2, "shuffle": true, "drop": 0.1, "seed": 7}})
	for i, id := range ids[:n] {
		c.ask("PATCH", "/crm/v3/objects/deals/"+id, map[string]any{"properties": map[string]string{"dealname": fmt.Sprint("Deal ", i, " changed")}})
	}
	// the last one is certain to come, and comes after all others
	c.settings(map[string]any{"webhooks": map[string]any{"duplicate": 0, "shuffle": false, "drop": 0}})
	c.ask("PATCH", "/crm/v3/objects/deals/"+ids[n], map[string]any{"properties": map[string]string{"dealname": "the last"}})
	c.until("all deliveries came", func() bool { return c.came(ids[n]) > 0 })
	c.until("what came is read", func() bool { return c.count(`SELECT COUNT(*) FROM hint`) == 0 })

	lost, twice := 0, 0
	for _, id := range ids {
		switch c.came(id) {
		case 0:
			lost++
		case 2:
			twice++
		}
	}
	if lost < n/20 || lost > n/5 || twice < n/10 || twice > n/3 {
		t.Fatalf("%d of %d were lost, %d came twice: the CRM's settings do not take", lost, n, twice)
	}
	if late := c.behind(ids); len(late) != lost {
		t.Errorf("%d are behind before the poll, %d webhooks were lost", len(late), lost)
	}
	if _, err := c.in.Server().Poll(t.Context(), &controlv1.PollRequest{}); err != nil {
		t.Fatal(err)
	}
	c.until("what was lost is found", func() bool { return len(c.behind(ids)) == 0 && c.count(`SELECT COUNT(*) FROM hint`) == 0 })
	if got := c.count(`SELECT COUNT(*) FROM event`); got != 2*(n+1) {
		t.Errorf("%d events of %d records with two states each", got, n+1)
	}
	// a poll that finds more than people change is bulk from its first record on,
	// and what a webhook named is realtime
	if got := c.count(`SELECT COUNT(*) FROM event WHERE class = $1 AND rev = 1`, string(event.Realtime)); got != 0 {
		t.Errorf("%d of a first reading of %d are realtime", got, n+1)
	}
	if got := c.count(`SELECT COUNT(*) FROM event WHERE class = $1 AND rev = 2`, string(event.Realtime)); int(got) != n+1 {
		t.Errorf("%d of %d changes are realtime; %d webhooks were lost, which is few enough for a poll", got, n+1, lost)
	}
	c.inOrder()
	drill.Injected(t, int64(twice), 85, 86)
	drill.Injected(t, int64(lost), 87)
}
