package sandbox

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// The portal's quotas: 100 requests in 10 seconds for each app, five searches
// a second and 250,000 requests a day for the account.
const (
	rollingLimit  = 100
	rollingWindow = 10 * time.Second
	searchLimit   = 5
	dailyLimit    = 250000
)

// Limits are HubSpot's quotas for a private app of a free account.
func (v *vendor) Limits() []engine.Limit {
	api := func(r *engine.Request) bool { return r.App != "" }
	return []engine.Limit{
		{Name: "secondly", Count: searchLimit, Window: time.Second, Applies: func(r *engine.Request) bool { return api(r) && isSearch(r) }},
		{Name: "ten_secondly_rolling", Count: rollingLimit, Window: rollingWindow, Applies: api},
		{Name: "daily", Count: dailyLimit, Window: 24 * time.Hour, Shared: true, Applies: api},
	}
}

func isSearch(r *engine.Request) bool { return strings.HasSuffix(r.Path, "/search") }

// Throttled is HubSpot's 429.
func (v *vendor) Throttled(r *engine.Request, l engine.Limit, _ time.Duration) engine.Response {
	name := l.Name
	if name == "" {
		name = "ten_secondly_rolling"
	}
	return throttled(r, strings.ToUpper(name))
}

func throttled(r *engine.Request, policy string) engine.Response {
	resp := engine.JSON(http.StatusTooManyRequests, map[string]any{
		"status": "error", "message": "You have reached your " + strings.ToLower(policy) + " limit.",
		"errorType": "RATE_LIMIT", "category": "RATE_LIMITS", "correlationId": correlation(r.N), "policyName": policy,
	})
	if policy == "TEN_SECONDLY_ROLLING" {
		rateHeaders(resp.Header, 0)
	}
	return resp
}

// usage is what each app used of the rolling limit, for the headers alone.
type usage map[string][]time.Time

// mark adds the portal's time and the rate headers; search answers have none
// of the latter.
func (u usage) mark(r *engine.Request, resp engine.Response) engine.Response {
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header.Set("Date", r.Now.UTC().Format(http.TimeFormat))
	if r.App == "" {
		return resp
	}
	seen := u[r.App]
	for len(seen) > 0 && !seen[0].After(r.Now.Add(-rollingWindow)) {
		seen = seen[1:]
	}
	u[r.App] = append(seen, r.Now)
	if isSearch(r) {
		return resp
	}
	rateHeaders(resp.Header, max(0, rollingLimit-len(u[r.App])))
	return resp
}

func rateHeaders(h http.Header, remaining int) {
	h.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(rollingLimit))
	h.Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.FormatInt(rollingWindow.Milliseconds(), 10))
}
