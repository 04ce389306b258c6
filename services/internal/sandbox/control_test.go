package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPathPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		hits          bool
	}{
		{"/v3/*/batch", "/v3/1/batch", true},
		{"/v3/*/batch", "/v3/company/1/batch", false},
		{"/v3/**/batch", "/v3/company/1/batch", true},
		{"*/batch", "/v3/company/1/batch", true},
		{"batch", "/v3/company/1/batch", true},
		{"batch", "/v3/company/1/rebatch", false},
		{"/v3", "/v3/company", false},
		{"/a.b", "/aXb", false},
		{"/**", "/anything/at all", true},
		{"(", "/(", true},
	} {
		if got := glob(c.pattern).MatchString(c.path); got != c.hits {
			t.Errorf("%s on %s: %v", c.pattern, c.path, got)
		}
	}
}

// A fault that was acknowledged is in force after a restart, and knows how far
// it has counted and thrown.
func TestFaultsSurviveARestart(t *testing.T) {
	sequence := func(dir string, restart int) (out string) {
		r := start(t, Config{Dir: dir})
		r.must(200, "POST", "/_sandbox/settings", `{"seed":7}`)
		r.fault(`{"match":{"nth":2,"probability":0.5},"effect":"status","status":502,"times":6}`)
		for i := range 24 {
			if i == restart {
				before := r.must(200, "GET", "/_sandbox/faults", "")
				r.s.Close()
				r = start(t, Config{Dir: dir})
				if after := r.must(200, "GET", "/_sandbox/faults", ""); after != before {
					t.Fatalf("after a restart %s, before %s", after, before)
				}
			}
			status, _, _ := r.do("POST", "/notes", `{"text":"a"}`)
			out += fmt.Sprint(status / 100)
		}
		r.must(200, "DELETE", "/_sandbox/faults", "")
		r.s.Close()
		r = start(t, Config{Dir: dir})
		if got := r.must(200, "GET", "/_sandbox/faults", ""); got != "{\"items\":[]}\n" {
			t.Fatalf("deleted faults are back: %s", got)
		}
		r.fault(`{"effect":"throttle"}`)
		if got := r.must(200, "GET", "/_sandbox/faults", ""); !strings.Contains(got, `"id":"f2"`) {
			t.Fatalf("an id is given twice: %s", got)
		}
		return out
	}
	whole, broken := sequence(t.TempDir(), -1), sequence(t.TempDir(), 11)
	if whole != broken || !strings.Contains(whole, "5") {
		t.Fatalf("\n%s\n%s", whole, broken)
	}
}

// Other settings leave the dice alone; naming the seed starts them again.
func TestOnlyTheSeedStartsTheDiceAgain(t *testing.T) {
	throw := func(r *rig, n int) (out string) {
		for range n {
			status, _, _ := r.do("POST", "/notes", `{"text":"a"}`)
			out += fmt.Sprint(status / 100)
		}
		return out
	}
	whole := start(t, Config{})
	whole.fault(`{"match":{"probability":0.5},"effect":"status"}`)
	want := throw(whole, 24)
	r := start(t, Config{})
	r.fault(`{"match":{"probability":0.5},"effect":"status"}`)
	got := throw(r, 12)
	r.must(200, "POST", "/_sandbox/settings", `{"search_lag":"1s"}`)
	if got += throw(r, 12); got != want {
		t.Fatalf("\n%s\n%s", got, want)
	}
	r.must(200, "POST", "/_sandbox/settings", `{"seed":0}`)
	if again := throw(r, 24); again != want {
		t.Fatalf("\n%s\n%s", again, want)
	}
}

func TestASnapshotRemembersKeys(t *testing.T) {
	r := start(t, Config{Dir: t.TempDir()})
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	r.must(200, "POST", "/_sandbox/snapshot", "")
	r.must(200, "POST", "/_sandbox/reset", "")
	if got := r.count(); got != `{"count":0}` {
		t.Fatal(got)
	}
	r.must(200, "POST", "/_sandbox/restore", "")
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	if got := r.count(); got != `{"count":1}` {
		t.Fatalf("the old world forgot its keys: %s", got)
	}
}

func TestRefusalsSayWhatIsAllowed(t *testing.T) {
	r := start(t, Config{})
	for _, c := range []struct{ path, body, says string }{
		{"faults", `{"effect":"explode"}`, "reset_after"},
		{"faults", `{"effect":"explode"}`, "partial_batch"},
		{"faults", ``, "a fault is"},
		{"faults", `[]`, "a fault is"},
		{"faults", `null`, "there are"},
		{"faults", `{"effect":"status","when":"now"}`, `"times"`},
		{"faults", `{"effect":"status","times":1.5}`, "a fault is"},
		{"faults", `{"effect":"status","times":-1}`, "0 for always"},
		{"faults", `{"effect":"status","status":99}`, "between 200 and 599"},
		{"faults", `{"effect":"status"}{}`, "more than one"},
		{"faults", `{"match":{"method":"FETCH"},"effect":"status"}`, "PATCH"},
		{"faults", `{"match":{"app":"x"},"effect":"status"}`, "app, reader"},
		{"faults", `{"match":{"nth":-1},"effect":"status"}`, "every third"},
		{"faults", `{"match":{"probability":2},"effect":"status"}`, "between 0 and 1"},
		{"faults", `{"effect":"hang","delay":"-1s"}`, "1500ms"},
		{"settings", `{"colour":1,"size":2}`, "search_lag"},
		{"settings", `{"preset":"FR"}`, "IE, US"},
		{"settings", `{"limits":{"per_minute":-1}}`, "0 turns it off"},
		{"settings", `{"limits":{"a":1}}`, "per_minute"},
		{"settings", `{"webhooks":{"target":"ftp://x"}}`, "http://127.0.0.1"},
		{"settings", `{"webhooks":null}`, "deliver"},
		{"reset", `{"preset":"FR"}`, "IE, US"},
		{"reset", `{"name":"x"}`, "NAME"},
		{"snapshot", `{"name":"A B"}`, "lower-case"},
		{"snapshot", `{"file":"x"}`, "NAME"},
	} {
		got := r.must(400, "POST", "/_sandbox/"+c.path, c.body)
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(got), &e); err != nil || !strings.Contains(e.Error, c.says) {
			t.Errorf("%s %s: %s, want %s", c.path, c.body, got, c.says)
		}
	}
	if got := r.must(404, "PUT", "/_sandbox/faults", ""); !strings.Contains(got, "DELETE faults[/ID]") {
		t.Errorf("a call that is not there: %s", got)
	}
	for range faultsMax {
		r.fault(`{"effect":"throttle"}`)
	}
	if got := r.must(400, "POST", "/_sandbox/faults", `{"effect":"throttle"}`); !strings.Contains(got, "DELETE") {
		t.Errorf("one fault too many: %s", got)
	}
}

// A page whose name was pointed at this machine is not this machine.
func TestOnlyThisMachineControls(t *testing.T) {
	r := start(t, Config{})
	for host, status := range map[string]int{"127.0.0.1:80": 200, "localhost": 200, "[::1]:80": 200, "sandbox.example:80": 403, "evil.localhost": 403} {
		req := httptest.NewRequest(http.MethodGet, "http://x/_sandbox/export", nil)
		req.Host, req.RemoteAddr = host, "127.0.0.1:5"
		w := httptest.NewRecorder()
		if r.s.ServeHTTP(w, req); w.Code != status {
			t.Errorf("%s: %d, want %d", host, w.Code, status)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/_sandbox/export", nil)
	req.RemoteAddr = "10.0.0.9:5"
	w := httptest.NewRecorder()
	if r.s.ServeHTTP(w, req); w.Code != http.StatusForbidden {
		t.Errorf("another machine: %d", w.Code)
	}
}

// claiming is notes that know an account's own token.
type claiming struct {
	notes
	id string
}

func (c claiming) Claims(_ *Tx, r *Request) bool { return r.Header.Get("Account") == c.id }

func TestAccountsShareAnAddress(t *testing.T) {
	dir := t.TempDir()
	open := func() (*rig, *Accounts) {
		clock := &fixedClock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
		a, err := NewAccounts("one", "IE", func(id string) error {
			if !snapshotName.MatchString(id) {
				return fmt.Errorf("an id is lower-case letters, not %q", id)
			}
			return nil
		}, func(id, preset string, _ map[string]string) (Config, Vendor, error) {
			if preset == "" {
				preset = "IE"
			}
			return Config{Dir: dir, Name: "notes", Preset: preset, Clock: clock}, claiming{id: id}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(a)
		t.Cleanup(func() { a.Close(); srv.Close() })
		return &rig{T: t, srv: srv, clock: clock}, a
	}
	r, a := open()
	r.must(200, "POST", "/_sandbox/accounts", `{"id":"two","preset":"US"}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Account", "two")
	r.must(201, "POST", "/notes", `{"text":"b"}`, "Account", "two")
	r.must(201, "POST", "/notes", `{"text":"c"}`) // nobody claims it: the first account's
	r.must(200, "POST", "/_sandbox/faults?account=two", `{"match":{"method":"POST"},"effect":"status"}`)
	r.must(500, "POST", "/notes", `{"text":"d"}`, "Account", "two")
	r.must(201, "POST", "/notes", `{"text":"d"}`)
	for _, bad := range []string{`{"id":"A"}`, `{"id":"three","preset":"FR"}`, `{}`, `x`} {
		r.must(400, "POST", "/_sandbox/accounts", bad)
	}
	r.must(404, "DELETE", "/_sandbox/accounts", "")
	a.Close()
	r, a = open()
	if got := fmt.Sprint(a.IDs()); got != "[one two]" {
		t.Fatalf("accounts after a restart: %s", got)
	}
	for id, want := range map[string]string{"one": `{"count":2}`, "two": `{"count":2}`} {
		if got := r.must(200, "GET", "/notes", "", "Account", id); got != want {
			t.Errorf("%s holds %s, want %s", id, got, want)
		}
	}
	if got := r.must(404, "GET", "/_sandbox/export?account=three", ""); !strings.Contains(got, "one, two") {
		t.Errorf("%s", got)
	}
	if got := r.must(200, "GET", "/_sandbox/accounts", ""); got != `{"items":[{"id":"one","preset":"IE"},{"id":"two","preset":"US"}]}`+"\n" {
		t.Errorf("%s", got)
	}
}

func TestARequestKnowsItsQuotas(t *testing.T) {
	l := newLimits(notes{})
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		r := &Request{Now: now, App: AppMain}
		if _, _, ok := l.take(r); !ok || len(r.Quotas) != 1 || r.Quotas[0] != (Quota{"per_minute", 1000, i + 1, time.Minute}) {
			t.Fatalf("%+v", r.Quotas)
		}
	}
	l.configure(map[string]int{"per_minute": 3})
	r := &Request{Now: now, App: AppMain}
	if x, wait, ok := l.take(r); ok || x.Name != "per_minute" || wait != time.Minute || r.Quotas[0].Used != 3 {
		t.Fatalf("%v %v %v %+v", x, wait, ok, r.Quotas)
	}
}
