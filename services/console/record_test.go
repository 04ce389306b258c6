package console

import (
	"net/http"
	"strings"
	"testing"
)

// The page of a record says what holds it and what differs about it, and lists
// nothing as a document of the books that is none.
func TestARecordSaysWhyItWaits(t *testing.T) {
	p := newPlane(t)
	for path, want := range map[string][]string{
		"/record/deal/7": {
			`It waits for finance.`, `<a href="/exceptions/w-1">`, `What comes after <a href="/record/hubspot/1/deal/6">`, `<a href="/exceptions/w-2">no tax code</a>`,
			"Its lane waits by itself.", "it depends on hubspot/1/company/3", "voided_in_books", "363.06", "A person removed it.", "as Tieout confirmed them",
		},
		"/record/deal/8": {"It waits for crm admin.", `<a href="/exceptions/i-8">it has two customers</a>`},
	} {
		code, body, _ := p.get(t, http.MethodGet, path)
		for _, w := range want {
			if code != http.StatusOK || !strings.Contains(body, w) {
				t.Errorf("%s: %d lacks %q", path, code, w)
			}
		}
		if strings.Contains(body, "written-back") {
			t.Errorf("%s: what is written back is told as a document of the books", path)
		}
		if strings.Count(body, "/exceptions/w-1") > 1 {
			t.Errorf("%s names an exception twice", path)
		}
	}
	_, body, _ := p.get(t, http.MethodGet, "/record/deal/8")
	if strings.Contains(body, "What differs") {
		t.Error("a difference of nothing")
	}
	if strings.Contains(body, "Its lane") {
		t.Error("a lane that it went through before is said to hold it")
	}
}

// What is counted by cause is all of it, or the page says that it is not.
func TestACutListIsSaid(t *testing.T) {
	p := newPlane(t)
	if _, body, _ := p.get(t, http.MethodGet, "/"); strings.Contains(body, "only the oldest") {
		t.Error("a whole list is called cut")
	}
	p.writer.many = 700
	if _, body, _ := p.get(t, http.MethodGet, "/"); !strings.Contains(body, "only the oldest 500 of 701 are counted here") {
		t.Error("Today does not say that there are more")
	}
	for _, path := range []string{"/exceptions", "/exceptions?kind=match", "/exceptions?owner=nobody"} {
		if _, body, _ := p.get(t, http.MethodGet, path); !strings.Contains(body, "there are more") {
			t.Errorf("%s does not say that there are more", path)
		}
	}
}
