package quickbooks

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tieout.dev/services/connectors/quickbooks/sandbox"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/connector/probe"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/idle"
)

// inProcess leads requests to a company without a socket, which would stop the
// clock of a bubble. Each takes 50 ms there and 50 ms back.
type inProcess struct{ company http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	const latency = 50 * time.Millisecond
	if !idle.For(r.Context(), latency) {
		return nil, r.Context().Err()
	}
	asked := r.Clone(context.WithoutCancel(r.Context())) // it is done, whoever waits
	asked.RemoteAddr, asked.Host = "127.0.0.1:1", r.URL.Host
	w := httptest.NewRecorder()
	h.company.ServeHTTP(w, asked)
	if !idle.For(r.Context(), latency) {
		return nil, r.Context().Err()
	}
	return w.Result(), nil
}

// company is a sandbox in a bubble and a connection to it.
type company struct {
	t    *testing.T
	http inProcess
	conn *connector.Connection
	ids  map[string]string
}

func openCompany(t *testing.T, settings map[string]string) *company {
	t.Helper()
	sb, err := sandbox.New(sandbox.Config{Preset: "IE"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sb.Close() })
	c := &company{t: t, http: inProcess{sb}, ids: map[string]string{}}
	c.conn, err = Open(connector.Config{
		Account: "quickbooks/" + sb.Credentials().RealmID, BaseURL: "http://127.0.0.1:9", Tokens: fixedToken(sb.Credentials().AccessToken), Now: time.Now,
		Settings: settings, HTTP: c.http,
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.conn.Target.(connector.Referencer).References(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		c.ids[r.Kind+":"+r.Key] = r.ID
	}
	return c
}

func (c *company) control(path, body string) {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9/_sandbox/"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	c.http.company.ServeHTTP(w, r)
	if w.Code >= 300 {
		c.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}

func (c *company) probe(kind document.Kind) *probe.Report {
	return probe.Run(c.t.Context(), probe.Setup{
		Target: c.conn.Target, Claims: c.conn.Claims, Run: "20261130T090000Z", Account: "Sales", Tax: "23.0% S", Currency: "EUR",
		Symbol:    func(kind, symbol string) (string, bool) { id, ok := c.ids[kind+":"+symbol]; return id, ok },
		IssueDate: time.Now().Format(time.DateOnly), Samples: 3, Now: time.Now,
	}, kind)
}

// standing are the records of a probe that are in use in the company.
func (c *company) standing() (out []string) {
	c.t.Helper()
	for _, kind := range []document.Kind{document.CustomerKind, document.ItemKind, document.InvoiceKind, document.CreditNoteKind} {
		for p, err := range c.conn.Target.List(c.t.Context(), kind, "", "") {
			if err != nil {
				c.t.Fatal(err)
			}
			if document.IsProbe(p.Mark) && p.Active && p.Status != connector.Voided {
				out = append(out, p.Ref.String())
			}
		}
	}
	return out
}

func written(r *probe.Report) string {
	b, _ := json.MarshalIndent(r, "", " ")
	return string(b)
}

// What the connector claims holds at its own sandbox: with the defaults, and with
// all of the lag and all of the time that they allow.
func TestClaimsHoldAtTheSandbox(t *testing.T) {
	for name, harder := range map[string]func(*company){
		"as it is": func(*company) {},
		"keys are forgotten": func(c *company) {
			c.control("faults", `{"match":{"method":"POST","path":"/v3/company/**"},"effect":"forget_keys"}`)
		},
		"searches lag": func(c *company) { c.control("settings", `{"search_lag":"59s"}`) },
		"a late effect": func(c *company) {
			c.control("settings", `{"longest_request":"119s"}`)
			c.control("faults", `{"match":{"method":"POST","path":"/v3/company/**","nth":5},"effect":"late_commit","delay":"119s","times":1}`)
		},
	} {
		for kind, class := range map[document.Kind]connector.Ambiguity{document.CustomerKind: "B", document.ItemKind: "B", document.InvoiceKind: "C"} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := openCompany(t, nil)
					harder(c)
					r := c.probe(kind)
					if name != "keys are forgotten" {
						class = "A" // the sandbox remembers keys; Intuit does not say for how long it does
					}
					if r.Verdict == probe.Contradicted || r.Verdict == probe.NotMeasured || r.Measured != class || r.Stopped != "" {
						t.Errorf("%s", written(r))
					}
					c.control("settings", `{"search_lag":"0s"}`)
					if left := c.standing(); len(left) > 0 || len(r.Left) > 0 {
						t.Errorf("%v stand: %s", left, written(r))
					}
				})
			})
		}
	}
}

// A claim that the sandbox does not keep is refused, with the setting to change.
func TestClaimsThatTheSandboxContradicts(t *testing.T) {
	for name, x := range map[string]struct {
		settings map[string]string
		prepare  func(*company)
		kind     document.Kind
		claim    string
	}{
		"searches lag": {map[string]string{"search_lag": "5s"}, func(c *company) { c.control("settings", `{"search_lag":"8s"}`) }, document.InvoiceKind, probe.SearchLag},
		"an effect that comes late": {map[string]string{"longest_request": "10s", "search_lag": "1s"}, func(c *company) {
			c.control("settings", `{"longest_request":"15s"}`)
			c.control("faults", `{"match":{"method":"POST","path":"**/customer"},"effect":"late_commit","delay":"15s","times":1}`)
		}, document.CustomerKind, probe.LongestRequest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCompany(t, x.settings)
				x.prepare(c)
				r := c.probe(x.kind)
				at := slices.IndexFunc(r.Findings, func(f probe.Finding) bool { return f.Claim == x.claim })
				if f := r.Findings[at]; r.Verdict != probe.Contradicted || f.Verdict != probe.Contradicted || !strings.Contains(f.Next, "set "+x.claim) {
					t.Errorf("%s", written(r))
				}
				c.control("settings", `{"search_lag":"0s"}`)
				if left := c.standing(); len(left) > 0 {
					t.Errorf("%v stand: %s", left, written(r))
				}
			})
		})
	}
}

// Credit notes cannot be voided: a probe of them says so before and names what
// stays, and its invoices stay too, so that both come to nothing.
func TestAProbedCreditNoteStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCompany(t, nil)
		if probe.TakesBack(c.conn.Target, document.CreditNoteKind) || !strings.Contains(probe.Writes(c.conn.Target, document.CreditNoteKind, 3), "stay") {
			t.Error("it is not said that they stay")
		}
		r := c.probe(document.CreditNoteKind)
		told := map[string]bool{}
		for _, l := range r.Left {
			told[l.Ref] = true
		}
		if left := c.standing(); r.Verdict != probe.Stronger || len(left) < 8 || !slices.Equal(slices.Sorted(maps.Keys(told)), slices.Sorted(slices.Values(left))) {
			t.Errorf("%v stand: %s", left, written(r))
		}
	})
}

// A batch takes out of use what a single request does.
func TestARecordIsTakenOutOfUse(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme Ltd", "EUR")
	b.customer("Bolt Ltd", "EUR")
	var items []connector.Item
	for p, err := range b.tgt.List(t.Context(), document.CustomerKind, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != "Acme Ltd" && p.Name != "Bolt Ltd" {
			continue
		}
		e, err := b.tgt.Encode(connector.Draft{Part: &document.Part{Kind: p.Kind}, Effect: connector.Void, Current: &p})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, connector.Item{Kind: p.Kind, Effect: connector.Void, Body: e.Body})
	}
	for _, out := range b.tgt.Put(t.Context(), connector.Call{Key: "retire", Items: items}) {
		if out.Err != nil || out.Posting.Active {
			t.Errorf("%+v", out)
		}
	}
	if len(items) != 2 {
		t.Errorf("%d customers", len(items))
	}
}
