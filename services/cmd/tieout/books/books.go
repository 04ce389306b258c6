// Package books drives a QuickBooks Online company as a person would: through
// the vendor's API alone.
package books

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Company is a company and a token for it.
type Company struct {
	BaseURL, Realm, Token string
	HTTP                  *http.Client // nil: the default one
}

// Invoice is what a person sees of one. Amounts are decimals in the currency's
// major units.
type Invoice struct {
	ID          string      `json:"Id"`
	SyncToken   string      `json:"SyncToken"`
	DocNumber   string      `json:"DocNumber"`
	PrivateNote string      `json:"PrivateNote"`
	TotalAmt    json.Number `json:"TotalAmt"`
	Balance     json.Number `json:"Balance"`
	CustomerRef struct {
		Value string `json:"value"`
		Name  string `json:"name"`
	} `json:"CustomerRef"`
	CurrencyRef struct {
		Value string `json:"value"`
	} `json:"CurrencyRef"`
}

// Find returns an invoice by its number, or by its id.
func (c Company) Find(ctx context.Context, number string) (*Invoice, error) {
	for _, column := range []string{"DocNumber", "Id"} {
		var answer struct {
			QueryResponse struct{ Invoice []Invoice }
		}
		query := url.Values{"query": {"select * from Invoice where " + column + " = '" + strings.ReplaceAll(number, "'", `\'`) + "'"}}
		if err := c.call(ctx, http.MethodGet, "query?"+query.Encode(), nil, &answer); err != nil {
			return nil, err
		}
		if len(answer.QueryResponse.Invoice) > 0 {
			return &answer.QueryResponse.Invoice[0], nil
		}
	}
	return nil, fmt.Errorf("the books have no invoice %s", number)
}

// Edit changes the memo of an invoice.
func (c Company) Edit(ctx context.Context, v *Invoice, fields map[string]any) error {
	body := map[string]any{"Id": v.ID, "SyncToken": v.SyncToken, "sparse": true}
	for k, x := range fields {
		body[k] = x
	}
	return c.call(ctx, http.MethodPost, "invoice", body, nil)
}

// Void voids an invoice: its amounts become zero and it keeps its number.
func (c Company) Void(ctx context.Context, v *Invoice) error {
	return c.call(ctx, http.MethodPost, "invoice?operation=void", map[string]any{"Id": v.ID, "SyncToken": v.SyncToken}, nil)
}

// Delete removes an invoice.
func (c Company) Delete(ctx context.Context, v *Invoice) error {
	return c.call(ctx, http.MethodPost, "invoice?operation=delete", map[string]any{"Id": v.ID, "SyncToken": v.SyncToken}, nil)
}

// Pay receives a payment of an amount against an invoice; "" pays what is open.
func (c Company) Pay(ctx context.Context, v *Invoice, amount string) error {
	if amount == "" {
		amount = v.Balance.String()
	}
	return c.call(ctx, http.MethodPost, "payment", map[string]any{
		"CustomerRef": v.CustomerRef, "CurrencyRef": v.CurrencyRef, "TotalAmt": json.Number(amount),
		"Line": []any{map[string]any{"Amount": json.Number(amount), "LinkedTxn": []any{map[string]string{"TxnId": v.ID, "TxnType": "Invoice"}}}},
	}, nil)
}

func (c Company) client() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

func (c Company) call(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	req, err := http.NewRequestWithContext(ctx, method, c.BaseURL+"/v3/company/"+url.PathEscape(c.Realm)+"/"+path+sep+"minorversion=75", payload)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the books answered %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
