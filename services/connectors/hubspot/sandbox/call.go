package sandbox

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// call is one request on its way through a route.
type call struct {
	tx   *engine.Tx
	r    *engine.Request
	vars map[string]string
	kind *kind // of the {object} in the path
}

// route is a method, a path with {variables} and what answers it.
type route struct {
	method  string
	path    []string
	handler func(*call) engine.Response
}

func at(method, path string, handler func(*call) engine.Response) route {
	return route{method: method, path: strings.Split(path, "/"), handler: handler}
}

// match fills the variables of a path that has the route's shape.
func (rt route) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(rt.path) {
		return nil, false
	}
	vars := map[string]string{}
	for i, s := range rt.path {
		switch {
		case strings.HasPrefix(s, "{"):
			vars[strings.Trim(s, "{}")] = segments[i]
		case s != segments[i]:
			return nil, false
		}
	}
	return vars, true
}

func segments(path string) []string {
	return strings.Split(strings.TrimSuffix(path, "/"), "/")
}

// body decodes the request; HubSpot ignores fields it does not know here.
func (c *call) body(into any) *problem {
	d := json.NewDecoder(bytes.NewReader(c.r.Body))
	if err := d.Decode(into); err != nil {
		return invalid("Invalid input JSON: %s", err)
	}
	return nil
}

// list is a query parameter given once, several times or with commas.
func (c *call) list(name string) []string {
	var out []string
	for _, v := range c.r.Query[name] {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func (c *call) archived() bool { return c.r.Query.Get("archived") == "true" }

// page reads limit and after.
func (c *call) page(usual, most int) (limit, after int, p *problem) {
	limit = usual
	var err error
	if s := c.r.Query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > most {
			return 0, 0, invalid("The limit must be between 1 and %d, but was %s", most, s)
		}
	}
	if s := c.r.Query.Get("after"); s != "" {
		if after, err = strconv.Atoi(s); err != nil || after < 0 {
			return 0, 0, invalid("Invalid paging cursor: %s", s)
		}
	}
	return limit, after, nil
}

func number(id string) int {
	n, _ := strconv.Atoi(id)
	return n
}

// unquote reads a JSON string and says whether it was one.
func unquote(b []byte, into *string) bool {
	return len(b) > 0 && b[0] == '"' && json.Unmarshal(b, into) == nil
}
