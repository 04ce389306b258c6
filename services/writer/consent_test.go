package writer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// desk is a writer with one connection to a vendor that keeps its word; nothing
// of it runs.
type desk struct {
	t       *testing.T
	db      *store.DB
	now     time.Time
	server  *Server
	conn    *connector.Connection
	tokens  *Tokens
	granted connector.Granted
	refused error
	codes   []string
	made    int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Now(), granted: connector.Granted{
		Grant: connector.Grant{Access: "a9", Refresh: "r9"}, Account: "books/1", Scopes: []string{"write"},
	}}
	dir := t.TempDir()
	var err error
	if d.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "w.db"), Name: Name, Migrations: Migrations, Clock: func() time.Time { return d.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	key, err := MakeSeal(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	vault := NewVault(d.db, key, func() time.Time { return d.now })
	d.tokens = vault.Tokens("books", connector.Grant{Access: "a0", Refresh: "r0"})
	d.conn = &connector.Connection{Consent: &connector.Consent{
		URL: func(redirect, state string) string { return redirect + "?" + state },
		Trade: func(_ context.Context, a connector.ConsentAnswer) (connector.Granted, error) {
			d.codes = append(d.codes, a.Code.Reveal()+" "+a.Redirect)
			return d.granted, d.refused
		},
	}}
	reg := &registry.Registry{Connections: []registry.Connection{{ID: "books", Tenant: "acme", Account: "books/1"}, {ID: "shut", Account: "books/2"}}}
	w := &Writer{deps: Deps{
		DB: d.db, Registry: reg, Vault: vault, Connections: map[string]*connector.Connection{"books/1": d.conn}, Now: func() time.Time { return d.now }, Log: slog.New(slog.DiscardHandler),
	}, owners: map[string]*owner{}}
	w.relay = trail.NewRelay(d.db, trail.Outbox(d.db), nil, w.deps.Now, slog.New(slog.DiscardHandler))
	d.server = w.Server()
	if err := w.declareTargets(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

const loopback = "http://127.0.0.1:8765/callback"

func (d *desk) begin() string {
	d.t.Helper()
	b, err := d.server.BeginConsent(d.t.Context(), &controlv1.BeginConsentRequest{Connection: "books", RedirectUri: loopback, Actor: "ann"})
	if err != nil || b.GetUrl() != loopback+"?"+b.GetState() || len(b.GetState()) < 20 || b.GetAccount() != "books/1" {
		d.t.Fatalf("%v, %v", b, err)
	}
	return b.GetState()
}

func (d *desk) finish(state, code string, params map[string]string) (*controlv1.FinishConsentResponse, error) {
	return d.server.FinishConsent(d.t.Context(), &controlv1.FinishConsentRequest{Connection: "books", State: state, Code: code, Params: params, Actor: "ann"})
}

// refuses: the consent fails with a reason, and what was granted before stays.
func (d *desk) refuses(err error, code codes.Code, says string) {
	d.t.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), says) {
		d.t.Errorf("%v, want %s: %s", err, code, says)
	}
	if got, err := d.tokens.Token(d.t.Context()); err != nil || got != "a0" {
		d.t.Errorf("the token is %q (%v)", got, err)
	}
}

func (d *desk) count(query string) (n int64) {
	d.t.Helper()
	if err := d.db.Read(d.t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(&n) }); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func TestConsentReplacesTheGrant(t *testing.T) {
	d := newDesk(t)
	d.granted.Grant.RefreshExpires = d.now.Add(100 * 24 * time.Hour)
	state := d.begin()
	if n := d.count(`SELECT COUNT(*) FROM consent WHERE state = '` + state + `'`); n != 0 {
		t.Error("the state stands in the table as it is")
	}
	got, err := d.finish(state, "c1", map[string]string{"realm": "1"})
	if err != nil || got.GetAccount() != "books/1" || got.GetGrantExpires() == nil || got.GetWasPaused() || len(got.GetScopes()) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if token, err := d.tokens.Token(t.Context()); err != nil || token != "a9" {
		t.Errorf("%q, %v", token, err)
	}
	if len(d.codes) != 1 || d.codes[0] != "c1 "+loopback {
		t.Errorf("traded %q", d.codes)
	}
	if n := d.count(`SELECT COUNT(*) FROM outbox`); n != 1 {
		t.Errorf("%d facts", n)
	}
	if n := d.count(`SELECT COUNT(*) FROM credential WHERE access NOT LIKE 'sealed/%'`); n != 0 {
		t.Error("the grant is not sealed")
	}
	res := &controlv1.WriterStatusResponse{}
	if err := d.db.Read(t.Context(), func(tx *store.Tx) error { return d.server.targets(tx, registry.Scope{}, res) }); err != nil {
		t.Fatal(err)
	}
	if ends := res.GetTargets()[0].GetGrantExpires(); ends == nil || ends.AsTime().Before(d.now.Add(99*24*time.Hour)) {
		t.Errorf("the status says that the grant ends %v", ends)
	}
}

func TestConsentsThatAreRefused(t *testing.T) {
	d := newDesk(t)
	state := d.begin()
	_, err := d.finish("another", "c", nil)
	d.refuses(err, codes.FailedPrecondition, "begin again")
	_, err = d.finish("", "c", nil)
	d.refuses(err, codes.FailedPrecondition, "begin again")
	_, err = d.finish(state, "", map[string]string{"error": "access_denied", "error_description": "The user did not agree"})
	d.refuses(err, codes.FailedPrecondition, "did not agree")
	_, err = d.finish(state, "c", nil)
	d.refuses(err, codes.FailedPrecondition, "has been finished")

	older := d.begin()
	newer := d.begin()
	_, err = d.finish(older, "c", nil)
	d.refuses(err, codes.FailedPrecondition, "begin again")
	d.now = d.now.Add(consentLife + time.Minute)
	_, err = d.finish(newer, "c", nil)
	d.refuses(err, codes.FailedPrecondition, "took longer")
	if len(d.codes) != 0 {
		t.Fatalf("codes were traded: %q", d.codes)
	}

	for says, trade := range map[string]error{
		"portal 7": &fault.Error{Kind: fault.Rejected, Field: connector.FieldAccount, Text: "consent was given for portal 7"},
		"begin":    &fault.Error{Kind: fault.Transient, Text: "no answer"},
	} {
		d.refused = trade
		code := map[bool]codes.Code{true: codes.FailedPrecondition, false: codes.Aborted}[fault.KindOf(trade) == fault.Rejected]
		_, err = d.finish(d.begin(), "c", nil)
		d.refuses(err, code, says)
	}
	d.refused, d.granted.Account = nil, "books/7"
	_, err = d.finish(d.begin(), "c", nil)
	d.refuses(err, codes.FailedPrecondition, "books/7")
	if n := d.count(`SELECT COUNT(*) FROM outbox`); n != 0 {
		t.Errorf("%d facts of consents that were not given", n)
	}
}

func TestConsentsThatCannotBegin(t *testing.T) {
	d := newDesk(t)
	begin := func(id, redirect string) error {
		_, err := d.server.BeginConsent(t.Context(), &controlv1.BeginConsentRequest{Connection: id, RedirectUri: redirect})
		return err
	}
	for _, bad := range []string{"", "callback", "http://example.com/cb", "ftp://127.0.0.1/cb", "https://a@example.com/", "https://example.com/#x"} {
		if err := begin("books", bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"https://example.com/cb", "http://localhost:1/", "http://[::1]:1/"} {
		if err := begin("books", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := begin("crm", loopback); status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
	if err := begin("shut", loopback); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%v", err)
	}
	d.conn.Consent = nil
	if err := begin("books", loopback); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "client_id") {
		t.Errorf("%v", err)
	}
}

// A target that stands for want of a credential is probed at once; the pause
// of a person is not touched.
func TestConsentWakesWhatWaitedForIt(t *testing.T) {
	d := newDesk(t)
	if err := d.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE target SET state = 'paused', alert = 'w-1', held_by = 'bob' WHERE target = 'books/1'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got, err := d.finish(d.begin(), "c", nil)
	if err != nil || !got.GetWasPaused() {
		t.Fatalf("%v, %v", got, err)
	}
	if n := d.count(`SELECT COUNT(*) FROM command WHERE target = 'books/1' AND exception = 'w-1' AND action = 'retry' AND actor = 'ann' AND state = 'waiting'`); n != 1 {
		t.Errorf("%d commands", n)
	}
	if n := d.count(`SELECT COUNT(*) FROM target WHERE held_by = 'bob'`); n != 1 {
		t.Error("a person's pause was lifted")
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	d := newDesk(t)
	d.tokens.first = connector.Grant{}
	if _, err := d.tokens.Token(t.Context()); fault.KindOf(err) != fault.Unauthorized || !strings.Contains(err.Error(), "connections authorize books") {
		t.Errorf("%v", err)
	}
	res := &controlv1.WriterStatusResponse{}
	if err := d.db.Read(t.Context(), func(tx *store.Tx) error { return d.server.targets(tx, registry.Scope{}, res) }); err != nil {
		t.Fatal(err)
	}
	if got := res.GetTargets()[0]; got.GetState() != "paused" || !strings.Contains(got.GetReason(), "consented") {
		t.Errorf("%v", got)
	}
	if _, err := d.finish(d.begin(), "c", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := d.tokens.Token(t.Context()); err != nil || got != "a9" {
		t.Errorf("%q, %v", got, err)
	}
}

// A refresh that the vendor refuses keeps what is stored, so that a passing
// failure at the vendor costs no consent.
func TestARefusedRefreshKeepsTheGrant(t *testing.T) {
	d := newDesk(t)
	calls := 0
	d.tokens.Refresher = func(context.Context, string) (connector.Grant, error) {
		if calls++; calls == 1 {
			return connector.Grant{}, fault.New(fault.Unauthorized, "invalid_grant")
		}
		return connector.Grant{Access: "a1", Refresh: "r1"}, nil
	}
	if _, err := d.tokens.Refresh(t.Context(), "a0"); fault.KindOf(err) != fault.Unauthorized {
		t.Fatalf("%v", err)
	}
	if got, err := d.tokens.Token(t.Context()); err != nil || got != "a0" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := d.tokens.Refresh(t.Context(), "a0"); err != nil || got != "a1" {
		t.Fatalf("%q, %v", got, err)
	}
	drill.Injected(t, int64(calls-1), 83)
}

// Another process of the service may hold the newer grant.
func TestARefusedRefreshLooksForANewerGrant(t *testing.T) {
	d := newDesk(t)
	if _, err := d.tokens.Token(t.Context()); err != nil { // loaded
		t.Fatal(err)
	}
	other := NewVault(d.db, d.server.w.deps.Vault.seal, d.server.w.deps.Now).Tokens("books", connector.Grant{})
	if err := other.Replace(t.Context(), connector.Grant{Access: "a5", Refresh: "r5"}, nil); err != nil {
		t.Fatal(err)
	}
	d.tokens.Refresher = func(_ context.Context, refresh string) (connector.Grant, error) {
		return connector.Grant{}, fault.New(fault.Unauthorized, "%s is not known", refresh)
	}
	if got, err := d.tokens.Refresh(t.Context(), "a0"); err != nil || got != "a5" {
		t.Errorf("%q, %v", got, err)
	}
}

// A grant that cannot be stored is not used: after a restart it would be gone.
func TestAGrantThatIsNotStoredIsNotUsed(t *testing.T) {
	d := newDesk(t)
	if err := d.tokens.Replace(t.Context(), connector.Grant{Access: "a5"}, func(*store.Tx) error { return errors.New("disk full") }); err == nil {
		t.Fatal("it was taken")
	}
	if got, err := d.tokens.Token(t.Context()); err != nil || got != "a0" {
		t.Errorf("%q, %v", got, err)
	}
	drill.Injected(t, 1, 82)
}

// closedBooks are a target with tables and a closing date.
type closedBooks struct {
	connector.Target
	through string
	err     error
	busy    int // so many requests are throttled first
}

func (b *closedBooks) LockedThrough(context.Context) (string, error) {
	if b.busy--; b.busy >= 0 {
		return "", &fault.Error{Kind: fault.RateLimited, RetryAfter: time.Millisecond, Text: "too many"}
	}
	return b.through, b.err
}

func (b *closedBooks) References(context.Context) ([]connector.Reference, error) {
	return []connector.Reference{{Kind: "account", Key: "Sales"}, {Kind: "tax", Key: "23.0% S"}}, b.err
}

func (d *desk) test() map[string]*controlv1.ConnectionCheck {
	d.t.Helper()
	res, err := d.server.TestConnection(d.t.Context(), &controlv1.TestConnectionRequest{Connection: "books"})
	if err != nil {
		d.t.Fatal(err)
	}
	out := map[string]*controlv1.ConnectionCheck{}
	for _, c := range res.GetChecks() {
		out[c.GetName()] = c
		if c.GetDetail() == "" || c.GetOk() != (c.GetNext() == "") {
			d.t.Errorf("%v", c)
		}
	}
	return out
}

func TestTestConnectionSaysWhatWorks(t *testing.T) {
	d := newDesk(t)
	books := &closedBooks{through: "2026-10-31"}
	d.conn.Target = books
	d.conn.Check = func(context.Context) []connector.Check {
		return []connector.Check{{Name: "properties", Detail: "missing: x", Next: "tieout connections prepare"}}
	}
	reg := d.server.w.deps.Registry
	reg.Entities = []registry.Entity{{ID: "ie", Bindings: map[string]string{"account:sales": "Sales", "tax:standard": "21%"}}}
	reg.Routes = []registry.Route{{ID: "r", Entity: "ie", Target: "books/1"}, {ID: "r2", Entity: "ie", Target: "books/1"}}
	got := d.test()
	if c := got["properties"]; c.GetOk() || c.GetNext() != "tieout connections prepare books" {
		t.Errorf("%v", c)
	}
	if c := got["closing date"]; !c.GetOk() || !strings.Contains(c.GetDetail(), "2026-10-31") {
		t.Errorf("%v", c)
	}
	if c := got["accounts and tax codes"]; !c.GetOk() || !strings.Contains(c.GetDetail(), "1 accounts, 1 tax codes, 0 terms") {
		t.Errorf("%v", c)
	}
	if c := got["bindings"]; c.GetOk() || !strings.Contains(c.GetDetail(), `"21%"`) || strings.Contains(c.GetDetail(), "Sales") || strings.Count(c.GetDetail(), "21%") != 1 {
		t.Errorf("%v", c)
	}
	reg.Entities[0].Bindings["tax:standard"] = "23.0% S"
	if c := d.test()["bindings"]; !c.GetOk() {
		t.Errorf("%v", c)
	}
	for busy, ok := range []bool{true, true, false} {
		books.busy = busy
		if c := d.test()["closing date"]; c.GetOk() != ok || !ok && c.GetNext() != "try again" {
			t.Errorf("throttled %d times: %v", busy, c)
		}
	}
	books.busy = 0
	books.err = fault.New(fault.Unauthorized, "no")
	if c := d.test()["closing date"]; c.GetOk() || c.GetNext() != "tieout connections authorize books" {
		t.Errorf("%v", c)
	}
	d.tokens.current, d.tokens.first, d.tokens.loaded = connector.Grant{}, connector.Grant{}, false
	if got := d.test(); len(got) != 1 || got["token"].GetOk() || got["token"].GetNext() != "tieout connections authorize books" {
		t.Errorf("%v", got)
	}
	if _, err := d.server.TestConnection(t.Context(), &controlv1.TestConnectionRequest{Connection: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
}

func TestPrepareConnectionMakesWhatIsMissingOnce(t *testing.T) {
	d := newDesk(t)
	prepare := func(dry bool) (*controlv1.PrepareConnectionResponse, error) {
		return d.server.PrepareConnection(t.Context(), &controlv1.PrepareConnectionRequest{Connection: "books", DryRun: dry, Actor: "ann"})
	}
	if got, err := prepare(false); err != nil || got.GetMade() || len(got.GetItems()) != 0 {
		t.Errorf("nothing to make: %v, %v", got, err)
	}
	fails := error(nil)
	d.conn.Missing = func(context.Context) ([]string, error) { return []string{"a", "b"}[:2*(1-min(1, d.made))], nil }
	d.conn.Setup = func(context.Context) error {
		if fails == nil {
			d.made++
		}
		return fails
	}
	if got, err := prepare(true); err != nil || got.GetMade() || len(got.GetItems()) != 2 || d.made != 0 {
		t.Errorf("dry run: %v, %v", got, err)
	}
	fails = fault.New(fault.Unauthorized, "the scope is missing")
	if _, err := prepare(false); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "scope") {
		t.Errorf("%v", err)
	}
	fails = nil
	if got, err := prepare(false); err != nil || !got.GetMade() || fmt.Sprint(got.GetItems()) != "[a b]" || d.made != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := prepare(false); err != nil || got.GetMade() || d.made != 1 {
		t.Errorf("again: %v, %v", got, err)
	}
	if n := d.count(`SELECT COUNT(*) FROM outbox`); n != 1 {
		t.Errorf("%d facts", n)
	}
}

// Each request of a check counts like any other.
func TestChecksKeepToTheQuota(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	d.server.w.deps.Now = func() time.Time { return now }
	o := &owner{w: d.server.w, limit: newLimits(connector.Claims{Limits: []connector.Limit{{Requests: 10, Window: time.Second}}}, 100)}
	d.server.w.setOwner("books/1", o)
	d.conn.Check = func(ctx context.Context) []connector.Check {
		for range 3 {
			if err := connector.CountRequest(ctx); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	d.test()
	if used, _, _ := o.limit.used(now); used != 3 {
		t.Errorf("%d requests were counted, want 3", used)
	}
}
