package quickbooks

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

// textMax bounds the vendor's words in an exception.
const textMax = 500

// refusal is Intuit's Fault, in either spelling; an answer of status 200 may
// carry one too.
type refusal struct {
	Fault struct {
		Type  string `json:"type"`
		Error []struct {
			Message string `json:"Message"`
			Detail  string `json:"Detail"`
			Code    string `json:"code"`
			Element string `json:"element"`
		} `json:"Error"`
	} `json:"Fault"`
}

// faultOf turns an answer into what to do next, nil for success. It is the
// only place that decides.
func faultOf(resp *http.Response, body []byte, p purpose, wait time.Duration) error {
	var r refusal
	readable := json.Unmarshal(body, &r) == nil
	e := &fault.Error{Status: resp.StatusCode, Text: http.StatusText(resp.StatusCode)}
	if len(r.Fault.Error) > 0 {
		x := r.Fault.Error[0]
		e.Code, e.Text, e.Field = x.Code, clip(strings.TrimSpace(x.Message+": "+x.Detail)), x.Element
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || strings.HasSuffix(e.Code, "3001"):
		e.Kind, e.RetryAfter = fault.RateLimited, retryAfter(resp.Header, wait)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		e.Kind = fault.Unauthorized
	case e.Code != "":
		e.Kind, e.Field = kindOfCode(e.Code, e.Field, p)
		if named := missing(e.Text); e.Kind == fault.Unresolved && named != "" {
			e.Field = named
		}
	case resp.StatusCode >= 200 && resp.StatusCode < 300 && readable:
		return nil
	case resp.StatusCode == http.StatusNotFound:
		e.Kind = fault.NotFound
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		e.Kind = fault.Rejected
	case p == writing: // 5xx, a redirect, an answer cut short: who knows
		e.Kind = fault.InDoubt
	default:
		e.Kind = fault.Transient
	}
	return e
}

// kindOfCode knows Intuit's published error codes, and which field they mean.
func kindOfCode(code, element string, p purpose) (fault.Kind, string) {
	switch code {
	case "5010": // stale object: the SyncToken moved
		return fault.Conflict, element
	case "6240": // duplicate name: look again, it may be ours
		return fault.Conflict, "name"
	case "610", "620": // object not found, or inactive
		return fault.NotFound, element
	case "2500": // invalid reference id
		return fault.Unresolved, element
	case "6210": // the accounting period is closed
		return fault.Rejected, "period"
	case "6070": // amount is not quantity × price
		return fault.Rejected, "amount"
	case "1040": // more items than a batch may have: none of them was looked at
		return fault.Rejected, fault.FieldBatch
	case "6140": // duplicate document number
		return fault.Rejected, "number"
	case "120", "3200", "003200", "3100", "003100":
		return fault.Unauthorized, element
	case "600", "10000", "3000": // the same request under way, or their own failure
		if p == writing {
			return fault.InDoubt, element
		}
		return fault.Transient, element
	}
	return fault.Rejected, element
}

// missing is the field whose reference is not there: the answer names the
// entity in its words only ("Currency element id KWD not found").
func missing(text string) string {
	for entity, field := range map[string]string{"Currency element id": "currency", "TaxCode element id": "tax", "Tax Code element id": "tax"} {
		if strings.Contains(text, entity) {
			return field
		}
	}
	return ""
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

func clip(s string) string {
	if len(s) <= textMax {
		return s
	}
	return strings.ToValidUTF8(s[:textMax], "") + "…"
}
