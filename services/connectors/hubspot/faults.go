package hubspot

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/fault"
)

// purpose says what a lost answer means: nothing for a read, doubt for a write.
type purpose bool

const (
	reading purpose = false
	writing purpose = true
)

// textMax bounds the vendor's words in an exception.
const textMax = 500

var errOversize = errors.New("answer larger than 16 MB")

// kindOf tells writes from reads: HubSpot reads batches and searches by POST.
func kindOf(method, path string) purpose {
	if method == http.MethodGet || strings.HasSuffix(path, "/search") || strings.HasSuffix(path, "/batch/read") {
		return reading
	}
	return writing
}

// refusal is the shape of all of HubSpot's errors, on their own and inside a batch.
type refusal struct {
	Status   string              `json:"status"`
	Message  string              `json:"message"`
	Category string              `json:"category"`
	Policy   string              `json:"policyName"`
	Context  map[string][]string `json:"context"`
	Errors   []struct {
		Code    string              `json:"code"`
		Context map[string][]string `json:"context"`
	} `json:"errors"`
}

// code is the most telling code, and the property it is about.
func (r refusal) code() (code, field string) {
	for _, e := range r.Errors {
		if e.Code == "" {
			continue
		}
		if names := e.Context["propertyName"]; len(names) > 0 {
			field = names[0]
		}
		return e.Code, field
	}
	return r.embedded()
}

// embedded reads the JSON that HubSpot puts inside the message of a refused
// property, where errors is left out.
func (r refusal) embedded() (code, field string) {
	_, inner, ok := strings.Cut(r.Message, ": [")
	var faults []struct {
		Error string `json:"error"`
		Name  string `json:"name"`
	}
	if ok && json.Unmarshal([]byte("["+inner), &faults) == nil && len(faults) > 0 {
		return faults[0].Error, faults[0].Name
	}
	return r.Category, ""
}

// faultOf turns an answer into what to do next, nil for success. It is the
// only place that decides.
func faultOf(a answer, p purpose) error {
	var r refusal
	_ = json.Unmarshal(a.body, &r) // an answer of the edge is HTML and says nothing
	code, field := r.code()
	e := &fault.Error{Code: code, Field: field, Text: clip(r.Message), Status: a.status}
	switch {
	case a.status >= 200 && a.status < 300 && r.Status != "error":
		return nil
	case a.status >= 200 && a.status < 300: // an error in the clothes of a success does not say what was done
		e.Kind = fault.Transient
		if p == writing {
			e.Kind = fault.InDoubt
		}
		if e.Text == "" {
			e.Text = "an error under a status of success"
		}
	case a.status == http.StatusBadRequest && code == "PROPERTY_DOESNT_EXIST":
		e.Kind = fault.Unresolved
	case a.status == http.StatusBadRequest, a.status == http.StatusRequestEntityTooLarge, a.status == http.StatusUnprocessableEntity:
		e.Kind = fault.Rejected
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		e.Kind = fault.Unauthorized
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		e.Kind = fault.NotFound
	case a.status == http.StatusConflict:
		e.Kind = fault.Conflict
	case a.status == http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = fault.RateLimited, waitOf(a.header, r.Policy)
	case a.status == http.StatusLocked: // held for two seconds by another change
		e.Kind, e.RetryAfter = fault.RateLimited, retryAfter(a.header, 2*time.Second)
	case a.status == 477: // the portal is being moved to another data centre
		e.Kind, e.RetryAfter = fault.RateLimited, retryAfter(a.header, time.Hour)
	case (a.status >= 500 || a.status == http.StatusRequestTimeout) && p == reading:
		e.Kind = fault.Transient
	case a.status >= 500, a.status == http.StatusRequestTimeout:
		e.Kind = fault.InDoubt
	case p == writing && a.status < 400: // a redirect: who knows what stood there
		e.Kind = fault.InDoubt
	default:
		e.Kind = fault.Internal
	}
	if e.Text == "" {
		e.Text = http.StatusText(a.status)
	}
	return e
}

// partial is what one error beside a batch's results means. It has no status of
// its own; a category that nobody published says nothing of what was done.
func partial(r refusal, p purpose) *fault.Error {
	code, field := r.code()
	e := &fault.Error{Kind: fault.Transient, Code: code, Field: field, Text: clip(r.Message), Status: http.StatusMultiStatus}
	if p == writing {
		e.Kind = fault.InDoubt
	}
	switch {
	case code == "PROPERTY_DOESNT_EXIST":
		e.Kind = fault.Unresolved
	case r.Category == "VALIDATION_ERROR" && p == writing:
		e.Kind = fault.Rejected
	case r.Category == "CONFLICT" && p == writing:
		e.Kind = fault.Conflict
	case r.Category == "OBJECT_NOT_FOUND":
		e.Kind = fault.NotFound
	case r.Category == "MISSING_SCOPES":
		e.Kind = fault.Unauthorized
	case r.Category == "RATE_LIMITS", r.Category == "RATE_LIMIT":
		e.Kind, e.RetryAfter = fault.RateLimited, waitOf(nil, r.Policy)
	}
	return e
}

// waitOf is how long a used up quota needs.
func waitOf(h http.Header, policy string) time.Duration {
	wait := 10 * time.Second
	switch policy {
	case "SECONDLY":
		wait = time.Second
	case "DAILY": // it ends at midnight in the portal's zone, which we do not know here
		wait = time.Hour
	default:
		if ms, err := strconv.ParseInt(h.Get("X-HubSpot-RateLimit-Interval-Milliseconds"), 10, 64); err == nil && ms > 0 {
			wait = time.Duration(ms) * time.Millisecond
		}
	}
	return retryAfter(h, wait)
}

func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s >= 0 && s <= 86400 {
		return time.Duration(s) * time.Second
	}
	return otherwise
}

// lost is a request without an answer.
func lost(err error, p purpose) error {
	var op *net.OpError
	if p == reading || (errors.As(err, &op) && op.Op == "dial") {
		return &fault.Error{Kind: fault.Transient, Err: err}
	}
	return &fault.Error{Kind: fault.InDoubt, Text: "no answer", Err: err}
}

// unreadable is an answer that cannot be trusted.
func unreadable(err error, p purpose) error {
	switch {
	case p == writing:
		return &fault.Error{Kind: fault.InDoubt, Text: "the answer is not readable", Err: err}
	case errors.Is(err, errDuplicateKey), errors.Is(err, errOversize):
		return &fault.Error{Kind: fault.Internal, Text: "the answer is refused", Err: err}
	}
	return &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
}

func clip(s string) string {
	if len(s) <= textMax {
		return s
	}
	return strings.ToValidUTF8(s[:textMax], "") + "…"
}
