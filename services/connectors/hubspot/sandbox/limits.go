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
	api := func(r *engine.Request) bool { return r.App != "" && !isOAuth(r) }
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
	switch policy {
	case "TEN_SECONDLY_ROLLING":
		rateHeaders(resp.Header, r.Quotas)
		resp.Header.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(allowed(r.Quotas, "ten_secondly_rolling", rollingLimit)))
		resp.Header.Set("X-HubSpot-RateLimit-Remaining", "0")
		resp.Header.Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.FormatInt(rollingWindow.Milliseconds(), 10))
	case "DAILY":
		resp.Header.Set("X-HubSpot-RateLimit-Daily", strconv.Itoa(allowed(r.Quotas, "daily", dailyLimit)))
		resp.Header.Set("X-HubSpot-RateLimit-Daily-Remaining", "0")
	}
	return resp
}

// allowed is the count of a limit as it is set now.
func allowed(quotas []engine.Quota, name string, usual int) int {
	for _, q := range quotas {
		if q.Name == name && q.Count > 0 {
			return q.Count
		}
	}
	return usual
}

// mark adds the portal's time and the rate headers; search answers have none
// of the latter.
func mark(r *engine.Request, resp engine.Response) engine.Response {
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header.Set("Date", r.Now.UTC().Format(http.TimeFormat))
	if !isSearch(r) {
		rateHeaders(resp.Header, r.Quotas)
	}
	return resp
}

// rateHeaders tell what is left; of a limit that is off they say nothing.
func rateHeaders(h http.Header, quotas []engine.Quota) {
	for _, q := range quotas {
		left := strconv.Itoa(max(0, q.Count-q.Used))
		switch {
		case q.Count == 0:
		case q.Name == "ten_secondly_rolling":
			h.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(q.Count))
			h.Set("X-HubSpot-RateLimit-Remaining", left)
			h.Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.FormatInt(q.Window.Milliseconds(), 10))
		case q.Name == "daily":
			h.Set("X-HubSpot-RateLimit-Daily", strconv.Itoa(q.Count))
			h.Set("X-HubSpot-RateLimit-Daily-Remaining", left)
		}
	}
}
