package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// grantPrefix marks facts that a reset and a restore leave alone.
const grantPrefix = "grant/"

// decodedMax bounds how many current versions are kept decoded.
const decodedMax = 8192

// Object is one record of the account with its whole history.
type Object struct {
	Type      string    `json:"type"`
	ID        string    `json:"id"`
	Version   int64     `json:"version"`
	Deleted   bool      `json:"deleted"`
	CreatedAt Time      `json:"created_at"`
	Versions  []Version `json:"versions"`

	decoded map[string]any
}

// Version is what an object said from a moment on, and the request that made it so.
type Version struct {
	At      Time            `json:"at"`
	Request int64           `json:"request"`
	Data    json.RawMessage `json:"data"`
}

// Last is the current version.
func (o *Object) Last() Version { return o.Versions[len(o.Versions)-1] }

// UpdatedAt is the moment of the current version.
func (o *Object) UpdatedAt() time.Time { return o.Last().At.Time }

// AsOf is the version that held at the moment, nil if there was none yet.
func (o *Object) AsOf(at time.Time) *Version {
	for i := len(o.Versions) - 1; i >= 0; i-- {
		if !o.Versions[i].At.After(at) {
			return &o.Versions[i]
		}
	}
	return nil
}

// Decode reads JSON into a map that keeps numbers as they were written.
func Decode(raw []byte) (map[string]any, error) {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return m, nil
}

// Clone is a deep copy of a decoded map.
func Clone(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = cloneValue(v)
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return Clone(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = cloneValue(v[i])
		}
		return out
	}
	return v
}

// table holds the objects of one type in the order they were made.
type table struct {
	ids  []string
	byID map[string]*Object
}

// world is all an account remembers.
type world struct {
	types   []string
	tables  map[string]*table
	facts   map[string]string
	keys    keyring
	decoded map[*Object]bool
}

func newWorld() *world {
	return &world{tables: map[string]*table{}, facts: map[string]string{}, decoded: map[*Object]bool{}, keys: newKeyring()}
}

func (w *world) get(typ, id string) *Object {
	if t := w.tables[typ]; t != nil {
		return t.byID[id]
	}
	return nil
}

func (w *world) put(o *Object) {
	t := w.tables[o.Type]
	if t == nil {
		t = &table{byID: map[string]*Object{}}
		w.tables[o.Type] = t
		w.types = append(w.types, o.Type)
	}
	old := t.byID[o.ID]
	if old == nil {
		t.ids = append(t.ids, o.ID)
	}
	delete(w.decoded, old)
	t.byID[o.ID] = o
}

// data is the current version decoded; the map is shared and read only.
func (w *world) data(o *Object) map[string]any {
	if o.decoded != nil {
		return o.decoded
	}
	m, err := Decode(o.Last().Data)
	if err != nil {
		return map[string]any{}
	}
	w.keep(o, m)
	return m
}

func (w *world) keep(o *Object, m map[string]any) {
	if len(w.decoded) >= decodedMax {
		for other := range w.decoded {
			other.decoded = nil
		}
		clear(w.decoded)
	}
	o.decoded = m
	w.decoded[o] = true
}

func (w *world) setFact(key, value string) {
	if value == "" {
		delete(w.facts, key)
		return
	}
	w.facts[key] = value
}

// grants are the facts that outlive the world.
func (w *world) grants() map[string]string {
	out := map[string]string{}
	for k, v := range w.facts {
		if strings.HasPrefix(k, grantPrefix) {
			out[k] = v
		}
	}
	return out
}

// dump is a whole world as snapshot files and the journal carry it.
type dump struct {
	Objects []*Object         `json:"objects"`
	Facts   map[string]string `json:"facts"`
	Keys    []remembered      `json:"keys,omitempty"`
}

func (w *world) dump() dump {
	return dump{Objects: w.objects(), Facts: w.facts, Keys: w.keys.list()}
}

func (w *world) objects() []*Object {
	out := []*Object{}
	for _, name := range w.types {
		t := w.tables[name]
		for _, id := range t.ids {
			out = append(out, t.byID[id])
		}
	}
	return out
}

// load makes a world of a dump, with the grants of the world it replaces.
func (d dump) load(grants map[string]string) *world {
	w := newWorld()
	for _, o := range d.Objects {
		w.put(o)
	}
	for k, v := range d.Facts {
		if !strings.HasPrefix(k, grantPrefix) {
			w.facts[k] = v
		}
	}
	for k, v := range grants {
		w.facts[k] = v
	}
	for _, k := range d.Keys {
		w.keys.add(k)
	}
	return w
}

// replay applies one write of the journal.
func (w *world) replay(x write) error {
	if len(x.Versions) == 0 {
		return fmt.Errorf("%s/%s: a write without versions", x.Type, x.ID)
	}
	o := &Object{Type: x.Type, ID: x.ID, CreatedAt: x.Versions[0].At}
	if old := w.get(x.Type, x.ID); old != nil {
		o.CreatedAt, o.Version, o.Versions = old.CreatedAt, old.Version, old.Versions
	}
	o.Deleted = x.Deleted
	o.Version += int64(len(x.Versions))
	o.Versions = append(o.Versions[:len(o.Versions):len(o.Versions)], x.Versions...)
	w.put(o)
	return nil
}
