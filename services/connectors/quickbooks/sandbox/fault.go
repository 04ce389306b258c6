package sandbox

import (
	"fmt"
	"net/http"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// The kinds of Fault the vendor publishes.
const (
	validationFault = "ValidationFault"
	systemFault     = "SystemFault"
	authFault       = "AuthorizationFault"
)

// fault is one refusal in the vendor's terms.
type fault struct {
	code, message, detail, element string
	kind                           string // "": validationFault
}

func (f *fault) Error() string { return f.code + " " + f.message + ": " + f.detail }

// body is the Fault object of an answer.
func (f *fault) body() fields {
	kind := f.kind
	if kind == "" {
		kind = validationFault
	}
	return fields{"Error": []any{fields{"Message": f.message, "Detail": f.detail, "code": f.code, "element": f.element}}, "type": kind}
}

func invalidProperty(name string) error {
	return &fault{code: "2010", message: "Request has invalid or unsupported property", element: name,
		detail: "Property Name:" + name + " specified is unsupported or invalid"}
}

func invalidString(name string) error {
	return &fault{code: "2040", message: "Invalid String", element: name, detail: "Invalid String: Property Name:" + name + " has characters that are not allowed"}
}

func missing(name string) error {
	return &fault{code: "2020", message: "Required param missing, need to supply the required value for the API", element: name,
		detail: "Required parameter " + name + " is missing in the request"}
}

func tooLong(name string, limit, got int) error {
	return &fault{code: "2050", message: "String length is either shorter or longer than supported by specification", element: name,
		detail: fmt.Sprintf("String length specified does not match the supported length. Min:0 Max:%d supported. Supplied length:%d", limit, got)}
}

func badEnum(name, value string) error {
	return &fault{code: "2170", message: "Invalid Enumeration", element: name, detail: "Invalid Enumeration : " + value}
}

// badRef names the list the way the vendor does: Names, Items, Accounts.
func badRef(list, element, id string) error {
	return &fault{code: "2500", message: "Invalid Reference Id", element: element, detail: fmt.Sprintf("Invalid Reference Id : %s element id %s not found", list, id)}
}

func inactive() error {
	return &fault{code: "610", message: "Object Not Found",
		detail: "Object Not Found : Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, vendors or employees."}
}

func stale() error {
	return &fault{code: "5010", message: "Stale Object Error",
		detail: "Stale Object Error : You and another user were working on this at the same time. The other user finished before you did, so your work was not saved."}
}

func business(format string, a ...any) error {
	return &fault{code: "6000", message: "A business validation error has occurred while processing your request",
		detail: "Business Validation Error: " + fmt.Sprintf(format, a...)}
}

func wrongAmount(value string) error {
	return &fault{code: "6070", message: "Amount calculation incorrect in the request", element: "Amount",
		detail: "Amount calculation incorrect in the request : Amount is not equal to UnitPrice * Qty. Supplied value:" + value}
}

func duplicateNumber(txn, number string) error {
	return &fault{code: "6140", message: "Duplicate Document Number Error", element: "DocNumber",
		detail: "Duplicate Document Number Error : You must specify a different number. This number has already been used. DocNumber=" + number + " is assigned to TxnType=" + txn}
}

func periodClosed() error {
	return &fault{code: "6210", message: "Account Period Closed",
		detail: "Account Period Closed : The accounting period has closed and the account books cannot be updated through the QuickBooks Online Services API. Please use the QuickBooks website to make these changes."}
}

func duplicateName(list string) error {
	return &fault{code: "6240", message: "Duplicate Name Exists Error",
		detail: "The name supplied already exists. : Another " + list + " is already using this name. Please use a different name."}
}

func noAccess() error {
	return &fault{code: "120", kind: authFault, message: "Authorization Failure",
		detail: "AuthorizationFailure: -11014-You do not have access to use QuickBooks Online Plus."}
}

func notSubscribed() error {
	return &fault{code: "6190", message: "Invalid Company Status",
		detail: "Subscription period has ended or canceled or there was a billing problem : You can't add data to QuickBooks Online Plus because your trial or subscription period ended."}
}

func unsupported(what string) error {
	return &fault{code: "500", message: "Unsupported Operation", detail: "Operation " + what + " is not supported."}
}

func badQuery(format string, a ...any) error {
	return &fault{code: "4000", message: "Error parsing query", detail: "QueryParserError: " + fmt.Sprintf(format, a...)}
}

func refusedQuery(format string, a ...any) error {
	return &fault{code: "4001", message: "Invalid query", detail: "QueryValidationError: " + fmt.Sprintf(format, a...)}
}

func applicationError() *fault {
	return &fault{code: "10000", kind: systemFault, message: "An application error has occurred while processing your request",
		detail: "System Failure Error: Unexpected Internal Error"}
}

// clockZone is the offset the vendor's own times carry, whatever the company's.
func clockZone() *time.Location { return time.FixedZone("", -8*60*60) }

// stamp is a MetaData time: whole seconds with the vendor's offset.
func stamp(t time.Time) string {
	return t.Truncate(time.Second).In(clockZone()).Format("2006-01-02T15:04:05-07:00")
}

// reply wraps an answer and gives it the vendor's headers.
func (c *company) reply(r *engine.Request, status int, body fields) engine.Response {
	body["time"] = r.Now.In(clockZone()).Format("2006-01-02T15:04:05.000-07:00")
	resp := engine.JSON(status, body)
	c.mark(r, &resp)
	return resp
}

// mark adds what every answer of the vendor carries.
func (c *company) mark(r *engine.Request, resp *engine.Response) {
	resp.Header.Set("Content-Type", "application/json;charset=UTF-8")
	resp.Header.Set("Intuit_tid", fmt.Sprintf("1-%08x-%024x", r.Now.Unix(), r.N))
	resp.Header.Set("Cache-Control", "no-cache, no-store")
}

// refuse is the answer to a request that failed.
func (c *company) refuse(r *engine.Request, err error) engine.Response {
	f, ok := err.(*fault)
	if !ok {
		f = applicationError()
	}
	status := http.StatusBadRequest
	switch f.kind {
	case systemFault:
		status = http.StatusInternalServerError
	case authFault:
		status = http.StatusForbidden
	}
	return c.reply(r, status, fields{"Fault": f.body()})
}

// gateway is the refusal of the layer before the books: lower-case names, no
// Fault, a time in milliseconds.
func (c *company) gateway(r *engine.Request, status int, code, name string, detail any, kind string) engine.Response {
	resp := engine.JSON(status, fields{
		"warnings": nil, "intuitObject": nil,
		"fault": fields{"error": []any{fields{
			"message": fmt.Sprintf("message=%s; errorCode=%06s; statusCode=%d", name, code, status),
			"detail":  detail, "code": code, "element": nil}}, "type": kind},
		"report": nil, "queryResponse": nil, "batchItemResponse": []any{}, "attachableResponse": []any{},
		"syncErrorResponse": nil, "requestId": nil, "time": r.Now.UnixMilli(), "status": nil, "cdcresponse": []any{},
	})
	c.mark(r, &resp)
	return resp
}

func (c *company) unauthorised(r *engine.Request, detail string) engine.Response {
	resp := c.gateway(r, http.StatusUnauthorized, "3200", "AuthenticationFailed", detail, "AUTHENTICATION")
	resp.Header.Set("WWW-Authenticate", `Bearer realm="Intuit", error="invalid_token"`)
	return resp
}

func (c *company) forbidden(r *engine.Request) engine.Response {
	return c.gateway(r, http.StatusForbidden, "3100", "ApplicationAuthorizationFailed", nil, "SERVICE")
}

// Throttled is the answer to a request over a limit; the vendor says no
// Retry-After, a client waits a minute.
func (c *company) Throttled(r *engine.Request, _ engine.Limit, _ time.Duration) engine.Response {
	return c.gateway(r, http.StatusTooManyRequests, "3001", "ThrottleExceeded", "The request limit was reached", "SERVICE")
}

// Refuse is the body of an error the sandbox was told to answer.
func (c *company) Refuse(r *engine.Request, status int) engine.Response {
	switch {
	case r.Path == tokenPath && status == http.StatusBadRequest:
		return c.oauthError(r, status, "invalid_grant", "Incorrect or invalid refresh token")
	case r.Path == tokenPath && status < 500:
		return c.oauthError(r, status, "invalid_client", "")
	case status == http.StatusUnauthorized:
		return c.unauthorised(r, "Token expired")
	case status == http.StatusForbidden:
		return c.forbidden(r)
	case status == http.StatusTooManyRequests:
		return c.Throttled(r, engine.Limit{}, 0)
	case status == http.StatusInternalServerError:
		return c.refuse(r, applicationError())
	case status > http.StatusInternalServerError:
		page := fmt.Sprintf("<html>\r\n<head><title>%d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n</body>\r\n</html>\r\n", status, http.StatusText(status))
		return engine.Response{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(page)}
	}
	return c.refuse(r, business("Unexpected Internal Error. (-30000)"))
}
