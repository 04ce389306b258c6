package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// shelf is a portal without a server: what a request writes is dropped.
type shelf struct {
	v      *vendor
	engine *engine.Sandbox
	token  string
	secret string
	client string
}

func newShelf(f testing.TB) *shelf {
	v, err := newVendor(PortalID, nil)
	if err != nil {
		f.Fatal(err)
	}
	s := &shelf{v: v}
	if s.engine, err = engine.New(engine.Config{Name: "hubspot", Preset: presetEU, Clock: &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}, v); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.engine.Close() })
	s.engine.View(func(tx *engine.Tx) {
		s.token, s.secret, s.client = tx.Fact(factMainToken), tx.Fact(factSecret), tx.Fact(factClientID)
	})
	return s
}

func (s *shelf) one(tx *engine.Tx, method, path string, query url.Values, body string) engine.Response {
	r := &engine.Request{N: 1, Now: tx.Now(), Method: method, Path: path, Query: query,
		Header: http.Header{"Authorization": {"Bearer " + s.token}}, Body: []byte(body)}
	s.v.Identify(tx, r)
	return s.v.Serve(tx, r)
}

// serve answers a request in a portal where 1001 is a company, 1002 a line
// item and 1003 a deal of both.
func (s *shelf) serve(t *testing.T, method, path, query, body string) engine.Response {
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Skip("not a query a server would hand on")
	}
	var out engine.Response
	s.engine.View(func(tx *engine.Tx) {
		for _, step := range [][2]string{
			{"companies", `{"properties":{"name":"Acme"}}`}, {"line_items", `{"properties":{"name":"l","price":"5","quantity":"2"}}`},
			{"deals", `{"properties":{"dealname":"d","dealstage":"closedwon"},"associations":[` + to("1001", 5) + `,` + to("1002", 19) + `]}`},
		} {
			if r := s.one(tx, "POST", "/crm/v3/objects/"+step[0], nil, step[1]); r.Status != 201 {
				t.Fatalf("%s: %s", step[0], r.Body)
			}
		}
		out = s.one(tx, method, path, q, body)
	})
	return out
}

func seeds() [][4]string {
	return [][4]string{
		{"POST", "/crm/v3/objects/deals/search", "", `{"filterGroups":[{"filters":[{"propertyName":"amount","operator":"GT","value":"1e999999999"},{"propertyName":"hs_lastmodifieddate","operator":"BETWEEN","value":"0","highValue":"2026-01-01"}]}],"sorts":["-amount"],"properties":["dealname"],"limit":10,"after":"0"}`},
		{"POST", "/crm/v3/objects/companies/search", "", `{"filterGroups":[{"filters":[null]}],"sorts":[{"propertyName":"name","direction":"DESCENDING"}]}`},
		{"POST", "/crm/v3/objects/deals/batch/read", "archived=true", `{"inputs":[{"id":"1003"},{"id":"9"}],"properties":["amount"]}`},
		{"POST", "/crm/v3/objects/deals/batch/update", "", `{"inputs":[{"id":"1003","properties":{"amount":"12","dealname":null}}]}`},
		{"POST", "/crm/v3/objects/contacts/batch/upsert", "", `{"inputs":[{"id":"a@x.example","idProperty":"email","properties":{}}]}`},
		{"POST", "/crm/v3/objects/companies/merge", "", `{"primaryObjectId":"1001","objectIdToMerge":"1001"}`},
		{"PATCH", "/crm/v3/objects/line_items/1002", "", `{"properties":{"quantity":"-0.5","discount":"1","price":"99999999999999999999999"}}`},
		{"PATCH", "/crm/v3/objects/deals/1003", "", `{"properties":{"pipeline":"default","dealstage":"closedlost","closedate":"2026-01-01"}}`},
		{"GET", "/crm/v3/objects/deals", "limit=1&after=1&properties=amount,nope&associations=line_items,companies&archived=false", ""},
		{"POST", "/crm/v4/associations/deals/line_items/batch/read", "", `{"inputs":[{"id":"1003","after":"1"}]}`},
		{"POST", "/crm/v4/associations/deals/companies/batch/create", "", `{"inputs":[{"_from":{"id":"1003"},"from":{"id":"1003"},"to":{"id":"1001"},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":5}]}]}`},
		{"POST", "/crm/v4/associations/deals/companies/batch/labels/archive", "", `{"inputs":[{"from":{"id":"1003"},"to":{"id":"1001"},"types":[{"associationTypeId":5}]}]}`},
		{"PUT", "/crm/v4/objects/deals/1003/associations/companies/1001", "", `[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":5}]`},
		{"POST", "/crm/v3/properties/deals", "", `{"name":"mine","label":"x","type":"string","fieldType":"text","groupName":"dealinformation"}`},
		{"POST", "/crm/v3/pipelines/deals", "", `{"label":"P","stages":[{"label":"In","metadata":{"probability":"0.1"}}]}`},
		{"PATCH", "/crm/v3/pipelines/deals/default/stages/closedwon", "", `{"metadata":{"probability":"2"},"displayOrder":-1}`},
		{"DELETE", "/crm/v3/objects/deals/1003", "", ""},
		{"GET", "/oauth/authorize", "client_id=x&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&scope=oauth", ""},
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s[0], s[1], s[2], s[3])
	}
	s := newShelf(f)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		late := time.AfterFunc(20*time.Second, func() { panic("no answer after 20 s: " + method + " " + path + "?" + query + " " + body) })
		defer late.Stop()
		r := s.serve(t, method, path, query, body)
		if r.Status >= 500 || r.Status < 200 || len(r.Body) > 0 && !json.Valid(r.Body) {
			t.Errorf("%s %s?%s %s: %d %q", method, path, query, body, r.Status, r.Body)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("refresh_token", "refresh_token=x")
	f.Add("authorization_code", "code=x&redirect_uri=%zz")
	f.Add("", ";")
	s := newShelf(f)
	f.Fuzz(func(t *testing.T, kind, more string) {
		body := url.Values{"client_id": {s.client}, "client_secret": {s.secret}, "grant_type": {kind}}.Encode() + "&" + more
		s.engine.View(func(tx *engine.Tx) {
			r := &engine.Request{N: 1, Now: tx.Now(), Method: "POST", Path: tokenPath, Query: url.Values{}, Body: []byte(body), Header: http.Header{}}
			s.v.Identify(tx, r)
			s.v.Claims(tx, r)
			if resp := s.v.Serve(tx, r); resp.Status != 400 {
				t.Errorf("%s: %d %s", body, resp.Status, resp.Body)
			}
		})
	})
}

// spoilt is a body with each of its parts in turn replaced by something that
// does not belong there.
func spoilt(t *testing.T, body string) []string {
	var whole any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatal(err)
	}
	var out []string
	junk := []any{nil, "", "x", "1", 0, -1, json.Number("1e99"), true, []any{}, []any{nil}, map[string]any{}, map[string]any{"value": 1}}
	var walk func(v any, put func(any))
	walk = func(v any, put func(any)) {
		for _, j := range junk {
			put(j)
			raw, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(raw))
		}
		put(v)
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(inner, func(x any) { v[k] = x })
			}
		case []any:
			for i, inner := range v {
				walk(inner, func(x any) { v[i] = x })
			}
		}
	}
	walk(whole, func(x any) { whole = x })
	return out
}

func TestEveryPartOfABodyCanBeWrong(t *testing.T) {
	s := newShelf(t)
	for _, seed := range seeds() {
		if seed[3] == "" {
			continue
		}
		for _, body := range spoilt(t, seed[3]) {
			if r := s.serve(t, seed[0], seed[1], seed[2], body); r.Status >= 500 || len(r.Body) > 0 && !json.Valid(r.Body) {
				t.Errorf("%s %s %s: %d %s", seed[0], seed[1], body, r.Status, r.Body)
			}
		}
	}
}
