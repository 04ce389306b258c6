package sandbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Tx is one request's view of the world and its staged writes.
type Tx struct {
	world  *world
	parent *Tx
	now    time.Time
	n      int64

	objects map[objectKey]*Object
	order   []objectKey
	facts   map[string]string // "" means dropped
	keys    []remembered
	forget  bool
}

type objectKey struct{ typ, id string }

func (w *world) begin(n int64, now time.Time) *Tx {
	return &Tx{world: w, n: n, now: now}
}

// Now is the moment of the request, UTC and whole milliseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// Child is a view whose writes reach tx only by Merge: an item of a batch that
// may fail alone.
func (tx *Tx) Child() *Tx {
	return &Tx{world: tx.world, parent: tx, n: tx.n, now: tx.now}
}

// Merge hands a child's writes to its parent.
func (tx *Tx) Merge() {
	p := tx.parent
	for _, k := range tx.order {
		p.stage(tx.objects[k])
	}
	for k, v := range tx.facts {
		p.SetFact(k, v)
	}
	if tx.forget {
		p.Forget()
	}
	p.keys = append(p.keys, tx.keys...)
}

// Get is the object, deleted ones too, or nil.
func (tx *Tx) Get(typ, id string) *Object {
	for t := tx; t != nil; t = t.parent {
		if o := t.objects[objectKey{typ, id}]; o != nil {
			return o
		}
	}
	return tx.world.get(typ, id)
}

// Data is what the object says now. The map is shared: Clone before changing it.
func (tx *Tx) Data(o *Object) map[string]any { return tx.world.data(o) }

// Put writes a new version of the object, making or reviving it if needed.
// The map must not be changed afterwards.
func (tx *Tx) Put(typ, id string, data map[string]any) *Object {
	return tx.write(typ, id, data, false)
}

// Delete marks the object deleted with data as its last words; nil keeps what
// it said.
func (tx *Tx) Delete(typ, id string, data map[string]any) *Object {
	if data == nil {
		data = tx.Data(tx.Get(typ, id))
	}
	return tx.write(typ, id, data, true)
}

func (tx *Tx) write(typ, id string, data map[string]any, deleted bool) *Object {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Errorf("sandbox: %s/%s cannot be encoded: %w", typ, id, err)) // a vendor put what JSON cannot say
	}
	at := Time{tx.now}
	o := &Object{Type: typ, ID: id, Deleted: deleted, CreatedAt: at, Version: 1}
	if old := tx.Get(typ, id); old != nil {
		o.CreatedAt, o.Version = old.CreatedAt, old.Version+1
		o.Versions = old.Versions[:len(old.Versions):len(old.Versions)]
	}
	o.Versions = append(o.Versions, Version{At: at, Request: tx.n, Data: raw})
	tx.stage(o)
	return o
}

func (tx *Tx) stage(o *Object) {
	k := objectKey{o.Type, o.ID}
	if tx.objects == nil {
		tx.objects = map[objectKey]*Object{}
	}
	if tx.objects[k] == nil {
		tx.order = append(tx.order, k)
	}
	tx.objects[k] = o
}

// Each calls f with every object of the type in the order they were made,
// deleted ones too, until f returns false.
func (tx *Tx) Each(typ string, f func(*Object) bool) {
	if t := tx.world.tables[typ]; t != nil {
		for _, id := range t.ids {
			if !f(tx.Get(typ, id)) {
				return
			}
		}
	}
	tx.eachStaged(typ, f)
}

func (tx *Tx) eachStaged(typ string, f func(*Object) bool) bool {
	if tx.parent != nil && !tx.parent.eachStaged(typ, f) {
		return false
	}
	for _, k := range tx.order {
		if k.typ != typ || tx.world.get(typ, k.id) != nil || tx.parent.staged(k) {
			continue
		}
		if !f(tx.objects[k]) {
			return false
		}
	}
	return true
}

func (tx *Tx) staged(k objectKey) bool {
	for t := tx; t != nil; t = t.parent {
		if t.objects[k] != nil {
			return true
		}
	}
	return false
}

// Fact is a small durable string, "" if there is none.
func (tx *Tx) Fact(key string) string {
	for t := tx; t != nil; t = t.parent {
		if v, ok := t.facts[key]; ok {
			return v
		}
	}
	return tx.world.facts[key]
}

// SetFact writes a fact; "" drops it.
func (tx *Tx) SetFact(key, value string) {
	if tx.facts == nil {
		tx.facts = map[string]string{}
	}
	tx.facts[key] = value
}

// NextID counts a durable sequence up and returns its number.
func (tx *Tx) NextID(sequence string) string {
	key := "sequence/" + sequence
	n, _ := strconv.ParseInt(tx.Fact(key), 10, 64)
	id := strconv.FormatInt(n+1, 10)
	tx.SetFact(key, id)
	return id
}

// Remember keeps an answer under an idempotency key.
func (tx *Tx) Remember(key string, answer []byte) {
	tx.keys = append(tx.keys, remembered{Key: key, At: Time{tx.now}, Value: answer})
}

// Recall is the answer remembered under the key.
func (tx *Tx) Recall(key string) ([]byte, bool) {
	if tx.forget {
		return nil, false
	}
	if tx.parent != nil {
		return tx.parent.Recall(key)
	}
	r, ok := tx.world.keys.byKey[key]
	return r.Value, ok
}

// Forget drops all remembered answers.
func (tx *Tx) Forget() { tx.forget, tx.keys = true, nil }

func (tx *Tx) empty() bool {
	return len(tx.order) == 0 && len(tx.facts) == 0 && len(tx.keys) == 0 && !tx.forget
}

// apply makes the staged writes the world and says what changed.
func (tx *Tx) apply() []Change {
	w := tx.world
	changes := make([]Change, 0, len(tx.order))
	for _, k := range tx.order {
		o := tx.objects[k]
		old := 0
		if was := w.get(k.typ, k.id); was != nil {
			old = len(was.Versions)
		}
		changes = append(changes, Change{Object: o, Created: old == 0, added: o.Versions[old:]})
		w.put(o)
	}
	for k, v := range tx.facts {
		w.setFact(k, v)
	}
	if tx.forget {
		w.keys = newKeyring()
	}
	for _, r := range tx.keys {
		w.keys.add(r)
	}
	return changes
}
