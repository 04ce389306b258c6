package protocol

import (
	"sort"
	"strconv"
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
)

// sameFields reports whether got agrees with want on all of want's keys.
func sameFields(want, got map[string]string) bool {
	for k, v := range want { // all of them: the order of the map is not seen
		if got[k] != v {
			return false
		}
	}
	return true
}

// diffField returns the first key, in order, on which got differs from want.
func diffField(want, got map[string]string) string {
	keys := make([]string, 0, len(want))
	for k := range want { // sorted below: the order of the map is not seen
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if got[k] != want[k] {
			return k
		}
	}
	return ""
}

// kindOf maps a fault to the kind of exception that a person sees.
func kindOf(f *fault.Error) exception.Kind {
	if f.Field == "name" {
		return exception.Match
	}
	switch f.Kind {
	case fault.Conflict:
		return exception.Conflict
	case fault.NotFound:
		return exception.Conflict
	case fault.Unresolved:
		if f.Field != "currency" && f.Field != "tax" {
			return exception.Mapping
		}
	case fault.Unauthorized:
		return exception.Credential
	}
	switch f.Field {
	case "period":
		return exception.Period
	case "currency":
		return exception.Currency
	case "tax":
		return exception.Tax
	case "amount":
		return exception.Amount
	}
	return exception.Validation
}

// kindOfRef is the kind of a record in the books: its type is the kind's name
// in lower case.
func kindOfRef(ref string) document.Kind { return document.Kind(strings.ToUpper(parseRef(ref).Type)) }

func faultText(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Error()
}

func parseRef(s string) event.Ref {
	r, err := event.ParseRef(s)
	if err != nil {
		return event.Ref{}
	}
	return r
}

// vendorKey is the UUID form of the digest over the call's ops and generations.
func vendorKey(ops ...*Op) string {
	parts := make([]string, 0, len(ops))
	for _, o := range ops {
		parts = append(parts, o.ID+":"+itoa(o.Gen))
	}
	sort.Strings(parts)
	h := event.Digest(append([]string{"call/v1"}, parts...)...)
	return h[:8] + "-" + h[8:12] + "-5" + h[13:16] + "-8" + h[17:20] + "-" + h[20:32]
}

// traceID is the second field of a W3C traceparent.
func traceID(traceparent string) string {
	if f := strings.Split(traceparent, "-"); len(f) == 4 {
		return f[1]
	}
	return ""
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
