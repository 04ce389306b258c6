package sandbox

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	engine "tieout.dev/services/internal/sandbox"
)

//go:embed presets.json
var presetFile []byte

// preset is what a new company of a country has.
type preset struct {
	Company    string              `json:"company"`
	Country    string              `json:"country"`
	Currency   string              `json:"currency"`
	TaxTerm    string              `json:"tax_term"`   // what its tax is called
	US         bool                `json:"us"`         // lines say TAX or NON, the document names the rate
	Currencies map[string]string   `json:"currencies"` // that can be used, by code
	Rates      map[string]string   `json:"rates"`      // home currency per one of the other
	Objects    map[string][]fields `json:"objects"`
}

func readPresets() (map[string]preset, error) {
	var out map[string]preset
	d := json.NewDecoder(bytes.NewReader(presetFile))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("presets.json: %w", err)
	}
	return out, nil
}

// Presets are the countries whose companies can be founded.
func (c *company) Presets() []string { return slices.Sorted(maps.Keys(c.presets)) }

// Seed founds the company: accounts, tax codes, terms, and no customer or item.
func (c *company) Seed(tx *engine.Tx, name string) error {
	p, ok := c.presets[name]
	if !ok {
		return fmt.Errorf("unknown company preset %q", name)
	}
	found(tx, c.shared)
	tx.SetFact(presetFact, name)
	tx.SetFact("sequence/docnumber", "1000")
	for _, typ := range []string{"account", "term", "taxrate", "taxcode"} {
		for _, o := range p.Objects[typ] {
			c.seedOne(tx, p, c.kinds[typ], engine.Clone(o))
		}
		tx.SetFact("sequence/"+typ, "100")
	}
	return nil
}

func (c *company) seedOne(tx *engine.Tx, p preset, k *kind, o fields) {
	o["SyncToken"], o["domain"], o["sparse"], o["Active"] = "0", "QBO", false, true
	o["MetaData"] = fields{"CreateTime": stamp(tx.Now()), "LastUpdatedTime": stamp(tx.Now())}
	if k.typ() == "account" {
		o["FullyQualifiedName"], o["SubAccount"] = o["Name"], false
		o["CurrencyRef"] = refTo(p.Currency, p.Currencies[p.Currency])
	}
	tx.Put(k.typ(), text(o, "Id"), o)
	if name := text(o, "Name"); name != "" {
		claim(tx, k.typ(), name, text(o, "Id"))
	}
}

// Opened reads what Sign needs, outside a request's reach.
func (c *company) Opened(tx *engine.Tx) { c.verifier = tx.Fact(verifierFact) }

// single is an entity of which a company has one, composed when it is read.
func (x *call) single(k *kind) fields {
	var out fields
	switch k.name {
	case "CompanyInfo":
		out = fields{"CompanyName": x.preset.Company, "LegalName": x.preset.Company, "Country": x.preset.Country,
			"FiscalYearStartMonth": "January", "SupportedLanguages": "en", "CompanyStartDate": "2020-01-01",
			"CompanyAddr": fields{"Id": "1", "Country": x.preset.Country}, "Email": fields{"Address": "books@example.com"}, "WebAddr": fields{},
			"NameValue": []any{fields{"Name": "SubscriptionStatus", "Value": x.c.settings.Subscription}}}
	case "Preferences":
		out = x.preferences()
	default:
		return nil
	}
	out["Id"], out["SyncToken"], out["domain"], out["sparse"] = "1", "0", "QBO", false
	out["MetaData"] = fields{"CreateTime": "2020-01-01T00:00:00-08:00", "LastUpdatedTime": "2020-01-01T00:00:00-08:00"}
	return out
}

func (x *call) preferences() fields {
	s := x.c.settings
	accounting := fields{"UseAccountNumbers": false, "TrackDepartments": false, "ClassTrackingPerTxn": false, "ClassTrackingPerTxnLine": false,
		"FirstMonthOfFiscalYear": "January", "TaxYearMonth": "January", "CustomerTerminology": "Customers"}
	if s.ClosingDate != "" {
		accounting["BookCloseDate"] = s.ClosingDate
	}
	return fields{
		"AccountingInfoPrefs": accounting,
		"CurrencyPrefs":       fields{"MultiCurrencyEnabled": s.Multicurrency, "HomeCurrency": refTo(x.preset.Currency, "")},
		"SalesFormsPrefs": fields{"CustomTxnNumbers": s.CustomTxnNumbers, "AllowDeposit": false, "AllowDiscount": true, "AllowEstimates": true,
			"AllowServiceDate": false, "AllowShipping": false, "DefaultTerms": refTo("3", ""), "UsingProgressInvoicing": false,
			"AutoApplyCredit": false, "AutoApplyPayments": false},
		"TaxPrefs": fields{"UsingSalesTax": true, "PartnerTaxEnabled": false},
		"OtherPrefs": fields{"NameValue": []any{
			fields{"Name": "WarnDuplicateInvoiceNumber", "Value": fmt.Sprint(s.WarnDuplicateNumbers)}}},
	}
}
