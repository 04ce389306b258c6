// Package hubspot connects a HubSpot portal: deals, companies, contacts and
// products are read as aggregates, and what became of a deal in the books is
// written back to three properties of it.
package hubspot

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
)

// System is the first word of this connector's refs.
const System = "hubspot"

// The object types.
const (
	typeDeal     = "deal"
	typeCompany  = "company"
	typeContact  = "contact"
	typeProduct  = "product"
	typeLineItem = "line_item" // a child: read with its deal, never alone
)

// vendorURL is where HubSpot answers, unless the configuration says otherwise.
const vendorURL = "https://api.hubapi.com"

// Settings and secrets that a connection may have.
const (
	settingSearchLag      = "search_lag"
	settingLongestRequest = "longest_request"
	settingGuard          = "guard"
	settingProperties     = "properties_of_" // + type: more properties that count
	settingPage           = "page_url"       // of the web application
	settingScopes         = "scopes"         // instead of scopesNeeded, separated by spaces
	settingAuthorize      = "authorize_url"
	secretApp             = "app_secret"
	secretClientID        = "client_id"
)

// Spec is the connector as the list of connectors holds it.
func Spec() connector.Spec {
	return connector.Spec{
		System: System,
		Types: []connector.Type{
			{Name: typeDeal, Fields: fieldsOf(typeDeal)},
			{Name: typeCompany, Fields: fieldsOf(typeCompany)},
			{Name: typeContact, Fields: fieldsOf(typeContact)},
			{Name: typeProduct, Fields: fieldsOf(typeProduct)},
		},
		Kinds:    []document.Kind{document.MarkerKind},
		Secrets:  []string{secretClientID, secretApp},
		Settings: settingNames(),
		Open:     Open,
	}
}

func settingNames() []string {
	names := []string{settingSearchLag, settingLongestRequest, settingGuard, settingPage, settingScopes, settingAuthorize}
	for _, typ := range []string{typeDeal, typeCompany, typeContact, typeProduct, typeLineItem} {
		names = append(names, settingProperties+typ)
	}
	return names
}

// propertiesOf are the properties read of a type. All of them count: a change
// of any is a revision. The three we write ourselves are not among them.
func propertiesOf(typ string) []string {
	switch typ {
	case typeDeal:
		return []string{"amount", "closedate", "deal_currency_code", "dealname", "dealstage", "dealtype", "description", "hs_is_closed", "hs_is_closed_won", "pipeline"}
	case typeLineItem:
		return []string{"amount", "description", "discount", "hs_discount_percentage", "hs_line_item_currency_code", "hs_position_on_quote", "hs_product_id", "hs_recurring_billing_period", "hs_recurring_billing_start_date", "hs_sku", "name", "price", "quantity", "recurringbillingfrequency"}
	case typeCompany:
		return []string{"address", "address2", "city", "country", "domain", "hs_country_code", "name", "phone", "state", "website", "zip"}
	case typeContact:
		return []string{"address", "city", "company", "country", "email", "firstname", "jobtitle", "lastname", "phone", "state", "zip"}
	case typeProduct:
		return []string{"description", "hs_product_type", "hs_sku", "name", "price", "recurringbillingfrequency"}
	}
	return nil
}

// fieldsOf is the schema that the hash of a type covers.
func fieldsOf(typ string) []string {
	fields := propertiesOf(typ)
	if typ == typeDeal {
		for _, name := range propertiesOf(typeLineItem) {
			fields = append(fields, "line_items."+name)
		}
		fields = append(fields, "companies", "contacts")
	}
	return append(fields, "merged_ids")
}

// Open makes a connection; it sends nothing.
func Open(cfg connector.Config) (*connector.Connection, error) {
	account, ok := strings.CutPrefix(cfg.Account, System+"/")
	if _, err := strconv.ParseUint(account, 10, 64); !ok || err != nil {
		return nil, fmt.Errorf("account %q is not %s/PORTAL with the number that the vendor shows", cfg.Account, System)
	}
	claims, err := claimsOf(cfg.Settings)
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	if v := cfg.Settings[settingAuthorize]; v != "" {
		if err := checkURL("setting "+settingAuthorize, v); err != nil {
			return nil, err
		}
	}
	schema, err := schemaOf(cfg.Settings)
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	conn := &connector.Connection{
		Source:   &source{client: c, account: account, schema: schema, now: cfg.Now, searches: rate.NewLimiter(searchesPerSecond, searchesAtOnce)},
		Target:   &target{client: c, account: account},
		Claims:   claims,
		Children: map[string]string{typeLineItem: typeDeal},
		Setup:    func(ctx context.Context) error { return setup(ctx, c) },
		Missing:  func(ctx context.Context) ([]string, error) { return lacking(ctx, c) },
		Check:    func(ctx context.Context) []connector.Check { return c.check(ctx, cfg, account) },
		Page:     pageOf(cfg.Settings[settingPage]),
	}
	if secret := cfg.Secrets[secretApp]; secret != "" {
		conn.Webhook = &webhook{secret: secret, now: cfg.Now}
	}
	if cfg.Secrets[secretClientID] != "" {
		conn.Consent = consentOf(c, cfg, account)
		conn.RefreshToken = func(ctx context.Context, refresh string) (connector.Grant, error) {
			return c.refresh(ctx, cfg, refresh)
		}
	}
	return conn, nil
}

// claimsOf are the promises: minutes at HubSpot, seconds in a sandbox. A
// marker is written to a record that is known, so a doubtful write is settled
// by reading that record.
func claimsOf(settings map[string]string) (connector.Claims, error) {
	c := connector.Claims{
		Ambiguity: map[document.Kind]connector.Ambiguity{document.MarkerKind: connector.Searchable},
		SearchLag: time.Minute, LongestRequest: time.Minute, Guard: 5 * time.Second,
		BatchSize: batchMax, MaxInFlight: 4,
		// https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines, the smallest plan
		Limits: []connector.Limit{{Requests: 100, Window: 10 * time.Second}, {Requests: 250000, Window: 24 * time.Hour}},
	}
	for name, into := range map[string]*time.Duration{settingSearchLag: &c.SearchLag, settingLongestRequest: &c.LongestRequest, settingGuard: &c.Guard} {
		text := settings[name]
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return c, fmt.Errorf("setting %s: %q is not a duration such as 3s", name, text)
		}
		*into = d
	}
	return c, nil
}

// pageOf gives the address of a record in HubSpot's web application.
func pageOf(base string) func(event.Ref) string {
	if base == "" {
		base = "https://app.hubspot.com"
	}
	return func(ref event.Ref) string {
		id := objectTypeID(ref.Type)
		if ref.System != System || id == "" || ref.Type == typeLineItem {
			return ""
		}
		return fmt.Sprintf("%s/contacts/%s/record/%s/%s", strings.TrimSuffix(base, "/"), ref.Account, id, ref.ID)
	}
}

// objectTypeID is HubSpot's id of a type, as generic webhooks name it.
func objectTypeID(typ string) string {
	switch typ {
	case typeContact:
		return "0-1"
	case typeCompany:
		return "0-2"
	case typeDeal:
		return "0-3"
	case typeProduct:
		return "0-7"
	case typeLineItem:
		return "0-8"
	}
	return ""
}

// pathOf is the plural that HubSpot's paths use.
func pathOf(typ string) string {
	switch typ {
	case typeCompany:
		return "companies"
	default:
		return typ + "s"
	}
}
