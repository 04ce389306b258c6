package sandbox

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"
)

// propertyTable is what a new portal knows of its objects. Flags: r read only,
// d in every answer, u unique, c copied from the product to a new line item.
//
//go:embed properties.csv
var propertyTable string

// kind is one type of CRM object.
type kind struct {
	name     string // in our export and in typed webhooks
	plural   string // in paths
	typeID   string // in generic webhooks
	label    string // the key of v3 associations
	modified string // the property that says when it last changed
	group    string
	builtin  []definition
}

// definition describes one property.
type definition struct {
	Name        string   `json:"name"`
	Label       string   `json:"label"`
	Type        string   `json:"type"`
	Field       string   `json:"fieldType"`
	Group       string   `json:"groupName"`
	Description string   `json:"description,omitempty"`
	Options     []string `json:"options,omitempty"`
	Unique      bool     `json:"unique,omitempty"`
	ReadOnly    bool     `json:"readOnly,omitempty"`
	Always      bool     `json:"always,omitempty"`
	Copied      bool     `json:"copied,omitempty"`
	Custom      bool     `json:"custom,omitempty"`
}

// catalogue is every kind by any name a path may use for it.
type catalogue struct {
	kinds  []*kind
	byName map[string]*kind
}

func newCatalogue() (*catalogue, error) {
	c := &catalogue{byName: map[string]*kind{}, kinds: []*kind{
		{name: "company", plural: "companies", typeID: "0-2", label: "companies", modified: "hs_lastmodifieddate", group: "companyinformation"},
		{name: "contact", plural: "contacts", typeID: "0-1", label: "contacts", modified: "lastmodifieddate", group: "contactinformation"},
		{name: "deal", plural: "deals", typeID: "0-3", label: "deals", modified: "hs_lastmodifieddate", group: "dealinformation"},
		{name: "line_item", plural: "line_items", typeID: "0-8", label: "line items", modified: "hs_lastmodifieddate", group: "lineiteminformation"},
		{name: "product", plural: "products", typeID: "0-7", label: "products", modified: "hs_lastmodifieddate", group: "productinformation"},
	}}
	for _, k := range c.kinds {
		c.byName[k.name], c.byName[k.plural], c.byName[k.typeID] = k, k, k
	}
	return c, c.read(propertyTable)
}

func (c *catalogue) read(table string) error {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return fmt.Errorf("read property table: %w", err)
	}
	for _, row := range rows[1:] {
		k := c.byName[row[0]]
		if k == nil {
			return fmt.Errorf("read property table: no object %q", row[0])
		}
		k.builtin = append(k.builtin, rowDefinition(k, row))
	}
	return nil
}

func rowDefinition(k *kind, row []string) definition {
	d := definition{
		Name: row[1], Type: row[2], Field: row[3], Label: row[5], Group: k.group,
		ReadOnly: strings.Contains(row[4], "r"),
		Always:   strings.Contains(row[4], "d"),
		Unique:   strings.Contains(row[4], "u"),
		Copied:   strings.Contains(row[4], "c"),
	}
	if row[6] != "" {
		d.Options = strings.Split(row[6], ";")
	}
	return d
}

// kind is the kind a path segment names, nil if there is none.
func (c *catalogue) kind(segment string) *kind { return c.byName[strings.ToLower(segment)] }
