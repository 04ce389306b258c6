package sandbox

import (
	"maps"
	"slices"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// record is one CRM object as the portal keeps it.
type record struct {
	kind       *kind
	id         string
	props      map[string]string
	archived   bool
	archivedAt string
	mergedInto string // the id this one redirects to
}

func newRecord(k *kind, id string) *record {
	return &record{kind: k, id: id, props: map[string]string{"hs_object_id": id}}
}

// read decodes an object of the world; its properties are a copy.
func read(k *kind, o *engine.Object, data map[string]any) *record {
	r := &record{kind: k, id: o.ID, archived: o.Deleted, props: map[string]string{}}
	props, _ := data["properties"].(map[string]any)
	for name, v := range props {
		r.props[name], _ = v.(string)
	}
	r.archivedAt, _ = data["archivedAt"].(string)
	r.mergedInto, _ = data["mergedInto"].(string)
	return r
}

// find is the record with the id, following merges, archived ones too.
func find(tx *engine.Tx, k *kind, id string) *record {
	for {
		o := tx.Get(k.name, id)
		if o == nil {
			return nil
		}
		r := read(k, o, tx.Data(o))
		if r.mergedInto == "" {
			return r
		}
		id = r.mergedInto
	}
}

// live is find without archived records.
func live(tx *engine.Tx, k *kind, id string) *record {
	if r := find(tx, k, id); r != nil && !r.archived {
		return r
	}
	return nil
}

// save writes the record as changed now.
func (r *record) save(tx *engine.Tx) {
	r.props[r.kind.modified] = stamp(tx.Now())
	if r.props["createdate"] == "" {
		r.props["createdate"] = stamp(tx.Now())
	}
	tx.Put(r.kind.name, r.id, r.data())
}

// archive keeps the record readable with archived=true.
func (r *record) archive(tx *engine.Tx) {
	r.props[r.kind.modified] = stamp(tx.Now())
	r.archived, r.archivedAt = true, stamp(tx.Now())
	tx.Delete(r.kind.name, r.id, r.data())
}

func (r *record) data() map[string]any {
	props := make(map[string]any, len(r.props))
	for name, v := range r.props {
		props[name] = v
	}
	d := map[string]any{"properties": props}
	if r.archivedAt != "" {
		d["archivedAt"] = r.archivedAt
	}
	if r.mergedInto != "" {
		d["mergedInto"] = r.mergedInto
	}
	return d
}

// set changes a property; "" removes it. It says whether anything changed.
func (r *record) set(name, value string) bool {
	if r.props[name] == value {
		return false
	}
	if value == "" {
		delete(r.props, name)
		return true
	}
	r.props[name] = value
	return true
}

// answer is the record as the object routes show it: what always stands there
// and what was asked for. A property without a value is null.
func (r *record) answer(asked []string) map[string]any {
	props := map[string]any{}
	for i := range r.kind.builtin {
		if d := &r.kind.builtin[i]; d.Always && (len(asked) == 0 || d.ReadOnly) {
			props[d.Name] = orNull(r.props[d.Name])
		}
	}
	for _, name := range asked {
		props[name] = orNull(r.props[name])
	}
	a := map[string]any{
		"id": r.id, "properties": props, "archived": r.archived,
		"createdAt": r.props["createdate"], "updatedAt": r.props[r.kind.modified],
	}
	if r.archived {
		a["archivedAt"] = r.archivedAt
	}
	return a
}

// names are the properties that have a value.
func (r *record) names() []string { return slices.Sorted(maps.Keys(r.props)) }

// merged are all ids that were merged into this record.
func (r *record) merged() []string {
	if s := r.props["hs_merged_object_ids"]; s != "" {
		return strings.Split(s, ";")
	}
	return nil
}

func orNull(v string) any {
	if v == "" {
		return nil
	}
	return v
}
