package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestThePortalSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	line := b.make("line_items", `{"name":"l","price":"5"}`)
	company := b.make("companies", `{"name":"A"}`)
	contact := b.make("contacts", `{"email":"a@x.example"}`)
	deal := b.make("deals", `{"dealname":"d","dealstage":"closedwon"}`, to(company, 5), to(line, 19))
	b.do(201, "POST", "/crm/v3/properties/deals", `{"name":"mine","label":"x","type":"string","fieldType":"text","groupName":"dealinformation"}`)
	path := "/crm/v3/objects/deals/" + deal + "?associations=companies,line_items&properties=hs_tcv,mine"
	before := b.do(200, "GET", path, "")
	was := *b.portal
	b.close()

	b = open(t, dir)
	if b.portal.AccessToken != was.AccessToken || b.portal.ReaderToken != was.ReaderToken || b.portal.AppSecret != was.AppSecret || b.portal.RefreshToken != was.RefreshToken {
		t.Error("the secrets are others")
	}
	if after := b.do(200, "GET", path, ""); !bytes.Equal(after.raw, before.raw) {
		t.Errorf("\n got %s\nwant %s", after.raw, before.raw)
	}
	b.do(409, "POST", "/crm/v3/objects/contacts", `{"properties":{"email":"a@x.example"}}`)
	if next := b.make("companies", `{"name":"B"}`); number(next) <= number(contact) {
		t.Errorf("id %s is given again", next)
	}
	token := b.portal.AccessToken
	b.do(200, "POST", "/_sandbox/reset", "")
	if r := b.do(200, "GET", "/crm/v3/objects/deals", ""); r.at("results", 0) != "<none>" || b.portal.AccessToken != token {
		t.Errorf("after reset: %s", r.raw)
	}
	b.do(200, "GET", "/crm/v3/pipelines/deals/default", "")
}

func TestTwoPortalsHaveOtherSecrets(t *testing.T) {
	a, b := open(t, ""), open(t, "")
	if a.portal.AccessToken == b.portal.AccessToken || a.portal.AppSecret == b.portal.AppSecret || a.portal.AccessToken == a.portal.ReaderToken {
		t.Error("secrets are shared")
	}
}

func TestWebhooks(t *testing.T) {
	for form, want := range map[string][]string{
		"typed": {`"subscriptionType":"deal.creation"`, `"subscriptionType":"deal.associationChange"`, `"subscriptionType":"company.associationChange"`,
			`"associationType":"DEAL_TO_COMPANY"`, `"isPrimaryAssociation":true`, `"subscriptionType":"company.merge"`, `"subscriptionType":"deal.deletion"`},
		"generic": {`"subscriptionType":"object.creation"`, `"objectTypeId":"0-3"`, `"fromObjectTypeId":"0-3"`, `"toObjectTypeId":"0-2"`, `"subscriptionType":"object.merge"`},
	} {
		t.Run(form, func(t *testing.T) { deliverOnce(t, form, want) })
	}
}

func deliverOnce(t *testing.T, form string, want []string) {
	b := open(t, "")
	bodies := make(chan []byte, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
	}))
	defer srv.Close()
	b.do(200, "POST", "/_sandbox/settings", `{"webhook_form":%q,"webhooks":{"target":%q}}`, form, srv.URL)
	a, c := b.make("companies", `{"name":"A"}`), b.make("companies", `{"name":"C"}`)
	deal := b.make("deals", `{"dealname":"d"}`, to(a, 5))
	made := b.do(200, "POST", "/crm/v3/objects/companies/merge", `{"primaryObjectId":%q,"objectIdToMerge":%q}`, a, c).at("id")
	b.do(204, "DELETE", "/crm/v3/objects/deals/"+deal, "")
	want = append(want, `"newObjectId":`+made, `"mergedObjectIds":[`+c+`]`, `"propertyName":"dealname","propertyValue":"d"`)
	var all strings.Builder
	for end := time.After(10 * time.Second); ; {
		select {
		case body := <-bodies:
			var events []map[string]any
			if err := json.Unmarshal(body, &events); err != nil || len(events) == 0 || len(events) > 100 {
				t.Fatalf("%s: %v", body, err)
			}
			all.Write(body)
		case <-end:
			t.Fatalf("wanted %v in %s", want, all.String())
		}
		if hasAll(all.String(), want) {
			break
		}
	}
	if strings.Contains(all.String(), "hs_lastmodifieddate") {
		t.Error("a computed property is told")
	}
}

func hasAll(s string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func TestDeliveriesAreOfAHundredEvents(t *testing.T) {
	b := open(t, "")
	sizes := make(chan int, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var events []any
		_ = json.NewDecoder(r.Body).Decode(&events)
		sizes <- len(events)
	}))
	defer srv.Close()
	b.do(200, "POST", "/_sandbox/settings", `{"webhooks":{"target":%q}}`, srv.URL)
	inputs := strings.TrimSuffix(strings.Repeat(`{"properties":{"name":"p"}},`, 70), ",")
	b.do(201, "POST", "/crm/v3/objects/products/batch/create", `{"inputs":[%s]}`, inputs)
	got := []int{}
	for end := time.After(10 * time.Second); len(got) < 2; {
		select {
		case n := <-sizes:
			got = append(got, n)
		case <-end:
			t.Fatalf("deliveries %v", got)
		}
	}
	if got[0] != 100 || got[1] != 40 {
		t.Errorf("deliveries of %v events, want 100 and 40", got)
	}
}
