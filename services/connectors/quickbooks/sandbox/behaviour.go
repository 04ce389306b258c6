package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// What becomes of an invoice with payments that is voided: sources disagree.
const (
	voidPaidRefuse  = "refuse"
	voidPaidUnapply = "unapply"
)

// behaviour are the company's own settings.
type behaviour struct {
	ClosingDate          string          `json:"closing_date"`           // "2026-10-31": nothing up to it can be written
	Multicurrency        bool            `json:"multicurrency"`          //
	VoidPaid             string          `json:"void_paid"`              // "refuse" or "unapply"
	BatchMax             int             `json:"batch_max"`              // items a batch may have
	CustomTxnNumbers     bool            `json:"custom_txn_numbers"`     // the client numbers, the ledger does not
	WarnDuplicateNumbers bool            `json:"warn_duplicate_numbers"` // a used DocNumber is refused
	RefreshGrace         engine.Duration `json:"refresh_grace"`          // how long a replaced refresh token is still good
	Subscription         string          `json:"subscription"`           // what the company pays: after it ended nothing can be written
	User                 string          `json:"user"`                   // who connected the app: "admin" or "removed"
	Consent              string          `json:"consent"`                // what the person at the consent page does: "agree" or "deny"
	WebhookForm          string          `json:"webhook_form"`           // "cloudevents" or "legacy"
}

// The words of settings that are words.
const (
	subscribed      = "SUBSCRIBED"
	userAdmin       = "admin"
	userRemoved     = "removed"
	consentAgree    = "agree"
	consentDeny     = "deny"
	formCloudEvents = "cloudevents"
	formLegacy      = "legacy"
)

// words are what those settings may say, the usual one first.
func words() map[string][]string {
	return map[string][]string{
		"void_paid":    {voidPaidRefuse, voidPaidUnapply},
		"subscription": {subscribed, "TRIAL", "EXPIRED", "CANCELED", "SUSPENDED", "RESTRICTED"},
		"user":         {userAdmin, userRemoved},
		"consent":      {consentAgree, consentDeny},
		"webhook_form": {formCloudEvents, formLegacy},
	}
}

// check says what a setting may be that is something else.
func (b behaviour) check() error {
	is := map[string]string{"void_paid": b.VoidPaid, "subscription": b.Subscription, "user": b.User, "consent": b.Consent, "webhook_form": b.WebhookForm}
	known := words()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.Contains(known[name], is[name]) {
			return fmt.Errorf("setting %s is one of %s, not %q", name, strings.Join(known[name], ", "), is[name])
		}
	}
	switch {
	case b.ClosingDate != "" && !isDate(b.ClosingDate):
		return fmt.Errorf("setting closing_date is a date like 2026-10-31, or \"\" for none, not %q", b.ClosingDate)
	case b.BatchMax < 1:
		return fmt.Errorf("setting batch_max is at least 1, not %d", b.BatchMax)
	}
	return nil
}

// allows is what the books say to everybody before they look at a request.
func (b behaviour) allows(write bool) error {
	switch {
	case b.User == userRemoved:
		return noAccess()
	case write && b.Subscription != subscribed && b.Subscription != "TRIAL":
		return notSubscribed()
	}
	return nil
}

func defaultBehaviour() behaviour {
	return behaviour{VoidPaid: voidPaidRefuse, BatchMax: 30, WarnDuplicateNumbers: true, RefreshGrace: engine.Duration(10 * time.Minute),
		Subscription: subscribed, User: userAdmin, Consent: consentAgree, WebhookForm: formCloudEvents}
}

// Settings are the keys Configure knows.
func (c *company) Settings() []string {
	return slices.Concat([]string{"closing_date", "multicurrency", "batch_max", "custom_txn_numbers", "warn_duplicate_numbers", "refresh_grace"},
		slices.Collect(maps.Keys(words())))
}

// Configure takes the settings that are the company's.
func (c *company) Configure(settings map[string]json.RawMessage) error {
	next := defaultBehaviour()
	for name, raw := range settings {
		one, err := json.Marshal(map[string]json.RawMessage{name: raw})
		if err == nil {
			err = json.Unmarshal(one, &next)
		}
		if err != nil || string(raw) == "null" {
			return fmt.Errorf("setting %s is %s, not %s", name, hint(name), raw)
		}
	}
	if err := next.check(); err != nil {
		return err
	}
	c.settings = next
	return nil
}

// hint says what kind of value a setting has.
func hint(name string) string {
	switch name {
	case "multicurrency", "custom_txn_numbers", "warn_duplicate_numbers":
		return "true or false"
	case "batch_max":
		return "a count such as 30"
	case "refresh_grace":
		return `a duration such as "10m"`
	case "closing_date":
		return `a date such as "2026-10-31", or "" for none`
	}
	return "one of " + strings.Join(words()[name], ", ")
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}
