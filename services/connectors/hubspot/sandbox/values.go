package sandbox

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

var (
	numeral = regexp.MustCompile(`^-?(\d+(\.\d*)?|\.\d+)$`)
	address = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

// normal is the value as the portal keeps it, or why it does not take it.
func (d *definition) normal(value string) (string, *propertyFault) {
	if value == "" {
		return "", nil
	}
	switch d.Type {
	case "number":
		return d.number(value)
	case "datetime", "date":
		return d.moment(value)
	case "bool":
		return d.option(value, []string{"true", "false"})
	case "enumeration":
		if d.Options != nil {
			return d.option(value, d.Options)
		}
	}
	if d.Name == "email" && !address.MatchString(value) {
		f := badProperty(d.Name, "INVALID_EMAIL", "Email address %s is invalid", value)
		return "", &f
	}
	return value, nil
}

func (d *definition) number(value string) (string, *propertyFault) {
	if isNumber(value) {
		return value, nil
	}
	f := badProperty(d.Name, "INVALID_LONG", "%s was not a valid long.", value)
	return "", &f
}

// moment takes ISO 8601 or milliseconds since 1970; a date is midnight UTC.
func (d *definition) moment(value string) (string, *propertyFault) {
	t, ok := parseMoment(value)
	if !ok || (d.Type == "date" && t.Truncate(24*time.Hour) != t) {
		f := badProperty(d.Name, "INVALID_DATE", "%s was not a valid %s.", value, d.Type)
		return "", &f
	}
	if d.Type == "date" {
		return t.Format(time.DateOnly), nil
	}
	return stamp(t), nil
}

func (d *definition) option(value string, options []string) (string, *propertyFault) {
	if slices.Contains(options, value) {
		return value, nil
	}
	f := badProperty(d.Name, "INVALID_OPTION", "%s was not one of the allowed options: [%s]", value, strings.Join(options, ", "))
	return "", &f
}

func parseMoment(value string) (time.Time, bool) {
	if ms, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), true
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC().Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}

// numberMax bounds the length of a number, so that computing with it is cheap.
const numberMax = 60

func isNumber(value string) bool { return len(value) <= numberMax && numeral.MatchString(value) }

// decimal is the number in value, zero for none.
func decimal(value string) *big.Rat {
	if !isNumber(value) {
		return new(big.Rat) // also 1e999999999, which would be written out
	}
	r, ok := new(big.Rat).SetString(value)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// plain writes a number as HubSpot does: exact to the currency's minor unit,
// half away from zero, no zeros behind the point.
func plain(r *big.Rat, digits int) string {
	s := r.FloatString(digits)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// digits is how many places behind the point a currency has.
func digits(currency string) int {
	switch currency {
	case "JPY":
		return 0
	case "KWD":
		return 3
	}
	return 2
}
