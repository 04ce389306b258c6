package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
)

// vault is a writer that takes consents, and the vendor's page with it.
type vault struct {
	controlv1.UnimplementedWriterServiceServer
	mu       sync.Mutex
	state    string
	finished []*controlv1.FinishConsentRequest
	refuse   error
	checks   []*controlv1.ConnectionCheck
	missing  []string
	dry      bool
}

func (v *vault) BeginConsent(_ context.Context, r *controlv1.BeginConsentRequest) (*controlv1.BeginConsentResponse, error) {
	if r.GetConnection() != "books" {
		return nil, status.Errorf(codes.NotFound, "there is no connection %s", r.GetConnection())
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = "s/" + r.GetRedirectUri()
	q := url.Values{"redirect_uri": {r.GetRedirectUri()}, "state": {v.state}}
	return &controlv1.BeginConsentResponse{Url: "https://vendor.example/authorize?" + q.Encode(), State: v.state}, nil
}

func (v *vault) FinishConsent(_ context.Context, r *controlv1.FinishConsentRequest) (*controlv1.FinishConsentResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.finished = append(v.finished, r)
	if v.refuse != nil {
		return nil, v.refuse
	}
	return &controlv1.FinishConsentResponse{
		Account: "quickbooks/1", Scopes: []string{"write"}, WasPaused: true, GrantExpires: timestamppb.New(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)),
	}, nil
}

func (v *vault) TestConnection(context.Context, *controlv1.TestConnectionRequest) (*controlv1.TestConnectionResponse, error) {
	return &controlv1.TestConnectionResponse{Account: "quickbooks/1", Checks: v.checks}, nil
}

func (v *vault) PrepareConnection(_ context.Context, r *controlv1.PrepareConnectionRequest) (*controlv1.PrepareConnectionResponse, error) {
	v.dry = r.GetDryRun()
	return &controlv1.PrepareConnectionResponse{Items: v.missing, Made: !r.GetDryRun() && len(v.missing) > 0}, nil
}

// serve makes the vault answer, and returns the flags that lead to it.
func (v *vault) serve(t *testing.T) []string {
	t.Helper()
	return serveWriter(t, v)
}

// serveWriter makes a writer answer, and returns the flags that lead to it.
func serveWriter(t *testing.T, w controlv1.WriterServiceServer) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer("t")
	controlv1.RegisterWriterServiceServer(s, w)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-served })
	return []string{"--server", l.Addr().String(), "--token", "t"}
}

// session is 'connections authorize' while a person is at the vendor.
type session struct {
	t     *testing.T
	back  *url.URL // where the vendor sends the person
	state string
	out   bytes.Buffer
	errs  bytes.Buffer
	code  chan int
	read  chan struct{}
}

func authorize(t *testing.T, server []string, more ...string) *session {
	t.Helper()
	s := &session{t: t, code: make(chan int, 1), read: make(chan struct{})}
	r, w := io.Pipe()
	args := append([]string{"connections", "authorize", "books", "--no-browser", "-o", "json"}, append(server, more...)...)
	go func() { s.code <- Main(t.Context(), args, &s.out, w); w.Close() }()
	lines := bufio.NewReader(r)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", first, err)
	}
	go func() { defer close(s.read); _, _ = io.Copy(&s.errs, lines) }()
	page, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(first, "agree at the vendor: ")))
	if err != nil || page.Host != "vendor.example" {
		t.Fatalf("%q, %v", first, err)
	}
	if s.back, err = url.Parse(page.Query().Get("redirect_uri")); err != nil || s.back.Hostname() != "127.0.0.1" && s.back.Hostname() != "localhost" {
		t.Fatalf("redirect %v, %v", s.back, err)
	}
	s.state = page.Query().Get("state")
	return s
}

// comes opens the address as a browser that was sent there.
func (s *session) comes(q url.Values) (int, string) {
	s.t.Helper()
	u := *s.back
	u.RawQuery = q.Encode()
	resp, err := http.Get(u.String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%v, %v", resp.Header, err)
	}
	return resp.StatusCode, string(b)
}

// ends returns the exit code and what was said, once everything is written.
func (s *session) ends() (int, string) {
	s.t.Helper()
	code := <-s.code
	<-s.read
	if _, err := net.DialTimeout("tcp", s.back.Host, time.Second); err == nil {
		s.t.Errorf("%s still listens", s.back.Host)
	}
	return code, s.errs.String()
}

func TestAuthorizeTakesOnePersonBack(t *testing.T) {
	v := &vault{}
	s := authorize(t, v.serve(t))
	for what, q := range map[string]url.Values{
		"no state":      {"code": {"c"}},
		"another state": {"code": {"c"}, "state": {s.state + "x"}},
		"two states":    {"code": {"c"}, "state": {s.state, "x"}},
		"two codes":     {"code": {"c", "d"}, "state": {s.state}},
	} {
		if code, _ := s.comes(q); code != http.StatusBadRequest {
			t.Errorf("%s: %d", what, code)
		}
	}
	if code, _ := s.comes(url.Values{}); code != http.StatusBadRequest {
		t.Errorf("nothing at all: %d", code)
	}
	if code, page := s.comes(url.Values{"code": {"c1"}, "state": {s.state}, "realmId": {"1"}}); code != http.StatusOK || !strings.Contains(page, "quickbooks/1") {
		t.Errorf("%d %s", code, page)
	}
	code, said := s.ends()
	var got grantedView
	if err := json.Unmarshal(s.out.Bytes(), &got); code != exitOK || err != nil || got.GrantExpires != "2027-01-02T03:04:05.000Z" || !got.WasPaused || len(got.Scopes) != 1 {
		t.Fatalf("exit %d: %s%s", code, s.out.String(), said)
	}
	if len(v.finished) != 1 || v.finished[0].GetCode() != "c1" || v.finished[0].GetState() != v.state || v.finished[0].GetParams()["realmId"] != "1" || len(v.finished[0].GetParams()) != 1 {
		t.Errorf("%v", v.finished)
	}
	if strings.Contains(said+s.out.String(), "c1") {
		t.Error("the code was printed")
	}
}

func TestAuthorizeThatComesToNothing(t *testing.T) {
	v := &vault{refuse: status.Error(codes.FailedPrecondition, "the vendor gave no consent: <b>access_denied</b>")}
	server := v.serve(t)
	s := authorize(t, server)
	if code, page := s.comes(url.Values{"error": {"access_denied"}, "state": {s.state}}); code != http.StatusOK || !strings.Contains(page, "Nothing was granted") || strings.Contains(page, "<b>") {
		t.Errorf("%d %s", code, page)
	}
	if code, said := s.ends(); code != exitError || !strings.Contains(said, "access_denied") || !strings.Contains(said, "connections authorize books") || s.out.Len() != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	if v.finished[0].GetParams()["error"] != "access_denied" || v.finished[0].GetCode() != "" {
		t.Errorf("%v", v.finished)
	}
	s = authorize(t, server, "--timeout", "300ms", "--listen", "localhost:0")
	if code, said := s.ends(); code != exitAgain || !strings.Contains(said, "nobody came back within 300ms") {
		t.Errorf("exit %d: %s", code, said)
	}
	if len(v.finished) != 1 {
		t.Errorf("%v", v.finished)
	}
	for what, args := range map[string][]string{
		"listens to the world": {"books", "--listen", "0.0.0.0:0"}, "listens nowhere": {"books", "--listen", "8765"}, "no time": {"books", "--timeout", "0s"},
	} {
		var out, errs bytes.Buffer
		if code := Main(t.Context(), append(append([]string{"connections", "authorize", "--no-browser"}, args...), server...), &out, &errs); code != exitUsage {
			t.Errorf("%s: exit %d: %s", what, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), append([]string{"connections", "authorize", "x", "--no-browser"}, server...), &out, &errs); code != exitNotFound {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestAuthorizeByPastedAddress(t *testing.T) {
	const registered = "https://example.com/back"
	v := &vault{}
	server := v.serve(t)
	paste := func(line string) (*grantedView, error) {
		a := &app{server: server[1], token: server[3], err: io.Discard}
		t.Cleanup(func() {
			if a.conn != nil {
				a.conn.Close()
			}
		})
		c := &consenting{app: a, connection: "books", redirect: registered, noBrowser: true, patience: 10 * time.Second, in: strings.NewReader(line)}
		return c.run(t.Context())
	}
	state := url.QueryEscape("s/" + registered)
	for _, bad := range []string{"", "\n", "hello\n", registered + "?code=c&state=x\n", registered + "?code=c\n", registered + "?code=c&code=d&state=" + state} {
		if _, err := paste(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if len(v.finished) != 0 {
		t.Fatalf("%v", v.finished)
	}
	for _, good := range []string{registered + "?code=c&realmId=7&state=" + state + "\n", "  " + registered + "?code=c&realmId=7&state=" + state} {
		if got, err := paste(good); err != nil || got.Account != "quickbooks/1" {
			t.Errorf("%q: %v", good, err)
		}
	}
	if len(v.finished) != 2 || v.finished[0].GetParams()["realmId"] != "7" {
		t.Errorf("%v", v.finished)
	}
}

func TestTestAndPrepareSayWhatIsMissing(t *testing.T) {
	v := &vault{checks: []*controlv1.ConnectionCheck{{Name: "token", Ok: true, Detail: "there is one"}}}
	server := v.serve(t)
	do := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append(append([]string{"connections"}, args...), server...), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, said := do("test", "books"); code != exitOK || !strings.Contains(said, "there is one") {
		t.Errorf("exit %d: %s", code, said)
	}
	v.checks = append(v.checks, &controlv1.ConnectionCheck{Name: "properties", Detail: "missing: p", Next: "tieout connections prepare books"})
	if code, said := do("test", "books"); code != exitDifference || !strings.Contains(said, "next: tieout connections prepare books") {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := do("prepare", "books"); code != exitOK || !strings.Contains(said, "nothing is missing") {
		t.Errorf("exit %d: %s", code, said)
	}
	v.missing = []string{"property p"}
	if code, said := do("prepare", "books", "--dry-run"); code != exitOK || !strings.Contains(said, "missing  property p") || !v.dry {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := do("prepare", "books", "-o", "json"); code != exitOK || !strings.Contains(said, `"made": true`) || v.dry {
		t.Errorf("exit %d: %s", code, said)
	}
}

func TestAddChecksAndPrintsAConnection(t *testing.T) {
	add := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append([]string{"connections", "add"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, out, said := add("--system", "hubspot", "--account", "48213", "--id", "crm", "--public-url", "https://example.com/webhooks/hubspot", "--setting", "properties_of_deal=po_number", "-o", "json")
	var block configurationBlock
	if err := json.Unmarshal([]byte(out), &block); code != exitOK || err != nil || !strings.Contains(said, "authorize crm") {
		t.Fatalf("exit %d: %s%s", code, out, said)
	}
	if c := block.Connections[0]; c.Account != "hubspot/48213" || c.PollEvery != "1m0s" || c.App != "hubspot" || c.Secrets["app_secret"] != "/run/secrets/tieout/crm/app_secret" || c.Settings["properties_of_deal"] != "po_number" {
		t.Errorf("%+v", c)
	}
	code, out, _ = add("--system", "quickbooks", "--account", "quickbooks/4620816365")
	if code != exitOK || !strings.HasPrefix(out, "connections:\n") || !strings.Contains(out, "client_secret: /run/secrets/tieout/quickbooks/client_secret") || strings.Contains(out, "poll_every") {
		t.Errorf("exit %d: %s", code, out)
	}
	for says, args := range map[string][]string{
		"not one of":        {"--system", "xero", "--account", "1"},
		"the vendor shows":  {"--system", "hubspot", "--account", "acme"},
		"none of that name": {"--system", "hubspot", "--account", "1", "--setting", "propertys_of_deal=x"},
		"must be https":     {"--system", "quickbooks", "--account", "1", "--base-url", "http://example.com"},
		"small letters":     {"--system", "quickbooks", "--account", "1", "--id", "Books 1"},
		"only written to":   {"--system", "quickbooks", "--account", "1", "--poll-every", "1m"},
		"/webhooks/hubspot": {"--system", "hubspot", "--account", "1", "--public-url", "http://example.com/webhooks/hubspot"},
		"not a duration":    {"--system", "hubspot", "--account", "1", "--setting", "guard=soon"},
		"in the future":     {"--system", "hubspot", "--account", "1", "--poll-every", "-1s"},
		`"hubspot/"`:        {"--system", "hubspot"},
	} {
		if code, out, said := add(args...); code != exitUsage || out != "" || !strings.Contains(said, says) {
			t.Errorf("%v: exit %d: %s%s", args, code, out, said)
		}
	}
}

func TestDoctorNamesAConsentThatEnds(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		connection connectionView
		says, next string
	}{
		"far":        {connectionView{ID: "b", State: "active", Ends: "2026-12-16T00:00:00.000Z"}, "", ""},
		"not known":  {connectionView{ID: "b", State: "active"}, "", ""},
		"soon":       {connectionView{ID: "b", State: "active", Ends: "2026-12-14T00:00:00.000Z"}, "ends on 2026-12-14", "tieout connections authorize b"},
		"over":       {connectionView{ID: "b", State: "active", Ends: "2026-11-30T00:00:00.000Z"}, "ended on 2026-11-30", "tieout connections authorize b"},
		"held":       {connectionView{ID: "b", State: "paused", Reason: "by ann"}, "by ann", "tieout connections resume b"},
		"never":      {connectionView{ID: "b", State: "paused", Reason: "nobody has consented yet"}, "nobody", "tieout connections authorize b"},
		"no answers": {connectionView{ID: "b", State: "paused", Reason: "503", ProbeAt: "2026-12-01T00:01:00.000Z"}, "503", "tieout connections test b"},
	} {
		got := (&statusView{Connections: []connectionView{c.connection}}).findings(now)
		if c.says == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || !strings.Contains(got[0].What, c.says) || !strings.Contains(got[0].Next, c.next) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
