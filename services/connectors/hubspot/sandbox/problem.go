package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// problem is a refusal in HubSpot's shape.
type problem struct {
	status   int
	category string
	message  string
	sub      string
	details  []detail
	context  map[string][]string
}

// detail is one entry of a refusal's errors.
type detail struct {
	Message string              `json:"message"`
	Code    string              `json:"code,omitempty"`
	Context map[string][]string `json:"context,omitempty"`
}

func invalid(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, category: "VALIDATION_ERROR", message: fmt.Sprintf(format, args...)}
}

func notFound() *problem {
	return &problem{status: http.StatusNotFound, category: "OBJECT_NOT_FOUND", message: "resource not found"}
}

func conflict(category, format string, args ...any) *problem {
	return &problem{status: http.StatusConflict, category: category, message: fmt.Sprintf(format, args...)}
}

// fields is the body of the refusal as an answer of its own.
func (p *problem) fields(n int64) map[string]any {
	body := map[string]any{"status": "error", "message": p.message, "correlationId": correlation(n), "category": p.category}
	if p.sub != "" {
		body["subCategory"] = p.sub
	}
	if len(p.details) > 0 {
		body["errors"] = p.details
	}
	if p.context != nil {
		body["context"] = p.context
	}
	return body
}

func (p *problem) response(r *engine.Request) engine.Response {
	return engine.JSON(p.status, p.fields(r.N))
}

// item is the refusal as one of the errors of a batch.
func (p *problem) item() map[string]any {
	body := map[string]any{"status": "error", "category": p.category, "message": p.message, "errors": []detail{}, "context": map[string][]string{}, "links": map[string]string{}}
	if p.details != nil {
		body["errors"] = p.details
	}
	if p.context != nil {
		body["context"] = p.context
	}
	return body
}

// correlation is the id HubSpot's support asks for; the same request always
// has the same one, so a run can be repeated.
func correlation(n int64) string {
	h := sha256.Sum256(fmt.Appendf(nil, "hubspot/%d", n))
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-8" + s[17:20] + "-" + s[20:]
}

// propertyFault is one property that was not valid, as it stands inside the message.
type propertyFault struct {
	IsValid   bool   `json:"isValid"`
	Message   string `json:"message"`
	Error     string `json:"error"`
	Name      string `json:"name"`
	Localized string `json:"localizedErrorMessage"`
	PortalID  int64  `json:"portalId"`
}

func badProperty(name, code, format string, args ...any) propertyFault {
	text := fmt.Sprintf(format, args...)
	return propertyFault{Message: text, Error: code, Name: name, Localized: text}
}

// invalidProperties is HubSpot's answer to properties it does not take: JSON
// inside the message, and the same again as errors.
func (v *vendor) invalidProperties(faults ...propertyFault) *problem {
	for i := range faults {
		faults[i].PortalID = v.portal
	}
	inner, err := json.Marshal(faults)
	if err != nil {
		return invalid("Property values were not valid")
	}
	p := invalid("Property values were not valid: %s", inner)
	for _, f := range faults {
		p.details = append(p.details, detail{Message: f.Message, Code: f.Error, Context: map[string][]string{"propertyName": {f.Name}}})
	}
	return p
}

// refusal is the answer to a status the portal did not decide itself.
func refusal(r *engine.Request, status int) engine.Response {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		// the edge answers these, not the API
		body := fmt.Sprintf("<html><head><title>%d %s</title></head><body><center><h1>%d %s</h1></center></body></html>", status, http.StatusText(status), status, http.StatusText(status))
		return engine.Response{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(body)}
	case http.StatusTooManyRequests:
		return throttled(r, "TEN_SECONDLY_ROLLING")
	}
	p := &problem{status: status, category: categoryOf(status), message: strings.ToLower(http.StatusText(status))}
	return p.response(r)
}

func categoryOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "VALIDATION_ERROR"
	case http.StatusUnauthorized:
		return "INVALID_AUTHENTICATION"
	case http.StatusForbidden:
		return "MISSING_SCOPES"
	case http.StatusNotFound:
		return "OBJECT_NOT_FOUND"
	case http.StatusConflict:
		return "CONFLICT"
	case http.StatusLocked:
		return "LOCKED"
	case http.StatusMethodNotAllowed:
		return "METHOD_NOT_ALLOWED"
	}
	return "INTERNAL_ERROR"
}
