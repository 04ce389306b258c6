package hubspot

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
	answerMax      = 16 << 20         // bytes of one answer
	requestTimeout = 30 * time.Second // of one request, answer included
	batchMax       = 100              // HubSpot's limit of inputs of an object batch
)

// client sends single requests. It never resends on its own but for one case:
// a read refused for its token is sent again with a fresh one.
type client struct {
	base   string
	tokens connector.Tokens
	http   *http.Client
}

func newClient(cfg connector.Config) (*client, error) {
	base := strings.TrimSuffix(cfg.BaseURL, "/")
	if base == "" {
		base = vendorURL
	}
	if err := checkURL("base_url", base); err != nil {
		return nil, err
	}
	if cfg.Tokens == nil {
		return nil, errors.New("a HubSpot connection needs an access token")
	}
	return &client{base: base, tokens: cfg.Tokens, http: &http.Client{
		Transport: cfg.HTTP,
		Timeout:   requestTimeout,
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

// answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// read sends a request that changes nothing and decodes its answer.
func (c *client) read(ctx context.Context, method, path string, body, into any) error {
	_, err := c.readAt(ctx, method, path, body, into)
	return err
}

// readAt is read, and when HubSpot says it answered; zero if it does not say.
func (c *client) readAt(ctx context.Context, method, path string, body, into any) (time.Time, error) {
	a, err := c.send(ctx, method, path, body)
	if err == nil && a.status == http.StatusUnauthorized {
		a, err = c.send(ctx, method, path, body) // send asked for another token
	}
	if err == nil {
		err = faultOf(a, reading)
	}
	if err != nil {
		return time.Time{}, err
	}
	if err := decodeWhole(a.body, into); err != nil {
		return time.Time{}, unreadable(err, reading)
	}
	served, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return served.UTC(), nil
}

// send sends a request once. Its error is a fault of kind Transient where
// nothing can have left, else InDoubt for writes and Transient for reads.
func (c *client) send(ctx context.Context, method, path string, body any) (answer, error) {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return answer{}, &fault.Error{Kind: fault.Unauthorized, Text: "no access token", Err: err}
	}
	req, err := c.request(ctx, method, path, token, body)
	if err != nil {
		return answer{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	// last of all, since a token may have been long in coming
	if err := connector.CountRequest(ctx); err != nil {
		return answer{}, &fault.Error{Kind: fault.Transient, Text: "not sent", Err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, lost(err, kindOf(method, path))
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, answerMax+1)); err != nil {
		return answer{}, lost(err, kindOf(method, path))
	}
	if len(a.body) > answerMax {
		return answer{}, unreadable(errOversize, kindOf(method, path))
	}
	if a.status == http.StatusUnauthorized {
		// the next request has another token, or the reason why there is none
		if _, err := c.tokens.Refresh(ctx, token); err != nil {
			return answer{}, &fault.Error{Kind: fault.Unauthorized, Status: a.status, Text: "the access token is refused and there is no other", Err: err}
		}
	}
	return a, nil
}

func (c *client) request(ctx context.Context, method, path, token string, body any) (*http.Request, error) {
	var payload []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		payload = b
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		payload = raw
	}
	req, err := connector.NewRequest(ctx, method, c.base+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// refresh trades the refresh token, which HubSpot does not rotate.
func (c *client) refresh(ctx context.Context, cfg connector.Config, refresh string) (connector.Grant, error) {
	g, err := c.granted(ctx, cfg, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	if err != nil {
		return connector.Grant{}, err
	}
	return g.grant(cfg.Now()), nil
}

// granted asks the token endpoint once.
func (c *client) granted(ctx context.Context, cfg connector.Config, form url.Values) (tokenAnswer, error) {
	form.Set("client_id", cfg.Secrets[secretClientID].Reveal())
	form.Set("client_secret", cfg.Secrets[secretApp].Reveal())
	body, err := c.oauth(ctx, http.MethodPost, "/oauth/v1/token", form)
	if err != nil {
		return tokenAnswer{}, err
	}
	var g tokenAnswer
	if err := decode(body, &g); err != nil || g.Access == "" {
		return tokenAnswer{}, fault.New(fault.Transient, "the token endpoint's answer is not readable")
	}
	return g, nil
}

// tokenAnswer is what the token endpoint says. Portal and scopes are told
// since August 2025; without them the token itself is asked.
type tokenAnswer struct {
	Access  string      `json:"access_token"`
	Refresh string      `json:"refresh_token"`
	Seconds int64       `json:"expires_in"`
	Portal  json.Number `json:"hub_id"`
	Scopes  []string    `json:"scopes"`
}

func (g tokenAnswer) grant(now time.Time) connector.Grant {
	return connector.Grant{
		Access: connector.Secret(g.Access), Refresh: connector.Secret(g.Refresh),
		Expires: now.Add(time.Duration(g.Seconds) * time.Second),
	}
}

// oauth sends a request that carries its own credentials.
func (c *client) oauth(ctx context.Context, method, path string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Err: err}
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, withoutAddress(lost(err, reading))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, lost(err, reading)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: body}
	if a.status == http.StatusBadRequest { // BAD_REFRESH_TOKEN, BAD_AUTH_CODE: only a person can help
		a.status = http.StatusUnauthorized
	}
	return body, faultOf(a, reading)
}

// withoutAddress drops the address from an error: it may hold a token.
func withoutAddress(err error) error {
	f := fault.As(err)
	var u *url.Error
	if errors.As(f.Err, &u) {
		f.Err = u.Err
	}
	return f
}
