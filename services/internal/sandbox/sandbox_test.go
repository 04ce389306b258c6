package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes is the smallest vendor: POST /notes makes one, GET /notes counts them.
type notes struct{}

func (notes) Seed(tx *Tx, preset string) error {
	if preset == "" {
		return fmt.Errorf("no preset")
	}
	tx.Put("account", "1", map[string]any{"preset": preset})
	if tx.Fact("grant/token") == "" {
		tx.SetFact("grant/token", "t"+tx.NextID("token"))
	}
	return nil
}

func (notes) Identify(_ *Tx, r *Request) {
	r.App, r.Key = r.Header.Get("App"), r.Header.Get("Key")
	if r.App == "" {
		r.App = AppMain
	}
}

func (notes) Serve(tx *Tx, r *Request) Response {
	if r.Method == http.MethodGet {
		n := 0
		tx.Each("note", func(o *Object) bool {
			if o.AsOf(tx.Now().Add(-r.SearchLag)) != nil {
				n++
			}
			return true
		})
		return JSON(200, map[string]any{"count": n})
	}
	if old, ok := tx.Recall(r.Key); r.Key != "" && ok {
		return Response{Status: 201, Body: old}
	}
	text, err := Decode(r.Body)
	id := tx.NextID("note")
	tx.Put("note", id, map[string]any{"text": text["text"]})
	if err != nil {
		return JSON(400, map[string]any{"message": "bad"}) // its write must not stay
	}
	resp := JSON(201, map[string]any{"id": id, "effect": r.Effect})
	if r.Key != "" {
		tx.Remember(r.Key, resp.Body)
	}
	return resp
}

func (notes) Refuse(_ *Request, status int) Response {
	return JSON(status, map[string]any{"message": "refused"})
}

func (notes) Limits() []Limit { return []Limit{{Name: "per_minute", Count: 1000, Window: time.Minute}} }

func (notes) Throttled(_ *Request, _ Limit, wait time.Duration) Response {
	r := JSON(429, map[string]any{"message": "slow down"})
	r.Header.Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
	return r
}

func (notes) Effects() []string                     { return []string{EffectPartialBatch} }
func (notes) Spoils(effect string, _ *Request) bool { return effect == EffectPartialBatch }
func (notes) Spoil(tx *Tx, _ string, _ *Request) (Response, bool) {
	tx.SetFact("spoilt", "yes")
	return Response{}, false
}

func (notes) Settings() []string { return []string{"colour"} }

func (notes) Presets() []string { return []string{"IE", "US", ""} }

func (notes) Configure(settings map[string]json.RawMessage) error {
	for k := range settings {
		if k != "colour" {
			return fmt.Errorf("unknown setting %q", k)
		}
	}
	return nil
}

func (notes) Deliveries(changes []Change, r *Request) [][]byte {
	var out [][]byte
	for _, c := range changes {
		out = append(out, []byte(fmt.Sprintf(`{"id":%q,"created":%v}`, c.Object.ID, c.Created)))
	}
	return out
}

func (notes) Sign(target string, body []byte, at time.Time) http.Header {
	return http.Header{"Signature": {fmt.Sprint(len(body))}}
}

// fixedClock stands still until told; After fires at once.
type fixedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fixedClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *fixedClock) After(time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch
}
func (c *fixedClock) add(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

type rig struct {
	*testing.T
	s     *Sandbox
	srv   *httptest.Server
	clock *fixedClock
}

func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	clock := &fixedClock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	if cfg.Clock == nil {
		cfg.Clock = clock
	}
	cfg.Name, cfg.Preset = "notes", "IE"
	s, err := New(cfg, notes{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); srv.Close() })
	return &rig{t, s, srv, clock}
}

func (r *rig) do(method, path, body string, header ...string) (int, string, error) {
	r.Helper()
	req, err := http.NewRequest(method, r.srv.URL+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (r *rig) must(status int, method, path, body string, header ...string) string {
	r.Helper()
	got, text, err := r.do(method, path, body, header...)
	if err != nil || got != status {
		r.Fatalf("%s %s: %d %s %v, want %d", method, path, got, text, err, status)
	}
	return text
}

func (r *rig) fault(body string) { r.Helper(); r.must(200, "POST", "/_sandbox/faults", body) }

func (r *rig) count() string { r.Helper(); return r.must(200, "GET", "/notes", "", "App", "reader") }

func (r *rig) records() []Record {
	r.Helper()
	var out []Record
	in := bufio.NewScanner(strings.NewReader(r.must(200, "GET", "/_sandbox/requests?since=0", "")))
	for in.Scan() {
		var rec Record
		if err := json.Unmarshal(in.Bytes(), &rec); err != nil {
			r.Fatal(err)
		}
		out = append(out, rec)
	}
	return out
}

func TestWhatWasAnsweredSurvivesAndAppendedRubbishDoesNot(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Config{Dir: dir})
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k1")
	r.must(400, "POST", "/notes", `not json`)
	r.must(200, "POST", "/_sandbox/settings", `{"colour":"red","limits":{"per_minute":900}}`)
	before, log := r.must(200, "GET", "/_sandbox/export", ""), r.records()
	r.s.Close()
	path := filepath.Join(dir, "notes.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"objects":[{"type":"note","id":"9"`)
	f.Close()

	r = start(t, Config{Dir: dir})
	if after := r.must(200, "GET", "/_sandbox/export", ""); after != before {
		t.Fatalf("export changed:\n%s\n%s", before, after)
	}
	if again := r.records(); fmt.Sprint(len(again), again[0].Effects) != fmt.Sprint(len(log), log[0].Effects) {
		t.Fatalf("request log changed: %+v", again)
	}
	if s := r.must(200, "GET", "/_sandbox/settings", ""); !strings.Contains(s, `"colour":"red"`) || !strings.Contains(s, `900`) {
		t.Fatalf("settings lost: %s", s)
	}
	if a := r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k1"); !strings.Contains(a, `"id":"1"`) {
		t.Fatalf("key forgotten: %s", a)
	}
	if b := r.must(201, "POST", "/notes", `{"text":"b"}`); !strings.Contains(b, `"id":"2"`) {
		t.Fatalf("sequence lost, or the refused request used a number: %s", b)
	}
	if n := r.records(); n[len(n)-1].N != 4 {
		t.Fatalf("request numbers start again: %+v", n)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	start(t, Config{Dir: dir})
	if _, err := New(Config{Dir: dir, Name: "notes", Preset: "IE"}, notes{}); err == nil {
		t.Fatal("two sandboxes share one journal")
	}
}

func TestManyWritersShareTheDisk(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Config{Dir: dir})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				r.do("POST", "/notes", `{"text":"x"}`)
			}
		})
	}
	all.Wait()
	before := r.must(200, "GET", "/_sandbox/export", "")
	r.s.Close()
	r = start(t, Config{Dir: dir})
	if r.must(200, "GET", "/_sandbox/export", "") != before || r.count() != `{"count":200}` {
		t.Fatal("writes lost")
	}
}

func TestEffects(t *testing.T) {
	for _, c := range []struct {
		fault  string
		status int    // what the client sees; 0: no whole answer
		done   string // what the world holds afterwards
		logged int
	}{
		{`{"effect":"status","status":502}`, 502, `{"count":0}`, 502},
		{`{"effect":"reset_before"}`, 0, `{"count":0}`, 0},
		{`{"effect":"reset_after"}`, 0, `{"count":1}`, 0},
		{`{"effect":"hang","delay":"1ms"}`, 0, `{"count":0}`, 0},
		{`{"effect":"delay"}`, 201, `{"count":1}`, 201},
		{`{"effect":"slow_body","delay":"1ms"}`, 201, `{"count":1}`, 201},
		{`{"effect":"truncate"}`, 0, `{"count":1}`, 201},
		{`{"effect":"corrupt"}`, 201, `{"count":1}`, 201},
		{`{"effect":"throttle"}`, 429, `{"count":0}`, 429},
		{`{"effect":"partial_batch"}`, 201, `{"count":1}`, 201},
		{`{"effect":"forget_keys"}`, 201, `{"count":1}`, 201},
	} {
		t.Run(c.fault, func(t *testing.T) {
			r := start(t, Config{})
			r.fault(c.fault)
			status, body, err := r.do("POST", "/notes", `{"text":"a"}`)
			if c.status == 0 && err == nil || c.status != 0 && (err != nil || status != c.status) {
				t.Fatalf("client saw %d %q %v", status, body, err)
			}
			if strings.Contains(c.fault, "corrupt") && json.Valid([]byte(body)) {
				t.Fatalf("body is whole: %q", body)
			}
			if got := r.count(); got != c.done {
				t.Fatalf("world holds %s, want %s", got, c.done)
			}
			rec := r.records()[0]
			if rec.Status != c.logged || !strings.Contains(c.fault, rec.Fault) || rec.Fault == "" {
				t.Fatalf("logged %+v", rec)
			}
			if done := fmt.Sprint(rec.Effects); (done == "[note/1]") != (c.done == `{"count":1}`) {
				t.Fatalf("logged effects %s", done)
			}
		})
	}
}

func TestLateCommitLandsAfterItsError(t *testing.T) {
	r := start(t, Config{Clock: wallClock{}})
	r.fault(`{"effect":"late_commit","delay":"150ms","times":1}`)
	r.must(503, "POST", "/notes", `{"text":"a"}`)
	if got := r.count(); got != `{"count":0}` {
		t.Fatalf("done too early: %s", got)
	}
	for end := time.Now().Add(5 * time.Second); r.count() != `{"count":1}`; {
		if time.Now().After(end) {
			t.Fatal("never done")
		}
	}
	if rec := r.records()[0]; fmt.Sprint(rec.Effects) != "[note/1]" || rec.Status != 503 {
		t.Fatalf("logged %+v", rec)
	}
}

func TestForgetKeysMakesASecondEffect(t *testing.T) {
	r := start(t, Config{})
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	r.fault(`{"effect":"forget_keys"}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	if got := r.count(); got != `{"count":2}` {
		t.Fatal(got)
	}
}

func TestKeysAreForgottenByAge(t *testing.T) {
	r := start(t, Config{})
	r.must(200, "POST", "/_sandbox/settings", `{"key_life":"10m"}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	r.clock.add(9 * time.Minute)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	r.clock.add(2 * time.Minute)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "Key", "k")
	if got := r.count(); got != `{"count":2}` {
		t.Fatal(got)
	}
}

func TestSearchLag(t *testing.T) {
	r := start(t, Config{})
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	r.must(200, "POST", "/_sandbox/settings", `{"search_lag":"5s"}`)
	if got := r.count(); got != `{"count":0}` {
		t.Fatal(got)
	}
	r.clock.add(5 * time.Second)
	if got := r.count(); got != `{"count":1}` {
		t.Fatal(got)
	}
}

func TestMatching(t *testing.T) {
	r := start(t, Config{})
	r.fault(`{"match":{"method":"POST","path":"/no*","body_contains":"hit","nth":3},"effect":"status","times":2}`)
	var got []int
	for i := range 10 {
		body := `{"text":"hit"}`
		if i == 1 {
			body = `{"text":"other"}`
		}
		status, _, _ := r.do("POST", "/notes", body)
		got = append(got, status)
	}
	if fmt.Sprint(got) != "[201 201 201 500 201 201 500 201 201 201]" {
		t.Fatal(got)
	}
	if s := r.must(200, "GET", "/_sandbox/faults", ""); !strings.Contains(s, `"hits":2`) {
		t.Fatal(s)
	}
	r.must(200, "DELETE", "/_sandbox/faults/f1", "")
	r.must(404, "DELETE", "/_sandbox/faults/f1", "")
}

func TestReaderIsLeftAlone(t *testing.T) {
	r := start(t, Config{})
	r.must(200, "POST", "/_sandbox/settings", `{"limits":{"per_minute":2}}`)
	r.fault(`{"effect":"reset_before"}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`, "App", "reader")
	r.must(200, "DELETE", "/_sandbox/faults", "")
	r.fault(`{"match":{"app":"reader"},"effect":"status","times":1}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	r.must(429, "POST", "/notes", `{"text":"a"}`)
	r.must(500, "GET", "/notes", ``, "App", "reader")
	r.clock.add(time.Minute)
	r.must(201, "POST", "/notes", `{"text":"a"}`)
}

func TestSeedRepeatsChoices(t *testing.T) {
	choices := func(seed int) (out string) {
		r := start(t, Config{})
		r.must(200, "POST", "/_sandbox/settings", fmt.Sprintf(`{"seed":%d}`, seed))
		r.fault(`{"match":{"probability":0.5},"effect":"status"}`)
		for range 24 {
			status, _, _ := r.do("POST", "/notes", `{"text":"a"}`)
			out += fmt.Sprint(status / 100) // 2 or 5
		}
		return out
	}
	if a, b := choices(7), choices(7); a != b || a == choices(8) || !strings.Contains(a, "2") || !strings.Contains(a, "5") {
		t.Fatalf("%s %s", a, b)
	}
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	r := start(t, Config{})
	for _, c := range []struct{ path, body, says string }{
		{"faults", `{"effect":"explode"}`, "explode"},
		{"faults", `{"effect":"revoke_consent"}`, "revoke_consent"},
		{"faults", `{"effect":"status","colour":1}`, "colour"},
		{"faults", `{"effect":"late_commit","delay":"4s"}`, "longest_request"},
		{"faults", `{"effect":"reset_before","status":500}`, "takes no status"},
		{"faults", `{"effect":"delay","delay":3}`, "duration"},
		{"faults", `{"match":{"app":"other"},"effect":"status"}`, "other"},
		{"settings", `{"size":1}`, "size"},
		{"settings", `{"limits":{"daily":1}}`, "daily"},
		{"settings", `{"webhooks":{"lose":1}}`, "lose"},
		{"restore", `{"name":"../x"}`, "name"},
		{"reset", `{"colour":1}`, "colour"},
	} {
		if got := r.must(400, "POST", "/_sandbox/"+c.path, c.body); !strings.Contains(got, c.says) {
			t.Errorf("%s %s: %s", c.path, c.body, got)
		}
	}
	r.must(403, "GET", "/_sandbox/export", "", "Origin", "https://example.com")
	r.must(404, "GET", "/_sandbox/nothing", "")
	r.must(404, "POST", "/_sandbox/restore", `{"name":"none"}`)
	r.must(200, "POST", "/_sandbox/settings", `{"longest_request":"5s"}`)
	r.fault(`{"effect":"late_commit","delay":"4s"}`)
}

func TestSnapshotRestoreReset(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := start(t, Config{Dir: dir})
		r.must(201, "POST", "/notes", `{"text":"a"}`)
		old := r.must(200, "GET", "/_sandbox/export", "")
		r.must(200, "POST", "/_sandbox/snapshot", `{"name":"one"}`)
		r.must(201, "POST", "/notes", `{"text":"b"}`)
		r.must(200, "POST", "/_sandbox/restore", `{"name":"one"}`)
		if got := r.must(200, "GET", "/_sandbox/export", ""); got != old {
			t.Fatalf("restored %s, want %s", got, old)
		}
		var token string
		r.must(200, "POST", "/_sandbox/reset", `{"preset":"US"}`)
		r.s.View(func(tx *Tx) { token = tx.Fact("grant/token") })
		if got := r.must(200, "GET", "/_sandbox/export", ""); !strings.Contains(got, `"US"`) || strings.Contains(got, "note") || token != "t1" {
			t.Fatalf("reset left %s, token %s", got, token)
		}
		if dir == "" {
			continue
		}
		fresh := r.must(200, "GET", "/_sandbox/export", "")
		r.s.Close()
		r = start(t, Config{Dir: dir})
		if got := r.must(200, "GET", "/_sandbox/export", ""); got != fresh {
			t.Fatalf("reset forgotten: %s", got)
		}
	}
}

func TestWebhooks(t *testing.T) {
	got := make(chan string, 100)
	fail := 2
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		b, _ := io.ReadAll(hr.Body)
		if fail--; fail >= 0 {
			w.WriteHeader(500)
			return
		}
		got <- hr.Header.Get("Signature") + string(b)
	}))
	defer hook.Close()
	r := start(t, Config{WebhookTarget: hook.URL, Clock: wallClock{}})
	await := func(want string) {
		t.Helper()
		select {
		case b := <-got:
			if b != want {
				t.Fatalf("delivered %s, want %s", b, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no webhook")
		}
	}
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	await(`25{"id":"1","created":true}`)
	r.must(200, "POST", "/_sandbox/settings", fmt.Sprintf(`{"webhooks":{"target":%q,"deliver":true,"duplicate":1}}`, hook.URL))
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	await(`25{"id":"2","created":true}`)
	await(`25{"id":"2","created":true}`)
	r.must(200, "POST", "/_sandbox/settings", `{"webhooks":{"duplicate":0,"drop":1}}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	r.must(200, "POST", "/_sandbox/settings", `{"webhooks":{"drop":0}}`)
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	await(`25{"id":"4","created":true}`)
}

func TestChildrenStandAlone(t *testing.T) {
	w := newWorld()
	tx := w.begin(1, time.Now())
	tx.Put("note", "1", map[string]any{"a": "x"})
	good, lost := tx.Child(), tx.Child()
	good.Put("note", "1", map[string]any{"a": "y"})
	good.Put("note", "2", map[string]any{})
	good.SetFact("f", "1")
	lost.Put("note", "3", map[string]any{})
	good.Merge()
	seen := ""
	tx.Each("note", func(o *Object) bool { seen += o.ID + fmt.Sprint(o.Version); return true })
	if seen != "1221" || tx.Fact("f") != "1" {
		t.Fatal(seen)
	}
	changes := tx.apply()
	if len(changes) != 2 || len(changes[0].added) != 2 || !changes[0].Created {
		t.Fatalf("%+v", changes)
	}
	if !bytes.Equal(w.get("note", "1").Last().Data, []byte(`{"a":"y"}`)) {
		t.Fatal("last write lost")
	}
}

// A full disk is said, and what was done while it was full is there once there
// is room, also after a restart; until then nothing is acknowledged.
func TestAFullDiskIsSaidAndForgetsNothing(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("this machine has no device that is always full: %v", err)
	}
	defer full.Close()
	dir := t.TempDir()
	r := start(t, Config{Dir: dir})
	r.must(201, "POST", "/notes", `{"text":"a"}`)
	swap := func(f *os.File) *os.File {
		r.s.journal.syncing.Lock()
		defer r.s.journal.syncing.Unlock()
		old := r.s.journal.file
		r.s.journal.file = f
		return old
	}
	disk := swap(full)
	r.must(503, "POST", "/notes", `{"text":"b"}`)
	r.must(503, "GET", "/notes", "")
	swap(disk)
	r.must(201, "POST", "/notes", `{"text":"c"}`)
	r.s.Close()
	r = start(t, Config{Dir: dir})
	if all := r.must(200, "GET", "/_sandbox/export", ""); !strings.Contains(all, `"b"`) || !strings.Contains(all, `"c"`) {
		t.Errorf("lost: %s", all)
	}
}
