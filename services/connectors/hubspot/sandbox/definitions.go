package sandbox

import (
	"net/http"
	"regexp"
	"slices"

	engine "tieout.dev/services/internal/sandbox"
)

var propertyName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// definition is one property of the kind, with the options the portal has now.
func (v *vendor) definition(tx *engine.Tx, k *kind, name string) *definition {
	for i := range k.builtin {
		if k.builtin[i].Name == name {
			d := k.builtin[i]
			if d.Name == "deal_currency_code" || d.Name == "hs_line_item_currency_code" {
				d.Options = currencies()
			}
			return &d
		}
	}
	return customDefinition(tx, k, name)
}

func customDefinition(tx *engine.Tx, k *kind, name string) *definition {
	o := tx.Get("property", k.name+"/"+name)
	if o == nil || o.Deleted {
		return nil
	}
	var d definition
	recode(tx.Data(o), &d)
	return &d
}

// definitions are all properties of the kind, built in ones first.
func (v *vendor) definitions(tx *engine.Tx, k *kind) []definition {
	all := slices.Clone(k.builtin)
	tx.Each("property", func(o *engine.Object) bool {
		if data := tx.Data(o); !o.Deleted && data["object"] == k.name {
			var d definition
			recode(data, &d)
			all = append(all, d)
		}
		return true
	})
	return all
}

// known keeps the names that are properties of the kind: others are ignored
// when they are asked for, as HubSpot does.
func (v *vendor) known(tx *engine.Tx, k *kind, names []string) []string {
	var out []string
	for _, name := range names {
		if v.definition(tx, k, name) != nil && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// show is a property as /crm/v3/properties answers it.
func (d definition) show() map[string]any {
	options := []any{}
	for i, o := range d.Options {
		options = append(options, map[string]any{"label": o, "value": o, "displayOrder": i, "hidden": false})
	}
	return map[string]any{
		"name": d.Name, "label": d.Label, "type": d.Type, "fieldType": d.Field, "groupName": d.Group,
		"description": d.Description, "options": options, "displayOrder": -1,
		"hasUniqueValue": d.Unique, "calculated": d.ReadOnly, "hubspotDefined": !d.Custom,
		"externalOptions": d.Name == "dealstage" || d.Name == "pipeline",
		"hidden":          false, "archived": false, "formField": false,
		"modificationMetadata": map[string]any{"archivable": d.Custom, "readOnlyDefinition": !d.Custom, "readOnlyValue": d.ReadOnly},
	}
}

func (v *vendor) listProperties(c *call) engine.Response {
	results := []any{}
	for _, d := range v.definitions(c.tx, c.kind) {
		results = append(results, v.definition(c.tx, c.kind, d.Name).show())
	}
	return engine.JSON(http.StatusOK, map[string]any{"results": results})
}

func (v *vendor) readProperty(c *call) engine.Response {
	d := v.definition(c.tx, c.kind, c.vars["name"])
	if d == nil {
		return (&problem{status: http.StatusNotFound, category: "OBJECT_NOT_FOUND", sub: "Properties.PROPERTY_NOT_FOUND", message: "Property with name " + c.vars["name"] + " does not exist"}).response(c.r)
	}
	return engine.JSON(http.StatusOK, d.show())
}

// newProperty is the body that creates one.
type newProperty struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Type        string `json:"type"`
	Field       string `json:"fieldType"`
	Group       string `json:"groupName"`
	Description string `json:"description"`
	Unique      bool   `json:"hasUniqueValue"`
	Options     []struct {
		Value string `json:"value"`
	} `json:"options"`
}

func (v *vendor) createProperty(c *call) engine.Response {
	var in newProperty
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	d, p := v.addProperty(c.tx, c.kind, in)
	if p != nil {
		return p.response(c.r)
	}
	return engine.JSON(http.StatusCreated, d.show())
}

func (v *vendor) addProperty(tx *engine.Tx, k *kind, in newProperty) (*definition, *problem) {
	if p := in.check(k); p != nil {
		return nil, p
	}
	if v.definition(tx, k, in.Name) != nil {
		return nil, conflict("OBJECT_ALREADY_EXISTS", "A property named '%s' already exists.", in.Name)
	}
	d := &definition{Name: in.Name, Label: in.Label, Type: in.Type, Field: in.Field, Group: in.Group, Description: in.Description, Unique: in.Unique, Custom: true}
	for _, o := range in.Options {
		d.Options = append(d.Options, o.Value)
	}
	var data map[string]any
	recode(d, &data)
	data["object"] = k.name
	tx.Put("property", k.name+"/"+in.Name, data)
	return d, nil
}

func (in *newProperty) check(k *kind) *problem {
	types := []string{"string", "number", "date", "datetime", "enumeration", "bool"}
	switch {
	case !propertyName.MatchString(in.Name):
		return invalid("Property name must begin with a letter and have only lowercase letters, digits and underscores, but given: %s", in.Name)
	case in.Label == "":
		return invalid("Invalid input JSON: label is required")
	case in.Field == "":
		return invalid("Invalid input JSON: fieldType is required")
	case !slices.Contains(types, in.Type):
		return invalid("Invalid input JSON: type must be one of %v", types)
	case in.Group != k.group:
		return invalid("Property group %q does not exist", in.Group)
	}
	return nil
}

func (v *vendor) listGroups(c *call) engine.Response {
	group := map[string]any{"name": c.kind.group, "label": c.kind.group, "displayOrder": 0, "archived": false}
	return engine.JSON(http.StatusOK, map[string]any{"results": []any{group}})
}
