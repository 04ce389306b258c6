package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// The two apps of an account.
const (
	AppMain   = "app"
	AppReader = "reader"
)

// Request is one arrived request, body included.
type Request struct {
	N      int64 // position in the request log
	Now    time.Time
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte
	Host   string

	App string // set by Identify: AppMain, AppReader or ""
	Key string // set by Identify: the vendor's idempotency key, or ""

	// Effect is the fault that hit this request, for effects that change how
	// the vendor serves it; else "".
	Effect string
	// SearchLag is how far searches are behind for this request.
	SearchLag time.Duration
	// Quotas are the limits that count this request, for a vendor that tells
	// its clients how much is left.
	Quotas []Quota
}

// Quota is where a limit stands with this request counted.
type Quota struct {
	Name        string
	Count, Used int // Count 0: the limit is off
	Window      time.Duration
}

// Response is a vendor's answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON is a Response with v encoded as its body.
func JSON(status int, v any) Response {
	body, err := json.Marshal(v)
	if err != nil {
		return Response{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return Response{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// Vendor is what one system's sandbox must know. All methods run under the
// engine's mutex.
type Vendor interface {
	// Seed fills a fresh world. Grants it finds it must leave alone.
	Seed(tx *Tx, preset string) error
	// Identify sets the request's App and Key.
	Identify(tx *Tx, r *Request)
	// Serve answers one request and stages its writes.
	Serve(tx *Tx, r *Request) Response
	// Refuse is the vendor's error body for a status it did not decide itself.
	Refuse(r *Request, status int) Response
}

// Limit is a quota: at most Count requests in any Window, per app, or per
// account when Shared.
type Limit struct {
	Name    string
	Count   int
	Window  time.Duration
	Shared  bool
	Applies func(r *Request) bool // nil: every request
}

// Limiter is a Vendor with quotas.
type Limiter interface {
	Limits() []Limit
	// Throttled is the answer to a request over the limit; wait is how long
	// until a request would pass. The zero Limit means a throttle fault.
	Throttled(r *Request, l Limit, wait time.Duration) Response
}

// Spoiler is a Vendor with effects of its own.
type Spoiler interface {
	// Effects names the effects the vendor adds.
	Effects() []string
	// Spoils says whether effect means something for this request; a fault
	// neither hits nor counts where it does not.
	Spoils(effect string, r *Request) bool
	// Spoil prepares the world for the effect. With served true its answer is
	// final; else Serve runs next and sees r.Effect.
	Spoil(tx *Tx, effect string, r *Request) (answer Response, served bool)
}

// Configurer is a Vendor with settings of its own, named by Settings. Configure
// is given all of them every time and either takes all or returns an error that
// says what is allowed, and changes nothing.
type Configurer interface {
	Settings() []string
	Configure(settings map[string]json.RawMessage) error
}

// Presetter is a Vendor with named fresh worlds; any other name is refused.
type Presetter interface {
	Presets() []string
}

// Opener is a Vendor that reads something of its world once it is open, before
// the first request and the first webhook.
type Opener interface {
	Opened(tx *Tx)
}

// Claimant is a Vendor that can tell whose a request is when several accounts
// share an address: by the path, a token or a code.
type Claimant interface {
	Claims(tx *Tx, r *Request) bool
}

// Crediter is a Vendor that says what a client needs to be let in.
type Crediter interface {
	Credentials(tx *Tx) map[string]string
}

// Change is one committed write of an object.
type Change struct {
	Object  *Object
	Created bool

	added []Version
}

// Notifier is a Vendor with webhooks.
type Notifier interface {
	// Deliveries turns the writes of one request into webhook bodies.
	Deliveries(changes []Change, r *Request) [][]byte
	// Sign gives the headers of a delivery sent to target at that moment. It
	// runs beside the requests, outside the mutex.
	Sign(target string, body []byte, at time.Time) http.Header
}

// Renotifier is a Notifier whose bodies say how often they were sent. Again is
// the body of a try after try tries that failed; it runs outside the mutex.
type Renotifier interface {
	Again(body []byte, try int) []byte
}
