package mapping

import (
	"errors"
	"sort"
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// functions are what rules may call besides CEL's own:
//
//	decimal('19.99')                  an exact number; there are no others for money
//	date(instant, zone)               the day, there: '2026-11-24'
//	add_days(day, days)               the day so many days later
//	ref(account, type, id)            'hubspot/48213/product/7', and '' where id is ''
//	id_of(ref)                        the id, the last element of a ref
//	either(a, b)                      a, or b where a is blank
//	words(a, b)                       both with a space between, or the one that is not blank
//	fold(text)                        the same for texts that differ in case and spaces only
//	digest(text)                      16 characters that stand for the text
//	related.TYPE(ref)                 the snapshot of a record, without values if there is none
func functions(s *schema) []cel.EnvOption {
	str := cel.StringType
	out := []cel.EnvOption{
		cel.Function("decimal", cel.Overload("decimal_text", []*cel.Type{str}, decimalType(), cel.UnaryBinding(newDecimal))),
		cel.Function("date", cel.Overload("date_instant_zone", []*cel.Type{cel.TimestampType, str}, str, cel.BinaryBinding(s.dateIn))),
		cel.Function("add_days", cel.Overload("add_days_day", []*cel.Type{str, cel.IntType}, str, cel.BinaryBinding(addDays))),
		cel.Function("ref", cel.Overload("ref_account_type_id", []*cel.Type{str, str, str}, str, cel.FunctionBinding(newRef))),
		cel.Function("id_of", cel.Overload("id_of_ref", []*cel.Type{str}, str, cel.UnaryBinding(idOf))),
		cel.Function("either", cel.Overload("either_text", []*cel.Type{str, str}, str, cel.BinaryBinding(either))),
		cel.Function("words", cel.Overload("words_text", []*cel.Type{str, str}, str, cel.BinaryBinding(words))),
		cel.Function("fold", cel.Overload("fold_text", []*cel.Type{str}, str, cel.UnaryBinding(onText(fold)))),
		cel.Function("digest", cel.Overload("digest_text", []*cel.Type{str}, str, cel.UnaryBinding(onText(digest)))),
	}
	names := make([]string, 0, len(s.records))
	for name := range s.records {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if name == eventRecord || name == entityRecord {
			continue
		}
		out = append(out, cel.Function(name, cel.MemberOverload("related_"+name, []*cel.Type{snapshotsType(), str}, cel.ObjectType(name),
			cel.BinaryBinding(func(from, at ref.Val) ref.Val {
				snapshots, ok := from.(*snapshots)
				if !ok {
					return types.MaybeNoSuchOverloadErr(from)
				}
				return snapshots.get(s, name, at)
			}))))
	}
	return out
}

func newDecimal(v ref.Val) ref.Val {
	d, err := money.ParseDecimal(textOf(v))
	if err != nil {
		return types.WrapErr(&refusal{kind: exception.Validation, detail: "a text is not a plain decimal number"})
	}
	return decimalVal{d}
}

func (s *schema) dateIn(at, zone ref.Val) ref.Val {
	t, ok := at.(types.Timestamp)
	if !ok {
		return types.MaybeNoSuchOverloadErr(at)
	}
	loc, err := s.location(textOf(zone))
	if err != nil {
		return types.WrapErr(&refusal{kind: exception.Mapping, field: "entity.zone", detail: "is not an IANA time zone"})
	}
	return types.String(t.In(loc).Format(time.DateOnly))
}

// location keeps the zones it has read: there are a few hundred at most.
func (s *schema) location(name string) (*time.Location, error) {
	if known, ok := s.zones.Load(name); ok {
		return known.(*time.Location), nil
	}
	if name == "" {
		return nil, errors.New("no time zone")
	}
	loc, err := time.LoadLocation(name)
	if err == nil {
		s.zones.Store(name, loc)
	}
	return loc, err
}

func addDays(day, days ref.Val) ref.Val {
	t, err := time.Parse(time.DateOnly, textOf(day))
	n, ok := days.(types.Int)
	if err != nil || !ok || n < -36600 || n > 36600 {
		return types.WrapErr(&refusal{kind: exception.Validation, detail: "a day cannot be computed"})
	}
	return types.String(t.AddDate(0, 0, int(n)).Format(time.DateOnly))
}

func words(a, b ref.Val) ref.Val {
	return types.String(strings.TrimSpace(strings.TrimSpace(textOf(a)) + " " + strings.TrimSpace(textOf(b))))
}

func newRef(args ...ref.Val) ref.Val {
	if textOf(args[2]) == "" {
		return types.String("")
	}
	return types.String(textOf(args[0]) + "/" + textOf(args[1]) + "/" + textOf(args[2]))
}

func idOf(v ref.Val) ref.Val {
	r, err := event.ParseRef(textOf(v))
	if err != nil {
		return types.WrapErr(&refusal{kind: exception.Validation, detail: "a text is not a ref"})
	}
	return types.String(r.ID)
}

func either(a, b ref.Val) ref.Val {
	if strings.TrimSpace(textOf(a)) != "" {
		return a
	}
	return b
}

func onText(f func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val { return types.String(f(textOf(v))) }
}

// fold drops case and what separates words.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' }), " "))
}

func digest(s string) string { return event.Digest("mapping/v1", s)[:16] }

func textOf(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// snapshots are the records that stand beside the event's own.
type snapshots struct {
	record
	byRef map[string]map[string]any
}

func snapshotsType() *cel.Type { return types.NewObjectType("snapshots", traits.ReceiverType) }

func newSnapshots(byRef map[string]map[string]any) *snapshots {
	return &snapshots{record: record{typ: &recordType{name: "snapshots"}}, byRef: byRef}
}

func (s *snapshots) get(sc *schema, name string, at ref.Val) ref.Val {
	r, err := event.ParseRef(textOf(at))
	if err != nil || r.Type != name {
		return sc.record(name, nil)
	}
	return sc.record(name, s.byRef[r.String()])
}

// ofType are the snapshots of one type.
func (s *snapshots) ofType(sc *schema, name string) (out []*record) {
	if s == nil || sc.records[name] == nil {
		return nil
	}
	for _, at := range sortedKeys(s.byRef) {
		if r, err := event.ParseRef(at); err == nil && r.Type == name {
			out = append(out, sc.record(name, s.byRef[at]))
		}
	}
	return out
}

// Type is that of the snapshots.
func (s *snapshots) Type() ref.Type { return snapshotsType() }

// Value is the snapshots themselves.
func (s *snapshots) Value() any { return s }
