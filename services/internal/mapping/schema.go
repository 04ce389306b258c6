package mapping

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// fieldKind is what a source field holds.
type fieldKind string

// The kinds that a schema may name; whole is of our own records only.
const (
	text    fieldKind = "text"
	decimal fieldKind = "decimal"
	boolean fieldKind = "bool"
	instant fieldKind = "instant"
	list    fieldKind = "list"
	whole   fieldKind = "whole number"
)

// fieldType is a field's kind; of is what a list holds: text, or a record's name.
type fieldType struct {
	kind fieldKind
	of   string
}

// recordType are the declared fields of one kind of record.
type recordType struct {
	name   string
	fields map[string]fieldType
}

// schema are the records that rules may read. It is CEL's type provider, so a
// field that is not declared does not compile.
type schema struct {
	*types.Registry
	records map[string]*recordType
	zones   sync.Map // name -> *time.Location
}

func newSchema() (*schema, error) {
	r, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	return &schema{Registry: r, records: map[string]*recordType{
		eventRecord: {name: eventRecord, fields: map[string]fieldType{
			"type": {kind: text}, "cause": {kind: text}, "ref": {kind: text}, "account": {kind: text}, "customer": {kind: text}, "occurred_at": {kind: instant},
		}},
		entityRecord: {name: entityRecord, fields: map[string]fieldType{
			"id": {kind: text}, "currency": {kind: text}, "zone": {kind: text}, "country": {kind: text}, "net_days": {kind: whole},
		}},
	}}, nil
}

// Names of our own records, of the snapshots, and of decimals.
const (
	eventRecord  = "event"
	entityRecord = "entity"
	relatedName  = "related"
)

// celType is how CEL sees a field.
func (t fieldType) celType() *cel.Type {
	switch t.kind {
	case decimal:
		return decimalType()
	case boolean:
		return cel.BoolType
	case instant:
		return cel.TimestampType
	case whole:
		return cel.IntType
	case list:
		if t.of == string(text) {
			return cel.ListType(cel.StringType)
		}
		return cel.ListType(cel.ObjectType(t.of))
	}
	return cel.StringType
}

// FindStructType tells CEL which records there are.
func (s *schema) FindStructType(name string) (*types.Type, bool) {
	if s.records[name] == nil {
		return nil, false // nothing can be built in a rule, and protobuf types are not for finance
	}
	return types.NewTypeTypeWithParam(cel.ObjectType(name)), true
}

// FindStructFieldNames tells CEL a record's fields.
func (s *schema) FindStructFieldNames(name string) ([]string, bool) {
	r := s.records[name]
	if r == nil {
		return nil, false
	}
	names := make([]string, 0, len(r.fields))
	for f := range r.fields {
		names = append(names, f)
	}
	return names, true
}

// FindStructFieldType tells CEL a field's type and how to read it.
func (s *schema) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	r := s.records[name]
	if r == nil {
		return nil, false
	}
	t, ok := r.fields[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type: t.celType(),
		IsSet: func(target any) bool {
			rec, ok := target.(*record)
			return ok && rec.has(field)
		},
		GetFrom: func(target any) (any, error) {
			rec, ok := target.(*record)
			if !ok {
				return nil, fmt.Errorf("%s is read from something else than a %s", field, name)
			}
			return rec.get(field)
		},
	}, true
}

// NewValue refuses: a rule reads records and builds none.
func (s *schema) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("a rule cannot build a %s", name)
}

// record is one source record as rules read it. A text that is absent, null
// or empty reads as ""; any other such field has no value, and reading it is
// an error that names the field.
type record struct {
	schema *schema
	typ    *recordType
	data   map[string]any
}

func (r *record) has(field string) bool {
	switch v := r.data[field].(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	}
	return true
}

func (r *record) get(field string) (any, error) {
	t := r.typ.fields[field]
	raw := r.data[field]
	switch t.kind {
	case list:
		return r.list(field, t, raw)
	case boolean:
		return r.boolean(field, raw)
	case whole:
		return raw, nil
	}
	if at, ok := raw.(time.Time); ok {
		return types.Timestamp{Time: at}, nil
	}
	s, ok := scalar(raw)
	switch {
	case !ok:
		return nil, r.refuse(field, "is no "+string(t.kind))
	case t.kind == text:
		return types.String(s), nil
	case s == "":
		return nil, &refusal{kind: exception.Validation, field: r.path(field), detail: "has no value", missing: true}
	case t.kind == decimal:
		d, err := money.ParseDecimal(s)
		if err != nil {
			return nil, r.refuse(field, "is not a plain decimal number that fits")
		}
		return decimalVal{d}, nil
	}
	at, ok := parseInstant(s)
	if !ok {
		return nil, r.refuse(field, "is no date or time")
	}
	return types.Timestamp{Time: at}, nil
}

func (r *record) boolean(field string, raw any) (any, error) {
	switch raw {
	case nil, "", "false", false:
		return types.False, nil
	case "true", true:
		return types.True, nil
	}
	return nil, r.refuse(field, "is neither true nor false")
}

func (r *record) list(field string, t fieldType, raw any) (any, error) {
	items, ok := raw.([]any)
	if !ok && raw != nil {
		return nil, r.refuse(field, "is no list")
	}
	out := make([]ref.Val, 0, len(items))
	for _, item := range items {
		if t.of == string(text) {
			s, ok := scalar(item)
			if !ok {
				return nil, r.refuse(field, "holds something else than texts")
			}
			out = append(out, types.String(s))
			continue
		}
		data, ok := item.(map[string]any)
		if !ok {
			return nil, r.refuse(field, "holds something else than records")
		}
		out = append(out, r.schema.record(t.of, data))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out), nil
}

func (s *schema) record(name string, data map[string]any) *record {
	return &record{schema: s, typ: s.records[name], data: data}
}

func (r *record) path(field string) string { return r.typ.name + "." + field }

func (r *record) refuse(field, detail string) error {
	return &refusal{kind: exception.Validation, field: r.path(field), detail: detail}
}

// scalar is a JSON text, number or nothing as text.
func scalar(raw any) (string, bool) {
	switch v := raw.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// parseInstant reads RFC 3339, or milliseconds since 1970 as some vendors write them.
func parseInstant(s string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at, plausible(at)
	}
	if len(s) > 15 || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	at := time.UnixMilli(ms).UTC()
	return at, err == nil && plausible(at)
}

// plausible keeps to years that a document can carry in any zone.
func plausible(at time.Time) bool { return at.Year() > 0 && at.Year() < 9999 }

// ConvertToNative is not for records.
func (r *record) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s does not convert to %v", r.typ.name, t)
}

// ConvertToType is not for records.
func (r *record) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("a %s does not convert to %s", r.typ.name, t.TypeName())
}

// Equal compares identity.
func (r *record) Equal(other ref.Val) ref.Val { return types.Bool(other == ref.Val(r)) }

// Type is the record's declared type.
func (r *record) Type() ref.Type { return cel.ObjectType(r.typ.name) }

// Value is the record itself.
func (r *record) Value() any { return r }
