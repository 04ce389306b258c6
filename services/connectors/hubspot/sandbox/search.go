package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

const (
	searchPage   = 200   // HubSpot's largest page of a search
	searchWindow = 10000 // and the last result it will ever show
)

// filter is one condition of a search.
type filter struct {
	Property string   `json:"propertyName"`
	Operator string   `json:"operator"`
	Value    *string  `json:"value"`
	High     *string  `json:"highValue"`
	Values   []string `json:"values"`

	definition *definition
}

// search is the body of a search.
type search struct {
	Groups []struct {
		Filters []*filter `json:"filters"`
	} `json:"filterGroups"`
	Sorts      []sorting `json:"sorts"`
	Query      string    `json:"query"`
	Properties []string  `json:"properties"`
	Limit      int       `json:"limit"`
	After      offset    `json:"after"`
}

// sorting is "property", "-property" or {"propertyName","direction"}.
type sorting struct {
	Property string
	Down     bool
}

// UnmarshalJSON takes both notations.
func (s *sorting) UnmarshalJSON(b []byte) error {
	var name string
	if unquote(b, &name) {
		s.Property, s.Down = strings.TrimPrefix(name, "-"), strings.HasPrefix(name, "-")
		return nil
	}
	var object struct {
		Property  string `json:"propertyName"`
		Direction string `json:"direction"`
	}
	err := json.Unmarshal(b, &object)
	s.Property, s.Down = object.Property, object.Direction == "DESCENDING"
	return err
}

// offset is a cursor, written as a string or as a number.
type offset int

// UnmarshalJSON takes both notations.
func (o *offset) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*o = offset(n)
	if string(b) == `""` || string(b) == "null" {
		return nil
	}
	return err
}

func (v *vendor) searchObjects(c *call) engine.Response {
	in := search{Limit: 10}
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	if p := v.prepare(c, &in); p != nil {
		return p.response(c.r)
	}
	found := v.found(c, &in)
	if len(in.Sorts) > 0 {
		sortBy(found, in.Sorts[0], v.definition(c.tx, c.kind, in.Sorts[0].Property))
	}
	asked := v.known(c.tx, c.kind, in.Properties)
	results := []any{}
	start := int(in.After)
	for i := start; i < len(found) && i < start+in.Limit; i++ {
		results = append(results, found[i].answer(asked))
	}
	body := map[string]any{"total": len(found), "results": results}
	return engine.JSON(http.StatusOK, withPaging(body, start+in.Limit, len(found)))
}

// prepare checks a search as HubSpot does.
func (v *vendor) prepare(c *call, in *search) *problem {
	if in.Limit < 1 || in.Limit > searchPage {
		return invalid("The limit must be between 1 and %d, but was %d", searchPage, in.Limit)
	}
	if in.After < 0 || int(in.After) > searchWindow-in.Limit {
		return invalid("Paging beyond %d results is not supported", searchWindow)
	}
	if len(in.Groups) > 5 || len(in.Sorts) > 1 {
		return invalid("At most 5 filterGroups and 1 sort are supported")
	}
	for _, s := range in.Sorts {
		if v.definition(c.tx, c.kind, s.Property) == nil {
			return unknownProperty(s.Property)
		}
	}
	for _, g := range in.Groups {
		for _, f := range g.Filters {
			if f == nil {
				return invalid("Invalid input JSON: a filter is null")
			}
			if f.definition = v.definition(c.tx, c.kind, f.Property); f.definition == nil {
				return unknownProperty(f.Property)
			}
			if p := f.check(); p != nil {
				return p
			}
		}
	}
	return nil
}

func unknownProperty(name string) *problem {
	p := invalid("There was a problem with the request: property %q does not exist", name)
	p.details = []detail{{Message: p.message, Code: "PROPERTY_DOESNT_EXIST", Context: map[string][]string{"propertyName": {name}}}}
	return p
}

func (f *filter) check() *problem {
	ok := false
	switch f.Operator {
	case "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "CONTAINS_TOKEN":
		ok = f.Value != nil
	case "IN", "NOT_IN":
		ok = len(f.Values) > 0
	case "BETWEEN":
		ok = f.Value != nil && f.High != nil
	case "HAS_PROPERTY", "NOT_HAS_PROPERTY":
		ok = f.Value == nil
	}
	if !ok {
		return invalid("Invalid filter on %s: operator %s has not the values it needs", f.Property, f.Operator)
	}
	return nil
}

// found are the live records the index knows and the search matches.
func (v *vendor) found(c *call, in *search) []*record {
	var out []*record
	seen := c.tx.Now().Add(-c.r.SearchLag)
	c.tx.Each(c.kind.name, func(o *engine.Object) bool {
		if o.Deleted || tooOld(o, c.kind, in) {
			return true
		}
		if r := indexed(c, o, seen); r != nil && in.matches(r) {
			out = append(out, r)
		}
		return true
	})
	return out
}

// indexed is the record as the index has it: what held a while ago.
func indexed(c *call, o *engine.Object, seen time.Time) *record {
	if !o.UpdatedAt().After(seen) {
		return read(c.kind, o, c.tx.Data(o))
	}
	old := o.AsOf(seen)
	if old == nil {
		return nil
	}
	data, err := engine.Decode(old.Data)
	if err != nil {
		return nil
	}
	return read(c.kind, o, data)
}

// tooOld spares decoding what a search by modification time cannot match.
func tooOld(o *engine.Object, k *kind, in *search) bool {
	if len(in.Groups) != 1 {
		return false
	}
	for _, f := range in.Groups[0].Filters {
		if f.Property != k.modified || (f.Operator != "GTE" && f.Operator != "GT") {
			continue
		}
		if t, ok := parseMoment(*f.Value); ok && o.UpdatedAt().Before(t) {
			return true
		}
	}
	return false
}

// matches: groups are alternatives, filters of a group all hold.
func (in *search) matches(r *record) bool {
	if in.Query != "" && !r.mentions(in.Query) {
		return false
	}
	if len(in.Groups) == 0 {
		return true
	}
	for _, g := range in.Groups {
		if !slices.ContainsFunc(g.Filters, func(f *filter) bool { return !f.matches(r.props[f.Property]) }) {
			return true
		}
	}
	return false
}

func (r *record) mentions(query string) bool {
	for _, name := range []string{"name", "dealname", "email", "firstname", "lastname", "domain", "hs_sku"} {
		if strings.Contains(strings.ToLower(r.props[name]), strings.ToLower(query)) {
			return true
		}
	}
	return false
}

func (f *filter) matches(value string) bool {
	switch f.Operator {
	case "HAS_PROPERTY":
		return value != ""
	case "NOT_HAS_PROPERTY":
		return value == ""
	case "NEQ":
		return f.compare(value, *f.Value) != 0
	case "NOT_IN":
		return !f.in(value)
	}
	if value == "" {
		return false
	}
	switch f.Operator {
	case "EQ":
		return f.compare(value, *f.Value) == 0
	case "GT":
		return f.compare(value, *f.Value) > 0
	case "GTE":
		return f.compare(value, *f.Value) >= 0
	case "LT":
		return f.compare(value, *f.Value) < 0
	case "LTE":
		return f.compare(value, *f.Value) <= 0
	case "BETWEEN":
		return f.compare(value, *f.Value) >= 0 && f.compare(value, *f.High) <= 0
	case "CONTAINS_TOKEN":
		return strings.Contains(strings.ToLower(value), strings.ToLower(strings.Trim(*f.Value, "*")))
	}
	return f.in(value)
}

func (f *filter) in(value string) bool {
	return slices.ContainsFunc(f.Values, func(x string) bool { return f.compare(value, x) == 0 })
}

func (f *filter) compare(a, b string) int { return compare(f.definition, a, b) }

// compare orders two values by the property's type; text ignores case.
func compare(d *definition, a, b string) int {
	switch d.Type {
	case "number":
		return decimal(a).Cmp(decimal(b))
	case "datetime", "date":
		x, _ := parseMoment(a)
		y, _ := parseMoment(b)
		return x.Compare(y)
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

func sortBy(found []*record, s sorting, d *definition) {
	slices.SortStableFunc(found, func(a, b *record) int {
		n := compare(d, a.props[s.Property], b.props[s.Property])
		if s.Down {
			return -n
		}
		return n
	})
}
