package quickbooks

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

// reference is how the books point at another record.
type reference struct {
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
}

// object is a customer, an item, an invoice or a credit memo as the books answer it. Numbers
// are kept as text.
type object struct {
	ID           string      `json:"Id"`
	SyncToken    string      `json:"SyncToken"`
	Active       *bool       `json:"Active"`
	DisplayName  string      `json:"DisplayName"`
	CompanyName  string      `json:"CompanyName"`
	Name         string      `json:"Name"`
	SKU          string      `json:"Sku"`
	Description  string      `json:"Description"`
	Notes        string      `json:"Notes"`
	GivenName    string      `json:"GivenName"`
	FamilyName   string      `json:"FamilyName"`
	Email        *email      `json:"PrimaryEmailAddr"`
	Phone        *phone      `json:"PrimaryPhone"`
	Billing      *postal     `json:"BillAddr"`
	UnitPrice    json.Number `json:"UnitPrice"`
	EmailStatus  string      `json:"EmailStatus"`
	CurrencyRef  *reference  `json:"CurrencyRef"`
	CustomerRef  *reference  `json:"CustomerRef"`
	DocNumber    string      `json:"DocNumber"`
	TxnDate      string      `json:"TxnDate"`
	DueDate      string      `json:"DueDate"`
	PrivateNote  string      `json:"PrivateNote"`
	PONumber     string      `json:"PONumber"`
	TotalAmt     json.Number `json:"TotalAmt"`
	Balance      json.Number `json:"Balance"`
	Lines        []line      `json:"Line"`
	TxnTaxDetail struct {
		TotalTax json.Number `json:"TotalTax"`
	} `json:"TxnTaxDetail"`
	MetaData struct {
		CreateTime      string `json:"CreateTime"`
		LastUpdatedTime string `json:"LastUpdatedTime"`
	} `json:"MetaData"`
}

type email struct {
	Address string `json:"Address"`
}

type phone struct {
	Number string `json:"FreeFormNumber"`
}

// postal is an address (BG-8, BG-15).
type postal struct {
	Line1       string `json:"Line1,omitempty"`
	Line2       string `json:"Line2,omitempty"`
	Line3       string `json:"Line3,omitempty"`
	Line4       string `json:"Line4,omitempty"`
	Line5       string `json:"Line5,omitempty"`
	City        string `json:"City,omitempty"`
	PostalCode  string `json:"PostalCode,omitempty"`
	Subdivision string `json:"CountrySubDivisionCode,omitempty"`
	Country     string `json:"Country,omitempty"`
}

// text is one normal form for what we ask and what the books answer.
func (a *postal) text() string {
	if a == nil {
		return ""
	}
	var parts []string
	for _, s := range []string{a.Line1, a.Line2, a.Line3, a.Line4, a.Line5, a.City, a.PostalCode, a.Subdivision, a.Country} {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

type line struct {
	ID          string      `json:"Id,omitempty"`
	DetailType  string      `json:"DetailType"`
	Amount      json.Number `json:"Amount,omitempty"`
	Description string      `json:"Description,omitempty"`
	Sale        *saleDetail `json:"SalesItemLineDetail,omitempty"`
}

type saleDetail struct {
	ItemRef    reference   `json:"ItemRef"`
	Qty        json.Number `json:"Qty"`
	UnitPrice  json.Number `json:"UnitPrice"`
	TaxCodeRef *reference  `json:"TaxCodeRef,omitempty"`
}

// markPattern finds our mark in a memo.
var markPattern = regexp.MustCompile(`TO-[A-Z2-7]{13}`)

// voidedPrefix is what the books put before the memo of a voided document.
const voidedPrefix = "Voided"

// posting reads what the books answered into what they confirm.
func (t *target) posting(kind document.Kind, o *object) (connector.Posting, error) {
	p := connector.Posting{
		Ref:  event.Ref{System: System, Account: t.realm, Type: typeOf(kind), ID: o.ID},
		Kind: kind, Version: o.SyncToken, Status: connector.Open, Active: o.Active == nil || *o.Active,
		CreatedAt: instant(o.MetaData.CreateTime), ChangedAt: instant(o.MetaData.LastUpdatedTime), Fields: map[string]string{},
	}
	if o.ID == "" {
		return p, fmt.Errorf("the answer has no Id")
	}
	switch kind {
	case document.CustomerKind:
		t.readCustomer(&p, o)
	case document.ItemKind:
		p.Name, p.Mark = o.Name, markPattern.FindString(o.Description)
		p.Fields = itemFields(o)
	case document.InvoiceKind, document.CreditNoteKind:
		return p, t.readInvoice(&p, o)
	}
	return p, nil
}

func (t *target) readCustomer(p *connector.Posting, o *object) {
	p.Name, p.Mark = o.DisplayName, markPattern.FindString(o.Notes)
	if o.Email != nil {
		p.Email = o.Email.Address
	}
	if o.CurrencyRef != nil {
		p.Currency = o.CurrencyRef.Value
	}
	p.Fields = customerFields(o)
}

// customerFields are the fields that we own of a customer; what is not said is
// left out.
func customerFields(o *object) map[string]string {
	f := map[string]string{
		"name": o.DisplayName, "legal_name": o.CompanyName, "given_name": o.GivenName, "family_name": o.FamilyName, "address": o.Billing.text(),
	}
	if o.Email != nil {
		f["email"] = o.Email.Address
	}
	if o.Phone != nil {
		f["phone"] = o.Phone.Number
	}
	if o.CurrencyRef != nil {
		f["currency"] = o.CurrencyRef.Value
	}
	return said(f)
}

func itemFields(o *object) map[string]string {
	f := map[string]string{"name": o.Name, "sku": o.SKU, "description": withoutMark(o.Description)}
	if price, err := number(o.UnitPrice); err == nil && o.UnitPrice != "" {
		f["price"] = price.String()
	}
	return said(f)
}

func said(f map[string]string) map[string]string {
	for k, v := range f {
		if v == "" {
			delete(f, k)
		}
	}
	return f
}

func withoutMark(s string) string {
	at := markPattern.FindStringIndex(s)
	if at == nil {
		return s
	}
	return strings.TrimSuffix(s[:at[0]], " · ")
}

func (t *target) readInvoice(p *connector.Posting, o *object) (err error) {
	if o.CurrencyRef == nil || o.CustomerRef == nil {
		return fmt.Errorf("invoice %s lacks its currency or its customer", o.ID)
	}
	p.Number, p.Mark, p.IssueDate, p.Currency = o.DocNumber, markPattern.FindString(o.PrivateNote), o.TxnDate, o.CurrencyRef.Value
	p.Customer = event.Ref{System: System, Account: t.realm, Type: typeCustomer, ID: o.CustomerRef.Value}
	if p.Gross, err = amount(o.TotalAmt, p.Currency); err != nil {
		return fmt.Errorf("invoice %s: TotalAmt: %w", o.ID, err)
	}
	if p.Open, err = amount(o.Balance, p.Currency); err != nil {
		return fmt.Errorf("invoice %s: Balance: %w", o.ID, err)
	}
	if p.Tax, err = amount(o.TxnTaxDetail.TotalTax, p.Currency); err != nil {
		return fmt.Errorf("invoice %s: TotalTax: %w", o.ID, err)
	}
	if p.Net, err = p.Gross.Add(p.Tax.Neg()); err != nil {
		return err
	}
	p.Status, p.Sent = statusOf(p, o), o.EmailStatus == "EmailSent"
	p.Fields, err = t.invoiceFields(o)
	return err
}

func statusOf(p *connector.Posting, o *object) connector.Status {
	switch {
	case strings.HasPrefix(o.PrivateNote, voidedPrefix) && p.Gross.Minor == 0:
		return connector.Voided
	case p.Open == p.Gross:
		return connector.Open
	case p.Open.Minor == 0:
		return connector.Closed
	}
	return connector.Partly
}

// invoiceFields are the fields that we own, in one normal form for what we ask
// and what the books answer.
func (t *target) invoiceFields(o *object) (map[string]string, error) {
	f := map[string]string{
		"customer":   event.Ref{System: System, Account: t.realm, Type: typeCustomer, ID: o.CustomerRef.Value}.String(),
		"currency":   o.CurrencyRef.Value,
		"issue_date": o.TxnDate, "due_date": o.DueDate, "note": o.PrivateNote, "purchase_order": o.PONumber,
	}
	n := 0
	for _, l := range o.Lines {
		if l.Sale == nil {
			continue
		}
		n++
		key := "line." + strconv.Itoa(n) + "."
		f[key+"item"], f[key+"description"] = l.Sale.ItemRef.Value, l.Description
		if l.ID != "" {
			f[key+"id"] = l.ID // kept by an update; not part of what a new document asks
		}
		if l.Sale.TaxCodeRef != nil {
			f[key+"tax"] = l.Sale.TaxCodeRef.Value
		}
		for name, v := range map[string]json.Number{"quantity": l.Sale.Qty, "price": l.Sale.UnitPrice, "net": l.Amount} {
			d, err := number(v)
			if err != nil {
				return nil, fmt.Errorf("invoice %s line %d %s: %w", o.ID, n, name, err)
			}
			f[key+name] = d.String()
		}
	}
	f["lines"] = strconv.Itoa(n)
	return f, nil
}

// number reads a JSON number as a decimal; none is 0.
func number(n json.Number) (money.Decimal, error) {
	if n == "" {
		return money.Decimal{}, nil
	}
	return money.ParseDecimal(n.String())
}

func amount(n json.Number, currency string) (money.Amount, error) {
	d, err := number(n)
	if err != nil {
		return money.Amount{}, err
	}
	return money.Parse(d.String(), currency)
}

func instant(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
