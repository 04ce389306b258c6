package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// The vendor's paths.
const (
	apiPath       = "/v3/company/"
	tokenPath     = "/oauth2/v1/tokens/bearer"
	revokePath    = "/v2/oauth2/tokens/revoke"
	authorizePath = "/connect/oauth2"
)

// company is the vendor the engine runs.
type company struct {
	realm    string
	shared   map[string]string // of the app, where another company has founded it
	presets  map[string]preset
	kinds    map[string]*kind
	schema   map[string]map[string]bool
	settings behaviour
	verifier string
}

func newCompany(realm string, shared map[string]string) (*company, error) {
	c := &company{realm: realm, shared: shared, settings: defaultBehaviour()}
	var err error
	if c.presets, err = readPresets(); err != nil {
		return nil, err
	}
	c.kinds, c.schema, err = kinds()
	return c, err
}

// Limits are the vendor's published ones, per app and company, and one for all
// apps of a company.
func (c *company) Limits() []engine.Limit {
	api := func(r *engine.Request) bool { return strings.HasPrefix(r.Path, apiPath) }
	batch := func(r *engine.Request) bool { return api(r) && strings.HasSuffix(r.Path, "/batch") }
	return []engine.Limit{
		{Name: "per_second", Count: 10, Window: time.Second, Applies: api},
		{Name: "per_minute", Count: 500, Window: time.Minute, Applies: api},
		{Name: "batches_per_minute", Count: 40, Window: time.Minute, Applies: batch},
		{Name: "batches_per_minute_of_company", Count: 120, Window: time.Minute, Shared: true, Applies: batch},
	}
}

// call is one operation: a request, or an item of a batch.
type call struct {
	c      *company
	tx     *engine.Tx
	r      *engine.Request
	preset preset

	allowDuplicate bool   // include=allowduplicatedocnum
	currency       string // of the transaction that is judged
}

// Serve answers a request.
func (c *company) Serve(tx *engine.Tx, r *engine.Request) engine.Response {
	switch {
	case r.Path == tokenPath:
		return c.token(tx, r)
	case r.Path == revokePath || r.Path == "/oauth2/v1/tokens/revoke":
		return c.revoke(tx, r)
	case r.Path == authorizePath:
		return c.authorize(tx, r)
	case strings.HasPrefix(r.Path, apiPath):
		return c.api(tx, r)
	}
	return engine.Response{Status: http.StatusNotFound, Header: http.Header{}}
}

// api lets a client in and answers what it asks of the books.
func (c *company) api(tx *engine.Tx, r *engine.Request) engine.Response {
	if why := admitted(tx, r); why != "" {
		return c.unauthorised(r, why)
	}
	path := strings.Split(strings.TrimPrefix(r.Path, apiPath), "/")
	if path[0] != c.realm || len(path) < 2 {
		return c.forbidden(r)
	}
	if err := c.settings.allows(r.Method != http.MethodGet && path[1] != "query"); err != nil {
		return c.refuse(r, err)
	}
	x := &call{c: c, tx: tx, r: r, preset: c.presets[tx.Fact(presetFact)], allowDuplicate: r.Query.Get("include") == "allowduplicatedocnum"}
	var body fields
	var err error
	if r.Method == http.MethodPost && path[1] != "query" {
		if answer, ok := x.repeated(); ok {
			return answer
		}
		if err = x.checkRequestID(path[1]); err == nil {
			body, err = x.post(path[1:])
		}
	} else {
		body, err = x.get(path[1:])
	}
	if err != nil {
		return c.refuse(r, err)
	}
	resp := c.reply(r, http.StatusOK, body)
	if id := r.Query.Get("requestid"); id != "" && r.Method == http.MethodPost && path[1] != "query" {
		tx.Remember(r.App+"/"+id, resp.Body)
	}
	return resp
}

// repeated is the first answer under the same request id.
func (x *call) repeated() (engine.Response, bool) {
	id := x.r.Query.Get("requestid")
	if id == "" {
		return engine.Response{}, false
	}
	body, ok := x.tx.Recall(x.r.App + "/" + id)
	resp := engine.Response{Status: http.StatusOK, Header: http.Header{}, Body: body}
	x.c.mark(x.r, &resp)
	return resp, ok
}

func (x *call) checkRequestID(resource string) error {
	id, limit := x.r.Query.Get("requestid"), 50
	if resource == "batch" {
		limit = 36
	}
	if len(id) > limit {
		return tooLong("requestid", limit, len(id))
	}
	return nil
}

func (x *call) get(path []string) (fields, error) {
	switch path[0] {
	case "query":
		q := x.r.Query.Get("query")
		if x.r.Method == http.MethodPost {
			q = string(x.r.Body)
		}
		return x.query(q)
	case "cdc":
		return x.changes(x.r.Query)
	case "exchangerate":
		return x.rate(x.r.Query)
	}
	if x.r.Method != http.MethodGet {
		return nil, unsupported(x.r.Method)
	}
	k := x.c.kinds[path[0]]
	if k == nil {
		return nil, unsupported(path[0])
	}
	if single := x.single(k); single != nil {
		return fields{k.name: single}, nil
	}
	if len(path) < 2 {
		return nil, missing("Id")
	}
	o := x.tx.Get(k.typ(), path[1])
	if o == nil || o.Deleted {
		return nil, inactive()
	}
	return fields{k.name: x.data(k, o)}, nil
}

func (x *call) post(path []string) (fields, error) {
	resource := path[0]
	if len(path) == 3 && resource == "invoice" && path[2] == "send" {
		return x.send(path[1], x.r.Query.Get("sendTo"))
	}
	body, err := decodeBody(x.r.Body)
	if err != nil {
		return nil, err
	}
	switch resource {
	case "batch":
		return x.batch(body)
	case "exchangerate":
		return x.setRate(body)
	}
	k := x.c.kinds[resource]
	if k == nil || k.check == nil {
		return nil, unsupported(resource)
	}
	operation := x.r.Query.Get("operation")
	if x.r.Query.Get("include") == "void" {
		operation = "void"
	}
	return x.operate(k, operation, body)
}

// decodeBody reads one JSON object.
func decodeBody(raw []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var body fields
	if err := d.Decode(&body); err != nil || body == nil || d.More() {
		return nil, &fault{code: "2010", message: "Request has invalid or unsupported property",
			detail: "Property Name:failed to parse json object; a property specified is unsupported or invalid"}
	}
	return body, nil
}
