package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A tenant in the address narrows what is asked for and shown, and stays in
// every link; one that is not there is said so.
func TestATenantSeesItsOwn(t *testing.T) {
	p := planeOf(t, Entity{"acme-ie", "acme"}, Entity{"north", "n & o"})
	_, body, _ := p.get(t, http.MethodGet, "/")
	if !strings.Contains(body, "All tenants") || !strings.Contains(body, `href="/?tenant=n%20%26%20o"`) || p.writer.asked != "" || len(p.reconciler.compared) != 2 {
		t.Errorf("all: asked about %q, compared %v: %s", p.writer.asked, p.reconciler.compared, body)
	}
	p.reconciler.compared = nil
	for path, want := range map[string][]string{
		"/?tenant=acme":               {`href="/exceptions?tenant=acme"`, `href="/exceptions?kind=match&amp;tenant=acme"`, `hx-get="/?tenant=acme"`, `name="tenant" value="acme"`, "<h2 id=\"e-acme-ie\">"},
		"/exceptions?tenant=acme":     {`href="/exceptions/w-1?tenant=acme"`, `href="/record/hubspot/1/deal/7?tenant=acme"`},
		"/exceptions/w-1?tenant=acme": {`href="/record/hubspot/1/deal/7?tenant=acme"`},
		"/record/deal/7?tenant=acme":  {`href="/exceptions/w-2?tenant=acme"`},
	} {
		code, body, _ := p.get(t, http.MethodGet, path)
		for _, w := range want {
			if code != http.StatusOK || !strings.Contains(body, w) {
				t.Errorf("%s: %d lacks %s", path, code, w)
			}
		}
		if p.writer.asked != "acme" {
			t.Errorf("%s asks about %q", path, p.writer.asked)
		}
	}
	if !slices.Equal(p.reconciler.compared, []string{"acme-ie"}) {
		t.Errorf("compared %v", p.reconciler.compared)
	}
	for _, path := range []string{"/", "/exceptions", "/record/deal/7"} {
		if code, body, _ := p.get(t, http.MethodGet, path+"?tenant=nobody"); code != http.StatusNotFound || !strings.Contains(body, "there is no tenant") || !strings.Contains(body, "acme, n &amp; o") {
			t.Errorf("%s of nobody: %d %s", path, code, body)
		}
	}
	if _, _, h := p.get(t, http.MethodGet, "/record?id=7&tenant=acme"); h.Get("Location") != "/record/7?tenant=acme" {
		t.Errorf("the search leads to %s", h.Get("Location"))
	}
}

// Where there is one tenant, nothing is to be chosen.
func TestOneTenantIsNoChoice(t *testing.T) {
	if _, body, _ := newPlane(t).get(t, http.MethodGet, "/"); strings.Contains(body, "tenant") {
		t.Errorf("it speaks of tenants: %s", body)
	}
}
