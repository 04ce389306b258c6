package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tieout.dev/services/internal/fault"
)

// The marker's properties of a deal. They are outside every hash, so writing
// them is no change of the deal.
const (
	propertyNumber = "tieout_invoice_number"
	propertyID     = "tieout_invoice_id"
	propertyStatus = "tieout_invoice_status"
)

func markerProperties() []string { return []string{propertyNumber, propertyID, propertyStatus} }

func labelOf(name string) string {
	switch name {
	case propertyNumber:
		return "Invoice number"
	case propertyID:
		return "Invoice in the books"
	}
	return "Invoice status"
}

// setup makes the properties that are missing; it may be repeated, also by two
// processes at once.
func setup(ctx context.Context, c *client) error {
	for _, name := range markerProperties() {
		if err := ensure(ctx, c, name); err != nil {
			return fmt.Errorf("set up property %s: %w", name, err)
		}
	}
	return nil
}

// lacking names the properties that setup would make.
func lacking(ctx context.Context, c *client) ([]string, error) {
	var out []string
	for _, name := range markerProperties() {
		there, err := hasProperty(ctx, c, name)
		if err != nil {
			return nil, fmt.Errorf("look for property %s: %w", name, err)
		}
		if !there {
			out = append(out, "property "+name+" of deals")
		}
	}
	return out, nil
}

func hasProperty(ctx context.Context, c *client, name string) (bool, error) {
	var found struct {
		Type string `json:"type"`
	}
	err := c.read(ctx, http.MethodGet, "/crm/v3/properties/deals/"+name, nil, &found)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return false, nil
	case err != nil:
		return false, err
	case found.Type == "":
		return false, fault.New(fault.Transient, "the answer does not say of which type the property is")
	case found.Type != "string":
		return false, fault.New(fault.Rejected, "the portal has it as %s, not as text", found.Type)
	}
	return true, nil
}

func ensure(ctx context.Context, c *client, name string) error {
	there, err := hasProperty(ctx, c, name)
	if err != nil || there {
		return err
	}
	a, err := c.send(ctx, http.MethodPost, "/crm/v3/properties/deals", map[string]any{
		"name": name, "label": labelOf(name), "description": "Written by Tieout when the deal is invoiced.",
		"groupName": "dealinformation", "type": "string", "fieldType": "text", "formField": false,
	})
	if err != nil {
		return err
	}
	var f *fault.Error
	if err := faultOf(a, writing); errors.As(err, &f) && f.Kind != fault.Conflict { // a conflict: another process was faster
		return err
	}
	return nil
}
