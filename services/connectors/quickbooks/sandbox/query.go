package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// query answers a statement of the query language.
func (x *call) query(src string) (fields, error) {
	q, err := parseQuery(src)
	if err != nil {
		return nil, err
	}
	k := x.c.kinds[strings.ToLower(q.entity)]
	if k == nil {
		return nil, &fault{code: "4001", message: "Invalid query", detail: "QueryValidationError: Metadata not found for Entity: " + q.entity}
	}
	if err := k.queryable(q); err != nil {
		return nil, err
	}
	if k.list && !q.asks("Active") {
		q.where = append(q.where, condition{field: "Active", op: "=", values: []string{"true"}})
	}
	found := x.find(k, q)
	if q.count {
		return fields{"QueryResponse": fields{"totalCount": len(found)}}, nil
	}
	page := found[min(q.start-1, len(found)):]
	page = page[:min(q.max, len(page))]
	if len(page) == 0 {
		return fields{"QueryResponse": fields{}}, nil
	}
	return fields{"QueryResponse": fields{k.name: chosen(page, q.columns), "startPosition": q.start, "maxResults": len(page)}}, nil
}

// queryable refuses what the vendor does not filter or sort by.
func (k *kind) queryable(q query) error {
	names := []string{}
	for _, c := range q.where {
		names = append(names, c.field)
	}
	for _, o := range q.order {
		names = append(names, o.field)
	}
	for _, name := range names {
		top, _, _ := strings.Cut(name, ".")
		switch {
		case name == "MetaData.CreateTime" || name == "MetaData.LastUpdatedTime":
		case !k.fields[top]:
			return refusedQuery("Property %s not found for Entity %s", name, k.name)
		case !k.filters[name]:
			return refusedQuery("property '%s' is not queryable", name)
		}
	}
	for _, name := range q.columns {
		if top, _, _ := strings.Cut(name, "."); !k.fields[top] {
			return refusedQuery("Property %s not found for Entity %s", name, k.name)
		}
	}
	return nil
}

// find is what matches, in order.
func (x *call) find(k *kind, q query) []fields {
	if single := x.single(k); single != nil {
		return []fields{single}
	}
	var out []fields
	needles := needles(q.where)
	x.visible(k.typ(), func(o *engine.Object, v *engine.Version, deleted bool) {
		if deleted || !timely(q.where, o, v) || !contains(v.Data, needles) {
			return
		}
		data := x.present(k, o.ID, x.said(o, v))
		if !slices.ContainsFunc(q.where, func(c condition) bool { return !matches(data, c) }) {
			out = append(out, data)
		}
	})
	for _, o := range slices.Backward(q.order) {
		slices.SortStableFunc(out, func(a, b fields) int {
			n := order(value(a, o.field), value(b, o.field))
			if o.desc {
				return -n
			}
			return n
		})
	}
	return out
}

// visible walks the versions a search can see now: with a search lag, the past.
func (x *call) visible(typ string, f func(o *engine.Object, v *engine.Version, deleted bool)) {
	moment := x.tx.Now().Add(-x.r.SearchLag)
	x.tx.Each(typ, func(o *engine.Object) bool {
		v := o.Last()
		if x.r.SearchLag > 0 {
			past := o.AsOf(moment)
			if past == nil {
				return true
			}
			v = *past
		}
		f(o, &v, o.Deleted && !o.UpdatedAt().After(v.At.Time))
		return true
	})
}

// said is what an object said in a version.
func (x *call) said(o *engine.Object, v *engine.Version) fields {
	if v.Request == o.Last().Request {
		return x.tx.Data(o)
	}
	data, _ := engine.Decode(v.Data)
	return data
}

// timely checks the MetaData conditions without reading the object.
func timely(where []condition, o *engine.Object, v *engine.Version) bool {
	for _, c := range where {
		have := v.At.Time
		switch c.field {
		case "MetaData.CreateTime":
			have = o.CreatedAt.Time
		case "MetaData.LastUpdatedTime":
		default:
			continue
		}
		if !holds(c, have.Truncate(time.Second)) {
			return false
		}
	}
	return true
}

func holds(c condition, have time.Time) bool {
	for _, s := range c.values {
		want, ok := moment(s)
		if ok && compared(c.op, have.Compare(want)) {
			return true
		}
	}
	return false
}

// moment reads a time as clients write it; without an offset it is the
// vendor's own.
func moment(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, clockZone()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// needle is a text an object must contain to match: a quick look before the
// JSON is read. A pattern minds no case.
type needle struct {
	text   []byte
	folded bool
}

func needles(where []condition) []needle {
	var out []needle
	for _, c := range where {
		if c.field == "Active" || strings.HasPrefix(c.field, "MetaData.") {
			continue
		}
		switch c.op {
		case "like":
			longest := slices.MaxFunc(strings.Split(c.values[0], "%"), func(a, b string) int { return cmp.Compare(len(a), len(b)) })
			if raw, err := json.Marshal(strings.ToLower(longest)); err == nil {
				out = append(out, needle{bytes.Trim(raw, `"`), true})
			}
		case "=":
			if _, number := new(big.Rat).SetString(c.values[0]); number && c.field != "DocNumber" && c.field != "Id" && c.field != "CustomerRef" {
				continue
			}
			if raw, err := json.Marshal(c.values[0]); err == nil && c.field != "Job" && c.field != "Taxable" {
				out = append(out, needle{bytes.Trim(raw, `"`), false})
			}
		}
	}
	return out
}

func contains(raw []byte, needles []needle) bool {
	var folded []byte
	for _, n := range needles {
		in := raw
		if n.folded {
			if folded == nil {
				folded = bytes.ToLower(raw)
			}
			in = folded
		}
		if !bytes.Contains(in, n.text) {
			return false
		}
	}
	return true
}

// value is what a field is compared by.
func value(data fields, field string) any {
	v := at(data, strings.Split(field, ".")...)
	m, ok := v.(fields)
	if !ok {
		return v
	}
	for _, inner := range []string{"value", "Address", "FreeFormNumber"} {
		if m[inner] != nil {
			return m[inner]
		}
	}
	return nil
}

// matches judges one condition; a field that is absent matches nothing.
func matches(data fields, c condition) bool {
	if strings.HasPrefix(c.field, "MetaData.") {
		return true // timely has judged it
	}
	have := value(data, c.field)
	if have == nil {
		return false
	}
	for _, want := range c.values {
		if c.op == "like" {
			s, _ := have.(string)
			if like(strings.ToLower(want), strings.ToLower(s)) {
				return true
			}
			continue
		}
		if compared(c.op, order(have, want)) {
			return true
		}
	}
	return false
}

func compared(op string, n int) bool {
	switch op {
	case "=", "in":
		return n == 0
	case "<":
		return n < 0
	case ">":
		return n > 0
	case "<=":
		return n <= 0
	case ">=":
		return n >= 0
	}
	return false
}

// order compares numbers as numbers and all else as text.
func order(a, b any) int {
	as, bs := plain(a), plain(b)
	if n, ok := a.(json.Number); ok {
		x, okx := new(big.Rat).SetString(n.String())
		y, oky := new(big.Rat).SetString(bs)
		if okx && oky {
			return x.Cmp(y)
		}
	}
	return cmp.Compare(as, bs)
}

func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

// like matches % as any text.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "%")
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	if len(parts) == 1 {
		return s == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// chosen cuts entities down to the columns that were asked for.
func chosen(page []fields, columns []string) []fields {
	if columns == nil {
		return page
	}
	out := make([]fields, len(page))
	for i, data := range page {
		out[i] = fields{"domain": "QBO", "sparse": true, "Id": data["Id"]}
		for _, name := range columns {
			top, _, _ := strings.Cut(name, ".")
			if data[top] != nil {
				out[i][top] = data[top]
			}
		}
	}
	return out
}
