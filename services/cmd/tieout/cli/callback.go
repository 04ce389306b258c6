package cli

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// comeback is what the vendor sent a person back with.
type comeback struct {
	code   string
	params map[string]string // everything else but the state
}

// comebackOf reads an address that a vendor sent a person back to.
func comebackOf(q url.Values, state string) (comeback, error) {
	if len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
		return comeback{}, errors.New("this is not the consent that was begun here: its state differs")
	}
	if len(q["code"]) > 1 {
		return comeback{}, errors.New("the address holds two codes; nothing was taken")
	}
	b := comeback{code: q.Get("code"), params: map[string]string{}}
	for name, values := range q {
		if name != "code" && name != "state" {
			b.params[name] = values[0]
		}
	}
	return b, nil
}

// callback receives one person who comes back from a vendor's consent page.
type callback struct {
	listener net.Listener
	host     string
	server   *http.Server
	served   chan error
	came     chan comeback // one is taken
	told     chan string   // what the page says then

	mu    sync.Mutex
	state string
	taken bool
}

// newCallback listens on this machine only.
func newCallback(address string) (*callback, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usage("--listen %q is not an address of this machine such as 127.0.0.1:8765", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("wait for the vendor's answer on %s: %w", address, err)
	}
	c := &callback{listener: l, host: host, served: make(chan error, 1), came: make(chan comeback, 1), told: make(chan string, 1)}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go func() { c.served <- c.server.Serve(l) }()
	return c, nil
}

// address is where the vendor sends the person back to.
func (c *callback) address() string {
	_, port, _ := net.SplitHostPort(c.listener.Addr().String()) // an address of ours has one
	return "http://" + net.JoinHostPort(c.host, port) + "/callback"
}

// expect takes the state that the person must bring along.
func (c *callback) expect(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// ServeHTTP answers the browser. A visit with another state changes nothing: a
// stale tab, or a page that guesses, ends no wait.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address holds a code
	h.Set("Content-Security-Policy", "default-src 'none'")
	if r.URL.Path != "/callback" || r.Method != http.MethodGet {
		tell(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	b, err := c.take(r.URL.Query())
	if err != nil {
		tell(w, http.StatusBadRequest, err.Error())
		return
	}
	c.came <- b
	select {
	case text := <-c.told:
		tell(w, http.StatusOK, text)
	case <-r.Context().Done():
	}
}

func (c *callback) take(q url.Values) (comeback, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == "" || c.taken {
		return comeback{}, errors.New("no consent is waited for, or it has come back already")
	}
	b, err := comebackOf(q, c.state)
	c.taken = err == nil
	return b, err
}

func tell(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tieout</title><p>%s</p></html>\n", html.EscapeString(text))
}

// wait returns what the person came back with.
func (c *callback) wait(ctx context.Context) (comeback, error) {
	select {
	case b := <-c.came:
		return b, nil
	case err := <-c.served:
		return comeback{}, fmt.Errorf("wait for the vendor's answer: %w", err)
	case <-ctx.Done():
		return comeback{}, ctx.Err()
	}
}

// close answers who has come back with text, and stops listening.
func (c *callback) close(text string) {
	c.told <- text
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.server.Shutdown(ctx) // a browser that does not read its page is left
	_ = c.server.Close()
}
