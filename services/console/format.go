package console

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	amount "tieout.dev/services/internal/money"
)

// money is an amount as people read it: in major units, by the currency's
// exponent, thousands apart.
func money(m *auditv1.Money) string {
	if m == nil || m.GetCurrency() == "" {
		return "–"
	}
	text := amount.Amount{Minor: m.GetMinor(), Currency: m.GetCurrency()}.Major()
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	whole, rest, found := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "\u202f" + whole[i:]
	}
	if found {
		whole += "." + rest
	}
	return sign + whole + "\u00a0" + m.GetCurrency()
}

// at is an instant in UTC.
func at(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05.000")
}

// ago says how long something has been so.
func (c *Console) ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return span(c.now().Sub(t.AsTime()))
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// recordLink is the address of a record's page.
func recordLink(id string) string {
	parts := strings.Split(id, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/record/" + strings.Join(parts, "/")
}
