package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

// spec is one association type in a request.
type spec struct {
	Category string `json:"associationCategory"`
	TypeID   int    `json:"associationTypeId"`
}

func typeIDs(specs []spec) []int {
	var ids []int
	for _, s := range specs {
		ids = append(ids, s.TypeID)
	}
	return ids
}

// view is one association in a v4 answer. The id is a number there.
func (l link) view() map[string]any {
	types := []any{}
	for _, t := range l.types(l.primary) {
		types = append(types, map[string]any{"category": "HUBSPOT_DEFINED", "typeId": t, "label": l.label(t)})
	}
	return map[string]any{"toObjectId": json.Number(l.to.id), "associationTypes": types}
}

// associated is the associations part of a v3 object answer: a primary
// association stands there twice, as at HubSpot.
func (v *vendor) associated(tx *engine.Tx, r *record, kinds []*kind) map[string]any {
	out := map[string]any{}
	for _, k := range kinds {
		results := []any{}
		for _, l := range v.links(tx, r, k) {
			for _, t := range l.types(l.primary) {
				results = append(results, map[string]any{"id": l.to.id, "type": l.name(t)})
			}
		}
		if len(results) > 0 {
			out[k.label] = map[string]any{"results": results}
		}
	}
	return out
}

func (v *vendor) listAssociations(c *call) engine.Response {
	from, to := live(c.tx, c.kind, c.vars["id"]), v.catalogue.kind(c.vars["to"])
	if from == nil || to == nil {
		return notFound().response(c.r)
	}
	limit, after, p := c.page(500, 500)
	if p != nil {
		return p.response(c.r)
	}
	links := v.links(c.tx, from, to)
	results := []any{}
	for i := after; i < len(links) && i < after+limit; i++ {
		results = append(results, links[i].view())
	}
	return engine.JSON(http.StatusOK, withPaging(map[string]any{"results": results}, after+limit, len(links)))
}

// withPaging adds the cursor of the next page, if there is one.
func withPaging(body map[string]any, next, total int) map[string]any {
	if next < total {
		body["paging"] = map[string]any{"next": map[string]any{"after": strconv.Itoa(next)}}
	}
	return body
}

// pair reads both ends of an association.
func (v *vendor) pair(tx *engine.Tx, k *kind, id, toKind, toID string) (from, to *record, p *problem) {
	other := v.catalogue.kind(toKind)
	if other == nil {
		return nil, nil, notFound()
	}
	if from = live(tx, k, id); from == nil {
		return nil, nil, missing(k, id)
	}
	if to = live(tx, other, toID); to == nil {
		return nil, nil, missing(other, toID)
	}
	return from, to, nil
}

func missing(k *kind, id string) *problem {
	p := notFound()
	p.message = k.name + " with id " + id + " was not found"
	p.context = map[string][]string{"id": {id}}
	return p
}

// associate connects two records and brings both up to date.
func (v *vendor) associate(tx *engine.Tx, from, to *record, types []int) *problem {
	if p := v.connect(tx, from, to, types); p != nil {
		return p
	}
	v.touch(tx, from)
	v.touch(tx, to)
	return nil
}

func (v *vendor) putAssociation(c *call) engine.Response {
	var specs []spec
	if p := c.body(&specs); p != nil {
		return p.response(c.r)
	}
	if len(specs) == 0 {
		return invalid("Invalid input JSON: at least one association type is required").response(c.r)
	}
	from, to, p := v.pair(c.tx, c.kind, c.vars["id"], c.vars["to"], c.vars["toID"])
	if p == nil {
		p = v.associate(c.tx, from, to, typeIDs(specs))
	}
	if p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusCreated, v.labels(c.tx, from, to))
}

// labels is an association as the routes that make one answer it.
func (v *vendor) labels(tx *engine.Tx, from, to *record) map[string]any {
	labels := []any{}
	for _, l := range v.links(tx, from, to.kind) {
		if l.to.id == to.id && l.primary {
			labels = append(labels, "Primary")
		}
	}
	return map[string]any{
		"fromObjectTypeId": from.kind.typeID, "fromObjectId": json.Number(from.id),
		"toObjectTypeId": to.kind.typeID, "toObjectId": json.Number(to.id), "labels": labels,
	}
}

func (v *vendor) putDefaultAssociation(c *call) engine.Response {
	from, to, p := v.pair(c.tx, c.kind, c.vars["id"], c.vars["to"], c.vars["toID"])
	if p != nil {
		return p.response(c.r)
	}
	result, p := v.associateDefault(c.tx, from, to)
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	b.results = append(b.results, result)
	return b.answer(http.StatusOK)
}

func (v *vendor) associateDefault(tx *engine.Tx, from, to *record) (map[string]any, *problem) {
	rel, ok := related(from.kind, to.kind)
	if !ok {
		return nil, invalid("Objects of type %s cannot be associated with %s", from.kind.name, to.kind.name)
	}
	if p := v.associate(tx, from, to, []int{rel.plain}); p != nil {
		return nil, p
	}
	return map[string]any{
		"from": map[string]any{"id": from.id}, "to": map[string]any{"id": to.id},
		"associationSpec": map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": rel.plain},
	}, nil
}

func (v *vendor) deleteAssociation(c *call) engine.Response {
	from, to, p := v.pair(c.tx, c.kind, c.vars["id"], c.vars["to"], c.vars["toID"])
	if p != nil {
		return p.response(c.r)
	}
	v.dissociate(c.tx, from, to)
	return engine.Response{Status: http.StatusNoContent}
}

func (v *vendor) dissociate(tx *engine.Tx, from, to *record) {
	if disconnect(tx, from, to) {
		v.touch(tx, from)
		v.touch(tx, to)
	}
}

func (v *vendor) listLabels(c *call) engine.Response {
	to := v.catalogue.kind(c.vars["to"])
	if to == nil {
		return notFound().response(c.r)
	}
	results := []any{}
	if rel, ok := related(c.kind, to); ok {
		for _, t := range rel.types(true) {
			results = append(results, map[string]any{"category": "HUBSPOT_DEFINED", "typeId": t, "label": rel.label(t)})
		}
	}
	return engine.JSON(http.StatusOK, map[string]any{"results": results})
}

// associationInput is one input of the batch routes.
type associationInput struct {
	ID   string `json:"id"`
	From struct {
		ID string `json:"id"`
	} `json:"from"`
	To    ends   `json:"to"`
	Types []spec `json:"types"`
}

// ends is one end or several: archive takes an array.
type ends []string

// UnmarshalJSON takes {"id":…} and [{"id":…}].
func (e *ends) UnmarshalJSON(b []byte) error {
	type end struct {
		ID string `json:"id"`
	}
	var many []end
	if len(b) > 0 && b[0] == '{' {
		many = make([]end, 1)
		if err := json.Unmarshal(b, &many[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	for _, x := range many {
		*e = append(*e, x.ID)
	}
	return nil
}

func (v *vendor) associationInputs(c *call, most int) ([]associationInput, *problem) {
	var in struct {
		Inputs []associationInput `json:"inputs"`
	}
	if p := c.body(&in); p != nil {
		return nil, p
	}
	if v.catalogue.kind(c.vars["to"]) == nil {
		return nil, notFound()
	}
	if n := len(in.Inputs); n == 0 || n > most {
		return nil, invalid("The number of inputs must be between 1 and %d, but was %d", most, n)
	}
	return in.Inputs, nil
}

func (v *vendor) batchReadAssociations(c *call) engine.Response {
	inputs, p := v.associationInputs(c, 1000)
	if p != nil {
		return p.response(c.r)
	}
	to, b := v.catalogue.kind(c.vars["to"]), newBatch(c)
	for i, in := range inputs {
		var views []any
		if from := live(c.tx, c.kind, in.ID); from != nil {
			for _, l := range v.links(c.tx, from, to) {
				views = append(views, l.view())
			}
		}
		if p := b.spoiled(i); p != nil {
			b.fail(p)
			continue
		}
		if views == nil { // none is an error of the item here, unlike on the single route
			b.fail(nothingAssociated(c.kind, to, in.ID))
			continue
		}
		b.results = append(b.results, map[string]any{"from": map[string]any{"id": in.ID}, "to": views})
	}
	return b.answer(http.StatusOK)
}

func nothingAssociated(from, to *kind, id string) *problem {
	return &problem{
		status: http.StatusNotFound, category: "OBJECT_NOT_FOUND", sub: "crm.associations.NO_ASSOCIATIONS_FOUND",
		message: "No " + to.name + " is associated with " + from.name + " " + id + ".",
		context: map[string][]string{"fromObjectId": {id}, "fromObjectType": {from.name}, "toObjectType": {to.name}},
	}
}

func (v *vendor) batchCreateAssociations(c *call) engine.Response {
	inputs, p := v.associationInputs(c, 2000)
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	for i, in := range inputs {
		b.do(i, func(tx *engine.Tx) (any, *problem) {
			if len(in.To) != 1 || len(in.Types) == 0 {
				return nil, invalid("Invalid input JSON: an association needs from, to and types")
			}
			from, to, p := v.pair(tx, c.kind, in.From.ID, c.vars["to"], in.To[0])
			if p == nil {
				p = v.associate(tx, from, to, typeIDs(in.Types))
			}
			if p != nil {
				return nil, p
			}
			return v.labels(tx, from, to), nil
		})
	}
	return b.answer(http.StatusCreated)
}

func (v *vendor) batchDefaultAssociations(c *call) engine.Response {
	inputs, p := v.associationInputs(c, 2000)
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	for i, in := range inputs {
		b.do(i, func(tx *engine.Tx) (any, *problem) {
			if len(in.To) != 1 {
				return nil, invalid("Invalid input JSON: an association needs from and to")
			}
			from, to, p := v.pair(tx, c.kind, in.From.ID, c.vars["to"], in.To[0])
			if p != nil {
				return nil, p
			}
			return v.associateDefault(tx, from, to)
		})
	}
	return b.answer(http.StatusOK)
}

func (v *vendor) batchArchiveAssociations(c *call) engine.Response {
	inputs, p := v.associationInputs(c, 2000)
	if p != nil {
		return p.response(c.r)
	}
	for _, in := range inputs {
		for _, id := range in.To {
			if from, to, p := v.pair(c.tx, c.kind, in.From.ID, c.vars["to"], id); p == nil {
				v.dissociate(c.tx, from, to)
			}
		}
	}
	return engine.Response{Status: http.StatusNoContent}
}

// batchArchiveLabels takes the primary label away and leaves the association.
func (v *vendor) batchArchiveLabels(c *call) engine.Response {
	inputs, p := v.associationInputs(c, 2000)
	if p != nil {
		return p.response(c.r)
	}
	for _, in := range inputs {
		for _, id := range in.To {
			if from, to, p := v.pair(c.tx, c.kind, in.From.ID, c.vars["to"], id); p == nil {
				v.unlabel(c.tx, from, to, typeIDs(in.Types))
			}
		}
	}
	return engine.Response{Status: http.StatusNoContent}
}

func (v *vendor) unlabel(tx *engine.Tx, from, to *record, types []int) {
	for _, l := range v.links(tx, from, to.kind) {
		if l.to.id != to.id {
			continue
		}
		for _, t := range types {
			if t == l.relation.primary && l.primary {
				put(tx, l.relation, from.id, to.id, false)
			}
		}
	}
	v.touch(tx, from)
	v.touch(tx, to)
}
