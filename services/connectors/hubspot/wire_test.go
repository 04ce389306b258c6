package hubspot

import (
	"io"
	"net/http"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

type eventRef = event.Ref

// roundTrip is a HubSpot of one answer.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := f(r)
	resp.Request = r
	return resp, nil
}

func respond(status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body), ProtoMajor: 1, ProtoMinor: 1}
}

// with opens a connection over the wire given.
func with(t testing.TB, wire http.RoundTripper) *connector.Connection {
	t.Helper()
	conn, err := Open(connector.Config{Account: "hubspot/48213", Tokens: &tokens{now: "x", next: "x"}, HTTP: wire, Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
