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

// codeInactive is of an object that is not there or out of use.
const codeInactive = "610"

// textMax bounds the vendor's words in an exception.
const textMax = 500

// refusal is Intuit's Fault, in either spelling; an answer of status 200 may
// carry one too.
type refusal struct {
	Fault *struct {
		Type  string `json:"type"`
		Error []struct {
			Message string `json:"Message"`
			Detail  string `json:"Detail"`
			Code    string `json:"code"`
			Element string `json:"element"`
		} `json:"Error"`
	} `json:"Fault"`
}

// faultOf turns an answer into what to do next, nil for success. It and judge
// are the only places that decide.
func faultOf(resp *http.Response, body []byte, p purpose, wait time.Duration) error {
	var r refusal
	readable := json.Unmarshal(body, &r) == nil
	if readable && r.Fault == nil && resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	e := r.fault(resp.StatusCode, p)
	if e.Kind == fault.RateLimited {
		e.RetryAfter = retryAfter(resp.Header, wait)
	}
	return e
}

// fault says what to do next about a refusal; status is 0 for an item of a batch.
func (r refusal) fault(status int, p purpose) *fault.Error {
	e := &fault.Error{Status: status, Text: http.StatusText(status)}
	typ := ""
	if r.Fault != nil {
		typ = r.Fault.Type
		e.Text = "a fault that names no error, of type " + strconv.Quote(clip(typ))
		if len(r.Fault.Error) > 0 {
			x := r.Fault.Error[0]
			e.Code, e.Field, e.Text = strings.TrimLeft(x.Code, "0"), x.Element, clip(strings.Trim(x.Message+": "+x.Detail, ": "))
		}
	}
	e.Kind, e.Field = judge(status, typ, e.Code, e.Field, p)
	if named := missing(e.Text); e.Kind == fault.Unresolved && named != "" {
		e.Field = named
	}
	return e
}

// judge goes from what is surest to what is guessed: a status that speaks for
// itself, then the published code, then the status alone. A failure of theirs,
// a redirect or an answer that is none never counts as "nothing was done".
func judge(status int, typ, code, element string, p purpose) (fault.Kind, string) {
	unknown := fault.Transient
	if p == writing {
		unknown = fault.InDoubt
	}
	switch {
	case status == http.StatusTooManyRequests, code == "3001":
		return fault.RateLimited, element
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.Unauthorized, element
	case status >= 500, status == http.StatusRequestTimeout, strings.EqualFold(typ, "SystemFault"):
		return unknown, element
	case code == "600", code == "3000", code == "10000": // the same request under way, or their own failure
		return unknown, element
	case code != "":
		return kindOfCode(code, element)
	case status == http.StatusNotFound:
		return fault.NotFound, element
	case status >= 400:
		return fault.Rejected, element
	}
	return unknown, element
}

// kindOfCode knows Intuit's published error codes, and which field they mean.
func kindOfCode(code, element string) (fault.Kind, string) {
	switch code {
	case "5010": // stale object: the SyncToken moved
		return fault.Conflict, element
	case "6240": // duplicate name: look again, it may be ours
		return fault.Conflict, "name"
	case codeInactive, "620": // object not found, or inactive
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
	case "120", "3100", "3200": // no authorization for this company, by this app, with this token
		return fault.Unauthorized, element
	case "6190": // the company's subscription has ended: no document is at fault
		return fault.Unauthorized, element
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
