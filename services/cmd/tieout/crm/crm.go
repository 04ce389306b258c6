// Package crm drives a HubSpot portal as a person's own script would: through
// the vendor's API alone.
package crm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/idle"
)

// Portal is a portal and a token for it.
type Portal struct {
	BaseURL string
	Token   string
	HTTP    *http.Client // nil: the default one
}

// Line is one line item of a deal.
type Line struct {
	Name, SKU, Quantity, Price string
	// Product is the id of a product; "" makes a line of its own.
	Product string
	// DiscountPercent off the line, "" for none; UnitDiscount is an amount off
	// each unit.
	DiscountPercent, UnitDiscount string
}

// Deal is what a person fills in.
type Deal struct {
	Name, Company, Contact, Currency, Amount string // ids of company and contact
	// Others are further companies, none of them the primary one.
	Others []string
	Lines  []Line
}

// Stages of the pipeline that a new portal has.
const (
	Won  = "closedwon"
	Lost = "closedlost"
	Open = "contractsent"
)

// association type ids that HubSpot defines.
const (
	dealToPrimaryCompany = 5
	dealToCompany        = 341
	dealToContact        = 3
	lineItemToDeal       = 20
)

// Company makes a company and returns its id.
func (p Portal) Company(ctx context.Context, properties map[string]string) (string, error) {
	return p.create(ctx, "companies", properties, nil)
}

// Contact makes a contact and returns its id.
func (p Portal) Contact(ctx context.Context, properties map[string]string) (string, error) {
	return p.create(ctx, "contacts", properties, nil)
}

// Product makes a product and returns its id.
func (p Portal) Product(ctx context.Context, properties map[string]string) (string, error) {
	return p.create(ctx, "products", properties, nil)
}

// FindCompany returns the id of a company by its name, "" if there is none.
func (p Portal) FindCompany(ctx context.Context, name string) (string, error) {
	var found struct {
		Results []struct {
			ID string `json:"id"`
		} `json:"results"`
	}
	err := p.call(ctx, http.MethodPost, "/crm/v3/objects/companies/search", map[string]any{
		"filterGroups": []any{map[string]any{"filters": []any{map[string]string{"propertyName": "name", "operator": "EQ", "value": name}}}}, "limit": 1,
	}, &found)
	if err != nil || len(found.Results) == 0 {
		return "", err
	}
	return found.Results[0].ID, nil
}

// Deal makes an open deal with its lines and returns its id.
func (p Portal) Deal(ctx context.Context, d Deal) (string, error) {
	properties := map[string]string{"dealname": d.Name, "dealstage": Open, "pipeline": "default"}
	set(properties, "deal_currency_code", d.Currency)
	set(properties, "amount", d.Amount)
	var to []association
	if d.Company != "" {
		to = append(to, toOne(d.Company, dealToPrimaryCompany))
	}
	for _, id := range d.Others {
		to = append(to, toOne(id, dealToCompany))
	}
	if d.Contact != "" {
		to = append(to, toOne(d.Contact, dealToContact))
	}
	id, err := p.create(ctx, "deals", properties, to)
	if err != nil {
		return "", err
	}
	for _, l := range d.Lines {
		if _, err := p.line(ctx, id, d.Currency, l); err != nil {
			return id, err
		}
	}
	return id, nil
}

func (p Portal) line(ctx context.Context, deal, currency string, l Line) (string, error) {
	properties := map[string]string{"name": l.Name, "quantity": l.Quantity, "price": l.Price}
	set(properties, "hs_sku", l.SKU)
	set(properties, "hs_product_id", l.Product)
	set(properties, "hs_discount_percentage", l.DiscountPercent)
	set(properties, "discount", l.UnitDiscount)
	set(properties, "hs_line_item_currency_code", currency)
	return p.create(ctx, "line_items", properties, []association{toOne(deal, lineItemToDeal)})
}

// Merge merges two records of a type (companies, contacts, deals) and returns
// the id of what came of it, which is a new one.
func (p Portal) Merge(ctx context.Context, typ, primary, other string) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	err := p.call(ctx, http.MethodPost, "/crm/v3/objects/"+typ+"/merge", map[string]string{"primaryObjectId": primary, "objectIdToMerge": other}, &out)
	return out.ID, err
}

// Move sets a deal's stage.
func (p Portal) Move(ctx context.Context, deal, stage string) error {
	return p.Change(ctx, "deals", deal, map[string]string{"dealstage": stage})
}

// Change sets properties of a record.
func (p Portal) Change(ctx context.Context, objects, id string, properties map[string]string) error {
	return p.call(ctx, http.MethodPatch, "/crm/v3/objects/"+objects+"/"+id, map[string]any{"properties": properties}, nil)
}

// Record reads a record's properties.
func (p Portal) Record(ctx context.Context, objects, id string, properties ...string) (map[string]string, error) {
	var o struct {
		Properties map[string]*string `json:"properties"`
	}
	path := "/crm/v3/objects/" + objects + "/" + id + "?properties=" + strings.Join(properties, ",")
	if err := p.call(ctx, http.MethodGet, path, nil, &o); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for k, v := range o.Properties {
		if v != nil {
			out[k] = *v
		}
	}
	return out, nil
}

// Lines returns the ids of a deal's line items.
func (p Portal) Lines(ctx context.Context, deal string) ([]string, error) {
	var page struct {
		Results []struct {
			ToObjectID json.Number `json:"toObjectId"`
		} `json:"results"`
	}
	if err := p.call(ctx, http.MethodGet, "/crm/v4/objects/deals/"+deal+"/associations/line_items", nil, &page); err != nil {
		return nil, err
	}
	var out []string
	for _, r := range page.Results {
		out = append(out, r.ToObjectID.String())
	}
	return out, nil
}

// Count returns how many records of a type the portal has, counted up to a page.
func (p Portal) Count(ctx context.Context, objects string) (int, error) {
	var page struct {
		Results []struct{} `json:"results"`
	}
	err := p.call(ctx, http.MethodGet, "/crm/v3/objects/"+objects+"?limit=100", nil, &page)
	return len(page.Results), err
}

type association struct {
	To    map[string]string `json:"to"`
	Types []map[string]any  `json:"types"`
}

func toOne(id string, typeID int) association {
	return association{To: map[string]string{"id": id}, Types: []map[string]any{{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": typeID}}}
}

func (p Portal) create(ctx context.Context, objects string, properties map[string]string, to []association) (string, error) {
	var o struct {
		ID string `json:"id"`
	}
	body := map[string]any{"properties": properties}
	if to != nil {
		body["associations"] = to
	}
	err := p.call(ctx, http.MethodPost, "/crm/v3/objects/"+objects, body, &o)
	return o.ID, err
}

// ErrNotFound means that the portal has no such record.
var ErrNotFound = errors.New("the portal has no such record")

// call sends one request; the vendor's "too many requests" is waited out.
func (p Portal) call(ctx context.Context, method, path string, body, into any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for {
		status, wait, answer, err := p.send(ctx, method, path, payload)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		switch {
		case status == http.StatusTooManyRequests:
			if !idle.For(ctx, wait) {
				return ctx.Err()
			}
			continue
		case status == http.StatusNotFound:
			return fmt.Errorf("%s %s: %w", method, path, ErrNotFound)
		case status >= 300:
			return fmt.Errorf("%s %s: %d %s", method, path, status, bytes.TrimSpace(answer))
		case into != nil:
			return json.Unmarshal(answer, into)
		}
		return nil
	}
}

func (p Portal) client() *http.Client {
	if p.HTTP != nil {
		return p.HTTP
	}
	return http.DefaultClient
}

func (p Portal) send(ctx context.Context, method, path string, payload []byte) (status int, wait time.Duration, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, p.BaseURL+path, bytes.NewReader(payload))
	if err != nil {
		return 0, 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client().Do(req)
	if err != nil {
		return 0, 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	wait = time.Second
	if s, aerr := strconv.Atoi(resp.Header.Get("Retry-After")); aerr == nil {
		wait = time.Duration(s) * time.Second
	}
	return resp.StatusCode, wait, answer, err
}

func set(m map[string]string, key, value string) {
	if value != "" {
		m[key] = value
	}
}
