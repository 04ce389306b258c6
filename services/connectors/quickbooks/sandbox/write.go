package sandbox

import (
	"fmt"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

// operate does one write to one entity and answers as the vendor does.
func (x *call) operate(k *kind, operation string, sent fields) (fields, error) {
	var data fields
	var err error
	switch operation {
	case "", "create", "update":
		if operation == "create" {
			delete(sent, "Id")
		}
		data, err = x.save(k, sent, operation == "update")
	case "void":
		data, err = x.voided(k, sent)
	case "delete":
		data, err = x.deleted(k, sent)
	default:
		return nil, unsupported(operation)
	}
	if err != nil {
		return nil, err
	}
	return fields{k.name: data}, nil
}

// save creates an entity, or changes the one Id names.
func (x *call) save(k *kind, sent fields, mustExist bool) (fields, error) {
	if err := known(sent, k.fields); err != nil {
		return nil, err
	}
	id := text(sent, "Id")
	if id == "" {
		if mustExist {
			return nil, missing("Id")
		}
		return x.create(k, sent)
	}
	o, err := x.current(k, id, sent)
	if err != nil {
		return nil, err
	}
	was := x.tx.Data(o)
	now := merged(was, sent)
	if err := k.check(x, id, was, now); err != nil {
		return nil, err
	}
	return x.write(k, id, now), nil
}

func (x *call) create(k *kind, sent fields) (fields, error) {
	id := x.tx.NextID(k.sequence)
	now := engine.Clone(sent)
	if err := k.check(x, id, nil, now); err != nil {
		return nil, err
	}
	return x.write(k, id, now), nil
}

// current is the entity a change names, if its token is the current one.
func (x *call) current(k *kind, id string, sent fields) (*engine.Object, error) {
	o := x.tx.Get(k.typ(), id)
	if o == nil || o.Deleted {
		return nil, inactive()
	}
	token := text(sent, "SyncToken")
	if token == "" {
		return nil, missing("SyncToken")
	}
	if token != text(x.tx.Data(o), "SyncToken") {
		return nil, stale()
	}
	return o, nil
}

// merged lays a change over what was. A sparse one keeps what it does not
// mention; a full one clears it, but for what only the books may set.
func merged(was, sent fields) fields {
	now := engine.Clone(sent)
	for name, v := range engine.Clone(was) {
		if _, mentioned := now[name]; !mentioned && (flag(sent, "sparse") || owned(name)) {
			now[name] = v
		}
	}
	return now
}

// owned are fields a full update does not clear.
func owned(name string) bool {
	switch name {
	case "Id", "MetaData", "domain", "LinkedTxn", "CurrencyRef", "TxnDate", "DocNumber", "Active", "Balance", "UnappliedAmt":
		return true
	}
	return false
}

// write stores a new version and shows it as a client sees it.
func (x *call) write(k *kind, id string, now fields) fields {
	token, created := 0, stamp(x.tx.Now())
	if o := x.tx.Get(k.typ(), id); o != nil {
		last, _ := strconv.Atoi(text(x.tx.Data(o), "SyncToken"))
		token, created = last+1, text(x.tx.Data(o), "MetaData", "CreateTime")
	}
	for name, v := range now {
		if v == nil {
			delete(now, name)
		}
	}
	now["Id"], now["SyncToken"], now["domain"], now["sparse"] = id, fmt.Sprint(token), "QBO", false
	now["MetaData"] = fields{"CreateTime": created, "LastUpdatedTime": stamp(x.tx.Now())}
	x.tx.Put(k.typ(), id, now)
	return x.present(k, id, now)
}

func (x *call) voided(k *kind, sent fields) (fields, error) {
	if k.void == nil {
		return nil, unsupported("void")
	}
	o, err := x.current(k, text(sent, "Id"), sent)
	if err != nil {
		return nil, err
	}
	now, err := k.void(x, o.ID, x.tx.Data(o))
	if err != nil {
		return nil, err
	}
	return x.write(k, o.ID, now), nil
}

func (x *call) deleted(k *kind, sent fields) (fields, error) {
	if k.remove == nil {
		return nil, unsupported("delete")
	}
	o, err := x.current(k, text(sent, "Id"), sent)
	if err != nil {
		return nil, err
	}
	was := x.tx.Data(o)
	if err := k.remove(x, o.ID, was); err != nil {
		return nil, err
	}
	last := engine.Clone(x.tx.Data(x.tx.Get(k.typ(), o.ID)))
	last["status"] = "Deleted"
	last["MetaData"] = fields{"CreateTime": text(was, "MetaData", "CreateTime"), "LastUpdatedTime": stamp(x.tx.Now())}
	x.tx.Delete(k.typ(), o.ID, last)
	return fields{"Id": o.ID, "domain": "QBO", "status": "Deleted"}, nil
}
