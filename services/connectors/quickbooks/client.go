package quickbooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

const (
	answerMax      = 16 << 20
	requestTimeout = 130 * time.Second // Intuit ends a request after 120 s
	// minorVersion is the schema version we read and write; older ones were
	// retired in August 2025.
	minorVersion = "75"
)

// client sends single requests and never resends a write on its own.
type client struct {
	base, realm string
	tokens      connector.Tokens
	http        *http.Client
	wait        time.Duration // after a 429 that does not say
}

func newClient(cfg connector.Config, realm string, wait time.Duration) (*client, error) {
	base := strings.TrimSuffix(cfg.BaseURL, "/")
	if base == "" {
		base = vendorURL
	}
	if err := checkURL("base_url", base); err != nil {
		return nil, err
	}
	if cfg.Tokens == nil {
		return nil, errors.New("a QuickBooks connection needs an access token")
	}
	return &client{base: base, realm: realm, tokens: cfg.Tokens, wait: wait, http: &http.Client{
		Transport: cfg.HTTP, Timeout: requestTimeout,
		// a redirect would carry the token to another host
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkURL allows plain HTTP on this machine only.
func checkURL(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("%s %q is not an address such as %s", name, address, vendorURL)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return fmt.Errorf("%s %q must be https", name, address)
	}
	return nil
}

// purpose says what a lost answer means: nothing for a read, doubt for a write.
type purpose bool

const (
	reading purpose = false
	writing purpose = true
)

// read sends a request that changes nothing; a token refused once is replaced.
func (c *client) read(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.send(ctx, reading, http.MethodGet, path, query, nil)
	if f := fault.As(err); f != nil && f.Status == http.StatusUnauthorized && f.Err == nil {
		body, err = c.send(ctx, reading, http.MethodGet, path, query, nil) // send asked for another token
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
	}
	return nil
}

// write sends a frozen body once, under the call's key.
func (c *client) write(ctx context.Context, path, operation, key string, body []byte) ([]byte, error) {
	query := url.Values{"requestid": {key}}
	if operation != "" {
		query.Set("operation", operation)
	}
	return c.send(ctx, writing, http.MethodPost, path, query, body)
}

func (c *client) send(ctx context.Context, p purpose, method, path string, query url.Values, body []byte) ([]byte, error) {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unauthorized, Text: "no access token", Err: err}
	}
	req, err := c.request(ctx, method, path, token, query, body)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Err: err}
	}
	// last of all, since a token may have been long in coming
	if err := connector.CountRequest(ctx); err != nil {
		return nil, &fault.Error{Kind: fault.Transient, Text: "not sent", Err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, lost(err, p)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil {
		return nil, lost(err, p)
	}
	if len(answer) > answerMax {
		return nil, lost(errors.New("answer larger than 16 MB"), p)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		// the next request has another token, or the reason why there is none
		if _, err := c.tokens.Refresh(ctx, token); err != nil {
			return nil, &fault.Error{Kind: fault.Unauthorized, Status: resp.StatusCode, Text: "the access token is refused and there is no other", Err: err}
		}
	}
	return answer, faultOf(resp, answer, p, c.wait)
}

func (c *client) request(ctx context.Context, method, path, token string, query url.Values, body []byte) (*http.Request, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("minorversion", minorVersion)
	req, err := connector.NewRequest(ctx, method, c.base+"/v3/company/"+url.PathEscape(c.realm)+"/"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// refresh trades the refresh token. The answer's refresh token replaces the
// one that was used, so it must be stored before either is used.
func (c *client) refresh(ctx context.Context, cfg connector.Config, refresh string) (connector.Grant, error) {
	return c.granted(ctx, cfg, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// granted asks the token endpoint once.
func (c *client) granted(ctx context.Context, cfg connector.Config, form url.Values) (connector.Grant, error) {
	a, err := c.post(ctx, cfg, setting(cfg, settingTokenURL, tokenURL), form)
	if err != nil {
		return connector.Grant{}, err
	}
	return grant(a, cfg.Now())
}

// post sends a form to one of Intuit's token endpoints, with the app's keys.
func (c *client) post(ctx context.Context, cfg connector.Config, endpoint string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Err: err}
	}
	req.SetBasicAuth(cfg.Secrets[secretClientID].Reveal(), cfg.Secrets[secretClientSecret].Reveal())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("x-include-refresh-token-hard-expires-in", "true") // a grant is refreshed for five years and not longer
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, lost(err, reading)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, lost(err, reading)
	}
	switch {
	case resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized: // invalid_grant, invalid_client: only a person can help
		return nil, &fault.Error{Kind: fault.Unauthorized, Status: resp.StatusCode, Code: oauthCode(body), Text: "the grant is not accepted: authorize the connection again"}
	case resp.StatusCode != http.StatusOK:
		return nil, &fault.Error{Kind: fault.Transient, Status: resp.StatusCode, Text: "the token endpoint does not answer as it should"}
	}
	return body, nil
}

// oauthCode is the error of RFC 6749, 5.2.
func oauthCode(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // what can be read of it
	return clip(e.Error)
}

func grant(body []byte, now time.Time) (connector.Grant, error) {
	var g struct {
		Access         string `json:"access_token"`
		Refresh        string `json:"refresh_token"`
		Seconds        int64  `json:"expires_in"`
		RefreshSeconds int64  `json:"x_refresh_token_expires_in"`
		HardSeconds    int64  `json:"x_refresh_token_hard_expires_in"`
	}
	if err := json.Unmarshal(body, &g); err != nil || g.Access == "" || g.Refresh == "" {
		return connector.Grant{}, fault.New(fault.Transient, "the token endpoint's answer is not readable")
	}
	out := connector.Grant{Access: connector.Secret(g.Access), Refresh: connector.Secret(g.Refresh), Expires: now.Add(time.Duration(g.Seconds) * time.Second)}
	for _, seconds := range []int64{g.RefreshSeconds, g.HardSeconds} { // left out, the end is not known
		if end := now.Add(time.Duration(seconds) * time.Second); seconds > 0 && (out.RefreshExpires.IsZero() || end.Before(out.RefreshExpires)) {
			out.RefreshExpires = end
		}
	}
	return out, nil
}
