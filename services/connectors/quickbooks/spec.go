// Package quickbooks connects a QuickBooks Online company: customers, items
// and invoices are written, and the books are read back for matching, for
// settling lost answers and for reconciliation.
package quickbooks

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
)

// System is the first word of this connector's refs.
const System = "quickbooks"

// Where Intuit answers, unless the configuration says otherwise.
const (
	vendorURL = "https://quickbooks.api.intuit.com"
	tokenURL  = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
)

// Settings and secrets that a connection may have.
const (
	settingSearchLag      = "search_lag"
	settingLongestRequest = "longest_request"
	settingGuard          = "guard"
	settingThrottleWait   = "throttle_wait"
	settingTokenURL       = "token_url"
	settingPage           = "page_url"
	settingBatchSize      = "batch_size"
	secretClientID        = "client_id"
	secretClientSecret    = "client_secret"
)

// The object types that refs name.
const (
	typeCustomer = "customer"
	typeItem     = "item"
	typeInvoice  = "invoice"
	typeCredit   = "credit_note"
)

// Spec is the connector as the list of connectors holds it.
func Spec() connector.Spec {
	return connector.Spec{
		System:  System,
		Kinds:   []document.Kind{document.CustomerKind, document.ItemKind, document.InvoiceKind, document.CreditNoteKind},
		Secrets: []string{secretClientID, secretClientSecret},
		Settings: []string{
			settingSearchLag, settingLongestRequest, settingGuard, settingThrottleWait, settingTokenURL, settingPage, settingBatchSize, settingAuthorize, settingRevoke,
		},
		Open: Open,
	}
}

// Open makes a connection; it sends nothing.
func Open(cfg connector.Config) (*connector.Connection, error) {
	realm, ok := strings.CutPrefix(cfg.Account, System+"/")
	if _, err := strconv.ParseUint(realm, 10, 64); !ok || err != nil {
		return nil, fmt.Errorf("account %q is not %s/REALM with the number that the vendor shows", cfg.Account, System)
	}
	claims, wait, err := claimsOf(cfg.Settings)
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg, realm, wait)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{settingTokenURL, settingAuthorize, settingRevoke} {
		if v := cfg.Settings[name]; v != "" {
			if err := checkURL("setting "+name, v); err != nil {
				return nil, err
			}
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	conn := &connector.Connection{Target: &target{client: c, realm: realm}, Claims: claims, Page: pageOf(cfg.Settings[settingPage]), Check: c.check}
	if cfg.Secrets[secretClientID] != "" {
		conn.Consent = consentOf(c, cfg)
		conn.RefreshToken = func(ctx context.Context, refresh string) (connector.Grant, error) {
			return c.refresh(ctx, cfg, refresh)
		}
	}
	return conn, nil
}

// claimsOf are the promises: minutes at Intuit, seconds in a sandbox.
// Customers and items have unique names. An invoice has no reference that the
// API can filter, and how long a requestid is remembered is not published, so
// a lost answer is settled by searching the customer's invoices for our mark.
func claimsOf(settings map[string]string) (connector.Claims, time.Duration, error) {
	c := connector.Claims{
		Ambiguity: map[document.Kind]connector.Ambiguity{
			document.CustomerKind: connector.UniqueReference, document.ItemKind: connector.UniqueReference, document.InvoiceKind: connector.Searchable,
			document.CreditNoteKind: connector.Searchable,
		},
		// 120 s is when Intuit ends a request; the lag of its queries is not published.
		SearchLag: time.Minute, LongestRequest: 2 * time.Minute, Guard: 5 * time.Second,
		// Intuit names 10 items on one page and 30 on a newer one, and 40 batches a
		// minute; a company that takes fewer teaches the writer down.
		BatchSize: 30, MaxInFlight: 8, BatchLimits: []connector.Limit{{Requests: 40, Window: time.Minute}},
		// Tax ids are answered masked and so are no key.
		Match: map[document.Kind][]string{
			document.CustomerKind: {connector.ByEmail, connector.ByName}, document.ItemKind: {connector.BySKU, connector.ByName},
			document.InvoiceKind: {connector.ByMark}, document.CreditNoteKind: {connector.ByMark},
		},
		LockDates: true,
		// developer.intuit.com, limits: 10 a second and 500 a minute for an app and a company.
		Limits: []connector.Limit{{Requests: 10, Window: time.Second}, {Requests: 500, Window: time.Minute}},
	}
	wait := time.Minute
	if text := settings[settingBatchSize]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 30 {
			return c, 0, fmt.Errorf("setting %s: %q is not a number from 1 to 30", settingBatchSize, text)
		}
		c.BatchSize = n
	}
	for name, into := range map[string]*time.Duration{
		settingSearchLag: &c.SearchLag, settingLongestRequest: &c.LongestRequest, settingGuard: &c.Guard, settingThrottleWait: &wait,
	} {
		text := settings[name]
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return c, 0, fmt.Errorf("setting %s: %q is not a duration such as 3s", name, text)
		}
		*into = d
	}
	return c, wait, nil
}

// pageOf gives the address of a record in QuickBooks' web application.
func pageOf(base string) func(event.Ref) string {
	if base == "" {
		base = "https://qbo.intuit.com"
	}
	return func(ref event.Ref) string {
		query := map[string]string{typeInvoice: "app/invoice?txnId=", typeCustomer: "app/customerdetail?nameId=", typeItem: "app/items?itemId=", typeCredit: "app/creditmemo?txnId="}[ref.Type]
		if ref.System != System || query == "" {
			return ""
		}
		return strings.TrimSuffix(base, "/") + "/" + query + ref.ID
	}
}

func typeOf(k document.Kind) string {
	switch k {
	case document.CustomerKind:
		return typeCustomer
	case document.ItemKind:
		return typeItem
	case document.InvoiceKind:
		return typeInvoice
	case document.CreditNoteKind:
		return typeCredit
	}
	return ""
}

// entityOf is a kind by the vendor's name for it, which is also, in small letters,
// where it is written to.
func entityOf(kind document.Kind) string {
	return map[document.Kind]string{
		document.CustomerKind: "Customer", document.ItemKind: "Item", document.InvoiceKind: "Invoice", document.CreditNoteKind: "CreditMemo",
	}[kind]
}

func pathOf(kind document.Kind) string { return strings.ToLower(entityOf(kind)) }
