package sandbox

import (
	"net/http"
	"slices"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// mergeObjects makes a new record of two. Both old ids redirect to it from then on.
func (v *vendor) mergeObjects(c *call) engine.Response {
	var in struct {
		Primary string `json:"primaryObjectId"`
		Other   string `json:"objectIdToMerge"`
	}
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	if c.kind.name == "line_item" || c.kind.name == "product" {
		return invalid("Objects of type %s cannot be merged", c.kind.name).response(c.r)
	}
	primary, other := live(c.tx, c.kind, in.Primary), live(c.tx, c.kind, in.Other)
	if primary == nil || other == nil {
		return notFound().response(c.r)
	}
	if primary.id == other.id {
		return invalid("Cannot merge an object with itself").response(c.r)
	}
	made, p := v.merge(c.tx, primary, other)
	if p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusOK, made.answer(made.names()))
}

// merge keeps the primary's values and takes the other's where it has none.
func (v *vendor) merge(tx *engine.Tx, primary, other *record) (*record, *problem) {
	made := newRecord(primary.kind, tx.NextID("object"))
	for _, from := range []*record{primary, other} {
		for name, value := range from.props {
			if made.props[name] == "" {
				made.props[name] = value
			}
		}
	}
	made.props["hs_merged_object_ids"] = strings.Join(mergedIDs(primary, other), ";")
	made.props["createdate"] = min(primary.props["createdate"], other.props["createdate"])
	if extra := other.props["email"]; extra != "" && extra != made.props["email"] {
		made.set("hs_additional_emails", extra)
	}
	v.moveLinks(tx, made, primary)
	v.moveLinks(tx, made, other)
	for _, old := range []*record{primary, other} {
		v.release(tx, old)
		old.mergedInto = made.id
		old.archive(tx)
	}
	if p := v.claim(tx, made, nil); p != nil {
		return nil, p
	}
	v.roll(tx, made)
	made.save(tx)
	v.touchNeighbours(tx, made)
	return made, nil
}

func mergedIDs(records ...*record) []string {
	var ids []string
	for _, r := range records {
		ids = append(ids, append(r.merged(), r.id)...)
	}
	slices.SortFunc(ids, func(a, b string) int { return number(a) - number(b) })
	return ids
}

// moveLinks gives the new record the old one's associations.
func (v *vendor) moveLinks(tx *engine.Tx, made, old *record) {
	for _, k := range v.catalogue.kinds {
		for _, l := range v.links(tx, old, k) {
			disconnect(tx, old, l.to)
			join(tx, l.relation, made, l.to, l.primary && v.mayLead(tx, l, made))
		}
	}
}

// mayLead keeps a one-primary side at one: the first primary that moved wins.
func (v *vendor) mayLead(tx *engine.Tx, l link, made *record) bool {
	if l.flipped { // the other side owns the label, and had only this one
		return true
	}
	return primaryOf(v.links(tx, made, l.to.kind)) == ""
}
