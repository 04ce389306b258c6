package hubspot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// labelPrimary is HubSpot's label of the company that leads.
const labelPrimary = "Primary"

// object is one CRM object as HubSpot answers it. Every value is a string or
// null; null says that there is none.
type object struct {
	ID         string             `json:"id"`
	Properties map[string]*string `json:"properties"`
	Archived   bool               `json:"archived"`
	ArchivedAt time.Time          `json:"archivedAt"`
	CreatedAt  time.Time          `json:"createdAt"`
	UpdatedAt  time.Time          `json:"updatedAt"`
}

func (o *object) text(name string) string {
	if v := o.Properties[name]; v != nil {
		return *v
	}
	return ""
}

// propertyMerged holds the ids of what was merged into an object.
const propertyMerged = "hs_merged_object_ids"

// merged are the ids that were merged into this object.
func (o *object) merged() []string {
	var ids []string
	for _, id := range strings.Split(o.text(propertyMerged), ";") {
		if id = strings.TrimSpace(id); id != "" && id != o.ID {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, byNumber)
	return slices.Compact(ids)
}

// byNumber orders ids as numbers.
func byNumber(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// end is one association of an object, with its labels.
type end struct {
	ID     string
	Labels []string
}

func (e end) primary() bool { return slices.Contains(e.Labels, labelPrimary) }

// schema is what is read of each type: the built in properties and the ones
// that the connection adds.
type schema map[string][]string

// schemaOf adds the settings' properties, such as a VAT number of the portal's own.
func schemaOf(settings map[string]string) (schema, error) {
	s := schema{}
	for _, typ := range []string{typeDeal, typeLineItem, typeCompany, typeContact, typeProduct} {
		names := propertiesOf(typ)
		for _, name := range strings.Split(settings[settingProperties+typ], ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		s[typ] = slices.Compact(names)
		for _, name := range s[typ] {
			if reserved(name) {
				return nil, fmt.Errorf("setting %s%s: %q cannot be read as a property of a record", settingProperties, typ, name)
			}
		}
	}
	return s, nil
}

// reserved are the keys of a record that are no properties, and the properties
// that we write.
func reserved(name string) bool {
	return slices.Contains([]string{"id", "type", "line_items", "companies", "contacts", "merged_ids", propertyNumber, propertyID, propertyStatus}, name)
}

// asked are the properties to ask HubSpot for.
func (s schema) asked(typ string) []string {
	return append(slices.Clone(s[typ]), propertyMerged)
}

// plain is an object as a record shows it: id, type and the schema's
// properties. A property that the portal does not have is absent.
func (s schema) plain(typ string, o *object) map[string]any {
	out := map[string]any{"id": o.ID, "type": typ}
	for _, name := range s[typ] {
		switch v, known := o.Properties[name]; {
		case !known:
		case v == nil:
			out[name] = nil
		default:
			out[name] = *v
		}
	}
	return out
}

// aggregate is an object with everything that belongs to it.
type aggregate struct {
	typ       string
	object    *object
	lines     []*object
	companies []end
	contacts  []end
}

// record builds what admit takes.
func (s *source) record(a *aggregate, related map[string]any) connector.Record {
	data := s.schema.plain(a.typ, a.object)
	merged := a.object.merged()
	data["merged_ids"] = texts(merged)
	r := connector.Record{
		Ref: s.ref(a.typ, a.object.ID), Version: version(a.typ, a.object), ChangedAt: modified(a.typ, a.object),
		Deleted: a.object.Archived, CreatedAt: a.object.CreatedAt, QualifiedAt: qualified(a), MergedFrom: s.refs(a.typ, merged),
	}
	if a.typ == typeDeal {
		s.addDeal(a, data)
	}
	r.Customer, r.Problem = s.customer(a)
	r.Data = canonical(data)
	r.Hash = event.Digest("hubspot/v1", string(r.Data))
	if len(related) > 0 {
		r.Related = canonical(related)
	}
	return r
}

// qualified is when a deal was won: its close date, which people type and may
// leave out. No deal was won later than it was changed last, whatever the date.
func qualified(a *aggregate) time.Time {
	if a.typ != typeDeal || a.object.text("hs_is_closed_won") != "true" {
		return time.Time{}
	}
	changed := modified(a.typ, a.object)
	at, err := time.Parse(time.RFC3339, a.object.text("closedate"))
	if err != nil || at.After(changed) && !changed.IsZero() {
		return changed
	}
	return at.UTC()
}

func (s *source) addDeal(a *aggregate, data map[string]any) {
	slices.SortFunc(a.lines, func(x, y *object) int { return byNumber(x.ID, y.ID) })
	lines := []any{}
	for _, l := range a.lines {
		lines = append(lines, s.schema.plain(typeLineItem, l))
	}
	data["line_items"], data["companies"], data["contacts"] = lines, ends(a.companies), ends(a.contacts)
}

func ends(list []end) []any {
	slices.SortFunc(list, func(x, y end) int { return byNumber(x.ID, y.ID) })
	out := []any{}
	for _, e := range list {
		slices.Sort(e.Labels)
		out = append(out, map[string]any{"id": e.ID, "labels": texts(e.Labels)})
	}
	return out
}

func texts(list []string) []any {
	out := []any{}
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// customer is the lane of a record: a company and a contact are their own, as
// both can be billed; a deal is its primary company's, and one without a company
// its contact's. Nothing is guessed between two companies or two contacts.
func (s *source) customer(a *aggregate) (event.Ref, string) {
	switch a.typ {
	case typeCompany, typeContact:
		return s.ref(a.typ, a.object.ID), ""
	case typeDeal:
		return s.leader(a)
	}
	return event.Ref{}, ""
}

func (s *source) leader(a *aggregate) (event.Ref, string) {
	if len(a.companies) == 0 {
		return s.person(a), ""
	}
	switch led := primaries(a.companies); {
	case len(led) == 1:
		return s.ref(typeCompany, led[0]), ""
	case len(led) > 1:
		return event.Ref{}, fmt.Sprintf("deal %s has %d primary companies: %s", a.object.ID, len(led), strings.Join(led, ", "))
	case len(a.companies) == 1:
		return s.ref(typeCompany, a.companies[0].ID), ""
	}
	var ids []string
	for _, e := range a.companies {
		ids = append(ids, e.ID)
	}
	slices.SortFunc(ids, byNumber)
	return event.Ref{}, fmt.Sprintf("deal %s has %d companies and none is labelled primary: %s", a.object.ID, len(ids), strings.Join(ids, ", "))
}

// person is the contact that a deal without a company is sold to: its only one,
// or the only one labelled primary. A deal that is not won may well have none or
// several, so that is no problem of the record; the mapping asks once it matters.
func (s *source) person(a *aggregate) event.Ref {
	led := primaries(a.contacts)
	if len(led) == 0 && len(a.contacts) == 1 {
		led = []string{a.contacts[0].ID}
	}
	if len(led) != 1 {
		return event.Ref{}
	}
	return s.ref(typeContact, led[0])
}

func primaries(list []end) []string {
	var ids []string
	for _, e := range list {
		if e.primary() {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func (s *source) ref(typ, id string) event.Ref {
	return event.Ref{System: System, Account: s.account, Type: typ, ID: id}
}

func (s *source) refs(typ string, ids []string) (out []event.Ref) {
	for _, id := range ids {
		out = append(out, s.ref(typ, id))
	}
	return out
}

// flexID is an id that HubSpot writes as a number or as a string.
type flexID string

// UnmarshalJSON takes both notations and refuses anything but digits.
func (f *flexID) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	s := strings.Trim(string(b), `"`)
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return &json.UnmarshalTypeError{Value: "id " + s}
	}
	*f = flexID(s)
	return nil
}
