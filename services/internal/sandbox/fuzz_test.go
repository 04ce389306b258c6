package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// FuzzControl sends any body to the control calls that read one. What is
// accepted is said again by GET; what is not is a 400 with a reason.
func FuzzControl(f *testing.F) {
	calls := []string{"faults", "settings", "reset", "snapshot", "restore", "accounts"}
	for _, s := range [][2]string{
		{"faults", `{"match":{"method":"POST","path":"/a/**","body_contains":"x","app":"app","nth":3,"probability":0.5},"effect":"late_commit","status":503,"headers":{"Retry-After":"1"},"delay":"2s","times":1}`},
		{"faults", `{"match":{"path":"*("},"effect":"hang"}`},
		{"settings", `{"limits":{"per_minute":1},"longest_request":"3s","search_lag":"1s","webhooks":{"target":"http://127.0.0.1:1/","deliver":true,"duplicate":0.2,"shuffle":true,"drop":0.0,"seed":1},"seed":4,"colour":"x"}`},
		{"settings", `null`}, {"reset", `{"preset":"US"}`}, {"snapshot", `{"name":"a"}`}, {"restore", `{"name":"a"}`}, {"reset", ``},
	} {
		f.Add(uint8(slices.Index(calls, s[0])), s[1])
	}
	s, err := New(Config{Name: "notes", Preset: "IE", Clock: &fixedClock{}}, notes{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, n uint8, body string) {
		call := calls[int(n)%len(calls)]
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/_sandbox/"+call, strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 404 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d %s", call, body, w.Code, w.Body)
		}
		s.mu.Lock()
		s.faults.rules = nil
		s.mu.Unlock()
		probe := httptest.NewRecorder()
		s.ServeHTTP(probe, httptest.NewRequest(http.MethodGet, "/notes", nil))
		if probe.Code != 200 && probe.Code != 429 {
			t.Errorf("after %s %q the account answers %d", call, body, probe.Code)
		}
	})
}
