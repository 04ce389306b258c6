package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
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
}

func defaultBehaviour() behaviour {
	return behaviour{VoidPaid: voidPaidRefuse, BatchMax: 30, WarnDuplicateNumbers: true, RefreshGrace: engine.Duration(10 * time.Minute)}
}

// Configure takes the settings that are the company's.
func (c *company) Configure(settings map[string]json.RawMessage) error {
	raw, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	next := defaultBehaviour()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&next); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if next.ClosingDate != "" && !isDate(next.ClosingDate) {
		return fmt.Errorf("setting closing_date is a date like 2026-10-31, not %q", next.ClosingDate)
	}
	if next.VoidPaid != voidPaidRefuse && next.VoidPaid != voidPaidUnapply {
		return fmt.Errorf("setting void_paid is %q or %q, not %q", voidPaidRefuse, voidPaidUnapply, next.VoidPaid)
	}
	if next.BatchMax < 1 {
		return fmt.Errorf("setting batch_max is at least 1, not %d", next.BatchMax)
	}
	c.settings = next
	return nil
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}
