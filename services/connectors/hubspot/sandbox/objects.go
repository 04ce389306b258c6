package sandbox

import (
	"net/http"

	engine "tieout.dev/services/internal/sandbox"
)

// newLink is an association asked for with a new object.
type newLink struct {
	To struct {
		ID string `json:"id"`
	} `json:"to"`
	Types []spec `json:"types"`
}

// given are the properties of a body; null is the same as "".
func given(props map[string]*string) map[string]string {
	out := map[string]string{}
	for name, value := range props {
		if value == nil {
			out[name] = ""
		} else {
			out[name] = *value
		}
	}
	return out
}

// byID finds a record by its id or by a unique property.
func (v *vendor) byID(tx *engine.Tx, k *kind, id, property string) *record {
	if property == "" || property == "hs_object_id" {
		return find(tx, k, id)
	}
	if d := v.definition(tx, k, property); d == nil || !d.Unique {
		return nil
	}
	return find(tx, k, tx.Fact(uniqueKey(k, property, id)))
}

func (v *vendor) createObject(c *call) engine.Response {
	var in batchInput
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	r, p := v.create(c.tx, c.kind, in.Properties, in.Links)
	if p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusCreated, r.answer(r.names()))
}

func (v *vendor) create(tx *engine.Tx, k *kind, props map[string]*string, links []newLink) (*record, *problem) {
	r := newRecord(k, tx.NextID("object"))
	if p := v.write(tx, r, given(props)); p != nil {
		return nil, p
	}
	for _, l := range links {
		if p := v.linkNew(tx, r, l); p != nil {
			return nil, p
		}
	}
	if v.roll(tx, r) {
		r.save(tx)
	}
	if len(links) > 0 {
		v.touchNeighbours(tx, r)
	}
	return r, nil
}

// linkNew associates a new record; the types say what kind the other end is.
func (v *vendor) linkNew(tx *engine.Tx, r *record, l newLink) *problem {
	if len(l.Types) == 0 {
		return invalid("Invalid input JSON: an association needs types")
	}
	for _, rel := range relations() {
		if rel.from != r.kind.name || (l.Types[0].TypeID != rel.plain && l.Types[0].TypeID != rel.primary) {
			continue
		}
		other := v.catalogue.kind(rel.to)
		to := live(tx, other, l.To.ID)
		if to == nil {
			return missing(other, l.To.ID)
		}
		return v.connect(tx, r, to, typeIDs(l.Types))
	}
	return invalid("Association type %d does not exist for %s", l.Types[0].TypeID, r.kind.name)
}

func (v *vendor) readObject(c *call) engine.Response {
	r := v.byID(c.tx, c.kind, c.vars["id"], c.r.Query.Get("idProperty"))
	if r == nil || r.archived != c.archived() {
		return notFound().response(c.r)
	}
	kinds, p := v.askedKinds(c)
	if p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusOK, v.withAssociations(c, r, v.known(c.tx, c.kind, c.list("properties")), kinds))
}

func (v *vendor) withAssociations(c *call, r *record, asked []string, kinds []*kind) map[string]any {
	a := r.answer(asked)
	if found := v.associated(c.tx, r, kinds); len(found) > 0 {
		a["associations"] = found
	}
	return a
}

func (v *vendor) askedKinds(c *call) ([]*kind, *problem) {
	var kinds []*kind
	for _, name := range c.list("associations") {
		k := v.catalogue.kind(name)
		if k == nil {
			return nil, invalid("Unable to infer object type from: %s", name)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func (v *vendor) listObjects(c *call) engine.Response {
	limit, after, p := c.page(10, 100)
	if p != nil {
		return p.response(c.r)
	}
	kinds, p := v.askedKinds(c)
	if p != nil {
		return p.response(c.r)
	}
	asked := v.known(c.tx, c.kind, c.list("properties"))
	results := []any{}
	last := 0
	more := false
	c.tx.Each(c.kind.name, func(o *engine.Object) bool {
		if n := number(o.ID); n < after || o.Deleted != c.archived() {
			return true
		}
		r := read(c.kind, o, c.tx.Data(o))
		if r.mergedInto != "" {
			return true
		}
		if more = len(results) == limit; more {
			last = number(o.ID)
			return false
		}
		results = append(results, v.withAssociations(c, r, asked, kinds))
		return true
	})
	body := map[string]any{"results": results}
	if more {
		body = withPaging(body, last, last+1)
	}
	return engine.JSON(http.StatusOK, body)
}

func (v *vendor) updateObject(c *call) engine.Response {
	r := v.byID(c.tx, c.kind, c.vars["id"], c.r.Query.Get("idProperty"))
	if r == nil || r.archived {
		return notFound().response(c.r)
	}
	var in batchInput
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	if p := v.write(c.tx, r, given(in.Properties)); p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusOK, r.answer(v.shown(r, in.Properties)))
}

// shown are the properties an update answers: the changed and the computed ones.
func (v *vendor) shown(r *record, changed map[string]*string) []string {
	var names []string
	for name := range changed {
		names = append(names, name)
	}
	for i := range r.kind.builtin {
		if d := &r.kind.builtin[i]; d.ReadOnly && !d.Always && r.props[d.Name] != "" {
			names = append(names, d.Name)
		}
	}
	return names
}

func (v *vendor) archiveObject(c *call) engine.Response {
	if r := live(c.tx, c.kind, c.vars["id"]); r != nil {
		v.archive(c.tx, r)
	}
	return engine.Response{Status: http.StatusNoContent}
}

// archive takes the record out of sight; it stays readable with archived=true.
func (v *vendor) archive(tx *engine.Tx, r *record) {
	v.release(tx, r)
	r.archive(tx)
	v.touchNeighbours(tx, r)
}

// rollOwners brings the deals of a changed line item up to date.
func (v *vendor) rollOwners(tx *engine.Tx, r *record) {
	if r.kind.name == "line_item" {
		v.touchNeighbours(tx, r)
	}
}
