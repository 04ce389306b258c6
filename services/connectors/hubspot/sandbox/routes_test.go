package sandbox

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestObjectLife(t *testing.T) {
	b := open(t, "")
	for plural, p := range map[string]string{"companies": "name", "contacts": "firstname", "deals": "dealname", "line_items": "name", "products": "name"} {
		id := b.make(plural, fmt.Sprintf(`{%q:"one"}`, p))
		path := "/crm/v3/objects/" + plural + "/" + id
		b.clock.move(time.Second)
		if r := b.do(200, "PATCH", path, `{"properties":{%q:"two"}}`, p); r.at("properties", p) != "two" || r.at("updatedAt") == r.at("createdAt") {
			t.Errorf("%s: %s", plural, r.raw)
		}
		r := b.do(200, "GET", path+"?properties="+p+",description,no_such", "")
		if r.at("properties", p) != "two" || r.at("archived") != "false" || r.at("properties", "hs_object_id") != id {
			t.Errorf("%s: %s", plural, r.raw)
		}
		if _, there := r.body["properties"].(map[string]any)["no_such"]; there {
			t.Errorf("%s: an unknown property is answered", plural)
		}
		b.do(204, "DELETE", path, "")
		b.do(204, "DELETE", path, "")
		b.do(404, "GET", path, "")
		b.do(404, "PATCH", path, `{"properties":{%q:"3"}}`, p)
		if r := b.do(200, "GET", path+"?archived=true", ""); r.at("archivedAt") == "" {
			t.Errorf("%s: %s", plural, r.raw)
		}
		if r := b.do(200, "GET", "/crm/v3/objects/"+plural, ""); r.at("results", 0) != "<none>" {
			t.Errorf("%s: archived is listed: %s", plural, r.raw)
		}
	}
}

func TestPropertiesNullAndHistory(t *testing.T) {
	b := open(t, "")
	id := b.make("deals", `{"dealname":"x","amount":"1"}`)
	b.do(200, "PATCH", "/crm/v3/objects/deals/"+id, `{"properties":{"amount":"","dealname":null}}`)
	r := b.do(200, "GET", "/crm/v3/objects/deals/"+id+"?properties=amount", "")
	if r.at("properties", "amount") != "<nil>" {
		t.Errorf("%s", r.raw)
	}
}

func TestDealsFollowTheirStage(t *testing.T) {
	b := open(t, "")
	made := b.do(201, "POST", "/crm/v3/pipelines/deals", `{"label":"P","stages":[{"label":"In","metadata":{"probability":"0.1"}},{"label":"Yes","metadata":{"probability":"1.0"}}]}`)
	pipe, yes := made.at("id"), made.at("stages", 1, "id")
	id := b.make("deals", `{"dealname":"x","dealstage":"contractsent"}`)
	path := "/crm/v3/objects/deals/" + id
	for _, c := range []struct{ set, closed, won string }{
		{`"dealstage":"closedwon"`, "true", "true"},
		{`"dealstage":"closedlost"`, "true", "false"},
		{`"dealstage":"appointmentscheduled"`, "false", "false"},
		{fmt.Sprintf(`"pipeline":%q,"dealstage":%q`, pipe, yes), "true", "true"},
	} {
		b.clock.move(time.Hour)
		b.do(200, "PATCH", path, `{"properties":{%s}}`, c.set)
		r := b.do(200, "GET", path+"?properties=hs_is_closed,hs_is_closed_won,closedate", "")
		if r.at("properties", "hs_is_closed") != c.closed || r.at("properties", "hs_is_closed_won") != c.won {
			t.Errorf("%s: %s", c.set, r.raw)
		}
		if c.closed == "true" && !strings.HasPrefix(r.at("properties", "closedate"), "2026-11-24T1") {
			t.Errorf("%s: %s", c.set, r.raw)
		}
	}
	b.do(400, "PATCH", path, `{"properties":{"pipeline":"default"}}`) // the stage is of the other pipeline
	b.do(200, "PATCH", "/crm/v3/pipelines/deals/"+pipe+"/stages/"+yes, `{"label":"Signed"}`)
	b.do(201, "POST", "/crm/v3/pipelines/deals/"+pipe+"/stages", `{"label":"No","metadata":{"probability":"0.0"}}`)
	if r := b.do(200, "GET", "/crm/v3/pipelines/deals/"+pipe+"/stages", ""); r.at("results", 1, "label") != "Signed" || r.at("results", 2, "metadata", "isClosed") != "true" {
		t.Errorf("%s", r.raw)
	}
	b.do(200, "PATCH", "/crm/v3/pipelines/deals/"+pipe, `{"label":"Q"}`)
	if r := b.do(200, "GET", "/crm/v3/pipelines/deals/"+pipe, ""); r.at("label") != "Q" {
		t.Errorf("%s", r.raw)
	}
	b.do(404, "GET", "/crm/v3/pipelines/deals/none", "")
}

// A discount is an amount of each unit; a percentage is of the line.
func TestLineAmounts(t *testing.T) {
	b := open(t, "")
	product := b.make("products", `{"name":"P","price":"7.5","hs_sku":"S"}`)
	for props, want := range map[string]string{
		`"quantity":"3","price":"33.33"`:                                                "99.99",
		`"quantity":"2","price":"10","discount":"0.5"`:                                  "19",
		`"quantity":"3","price":"10","hs_discount_percentage":"33.333"`:                 "20",
		`"quantity":"1","price":"0.125"`:                                                "0.13",
		`"quantity":"1","price":"1.5","hs_line_item_currency_code":"JPY"`:               "2",
		`"quantity":"1","price":"1.2345","hs_line_item_currency_code":"KWD"`:            "1.235",
		`"quantity":"2","hs_product_id":"` + product + `"`:                              "15",
		`"quantity":"2","hs_product_id":"` + product + `","price":"1","name":"Another"`: "2",
		`"quantity":"-1","price":"10"`:                                                  "-10",
	} {
		r := b.do(201, "POST", "/crm/v3/objects/line_items", `{"properties":{%s}}`, props)
		if r.at("properties", "amount") != want {
			t.Errorf("%s: amount %s, want %s", props, r.at("properties", "amount"), want)
		}
		if strings.Contains(props, product) && r.at("properties", "hs_sku") != "S" {
			t.Errorf("%s: %s", props, r.raw)
		}
	}
}

func TestAChangedLineTouchesItsDealOnlyByItsValue(t *testing.T) {
	b := open(t, "")
	line := b.make("line_items", `{"name":"a","price":"10"}`)
	deal := b.make("deals", `{"dealname":"d"}`, to(line, 19))
	modified := func() string {
		return b.do(200, "GET", "/crm/v3/objects/deals/"+deal, "").at("properties", "hs_lastmodifieddate")
	}
	was := modified()
	b.clock.move(time.Minute)
	b.do(200, "PATCH", "/crm/v3/objects/line_items/"+line, `{"properties":{"name":"b"}}`)
	if modified() != was {
		t.Error("a new name touched the deal")
	}
	b.do(200, "PATCH", "/crm/v3/objects/line_items/"+line, `{"properties":{"price":"11"}}`)
	if modified() == was {
		t.Error("a new price did not touch the deal")
	}
}

func TestListPages(t *testing.T) {
	b := open(t, "")
	want := ""
	for i := range 7 {
		want += b.make("products", fmt.Sprintf(`{"name":"p%d"}`, i)) + " "
	}
	got, after := "", ""
	for {
		r := b.do(200, "GET", "/crm/v3/objects/products?limit=3&after="+after, "")
		for i := range r.body["results"].([]any) {
			got += r.at("results", i, "id") + " "
		}
		if after = r.at("paging", "next", "after"); after == "<nil>" {
			break
		}
	}
	if got != want {
		t.Errorf("got %s want %s", got, want)
	}
	b.do(400, "GET", "/crm/v3/objects/products?limit=101", "")
	b.do(400, "GET", "/crm/v3/objects/products?after=x", "")
}

func TestBatches(t *testing.T) {
	b := open(t, "")
	r := b.do(207, "POST", "/crm/v3/objects/deals/batch/create", `{"inputs":[{"properties":{"dealname":"a"}},{"properties":{"no_such":"b"}}]}`)
	if r.at("results", 0, "properties", "dealname") != "a" || r.at("numErrors") != "1" || r.at("errors", 0, "category") != "VALIDATION_ERROR" {
		t.Errorf("create: %s", r.raw)
	}
	id := r.at("results", 0, "id")
	b.do(400, "POST", "/crm/v3/objects/deals/batch/create", `{"inputs":[{"properties":{"no_such":"b"}}]}`)
	r = b.do(207, "POST", "/crm/v3/objects/deals/batch/update", `{"inputs":[{"id":%q,"properties":{"amount":"2"}},{"id":"77","properties":{}}]}`, id)
	if r.at("results", 0, "properties", "amount") != "2" || r.at("errors", 0, "context", "ids", 0) != "77" {
		t.Errorf("update: %s", r.raw)
	}
	r = b.do(207, "POST", "/crm/v3/objects/deals/batch/read", `{"inputs":[{"id":"77"},{"id":%q}],"properties":["amount"]}`, id)
	if r.at("results", 0, "properties", "amount") != "2" || r.at("errors", 0, "category") != "OBJECT_NOT_FOUND" {
		t.Errorf("read: %s", r.raw)
	}
	b.do(201, "POST", "/crm/v3/properties/deals", `{"name":"ext","label":"x","type":"string","fieldType":"text","groupName":"dealinformation","hasUniqueValue":true}`)
	for _, isNew := range []string{"true", "false"} {
		r = b.do(200, "POST", "/crm/v3/objects/deals/batch/upsert", `{"inputs":[{"id":"e1","idProperty":"ext","properties":{"dealname":"u"}}]}`)
		if r.at("results", 0, "new") != isNew {
			t.Errorf("upsert: %s", r.raw)
		}
	}
	b.do(400, "POST", "/crm/v3/objects/deals/batch/upsert", `{"inputs":[{"id":"e1","idProperty":"dealname","properties":{}}]}`)
	b.do(204, "POST", "/crm/v3/objects/deals/batch/archive", `{"inputs":[{"id":%q}]}`, id)
	b.do(404, "GET", "/crm/v3/objects/deals/"+id, "")
	many := strings.TrimSuffix(strings.Repeat(`{"id":"1"},`, 101), ",")
	for _, name := range []string{"read", "create", "update", "upsert", "archive"} {
		b.do(400, "POST", "/crm/v3/objects/deals/batch/"+name, `{"inputs":[%s]}`, many)
		b.do(400, "POST", "/crm/v3/objects/deals/batch/"+name, `{"inputs":[]}`)
	}
}

func TestAssociations(t *testing.T) {
	b := open(t, "")
	a, c := b.make("companies", `{"name":"A"}`), b.make("companies", `{"name":"C"}`)
	deal := b.make("deals", `{"dealname":"d"}`, to(a, 5), to(c, 341))
	v4 := "/crm/v4/objects/deals/" + deal + "/associations/companies"
	r := b.do(200, "GET", v4, "")
	if r.at("results", 0, "associationTypes", 0, "label") != "Primary" || r.at("results", 0, "associationTypes", 1, "typeId") != "341" || r.at("results", 0, "toObjectId") != a || r.at("results", 1, "associationTypes", 0, "label") != "<nil>" {
		t.Errorf("%s", r.raw)
	}
	if r := b.do(200, "GET", v4+"?limit=1", ""); r.at("paging", "next", "after") != "1" || r.at("results", 1) != "<none>" {
		t.Errorf("%s", r.raw)
	}
	b.do(201, "PUT", v4+"/"+c, `[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":5}]`)
	r = b.do(200, "GET", "/crm/v3/objects/deals/"+deal+"?associations=companies&properties=hs_primary_associated_company", "")
	if r.at("properties", "hs_primary_associated_company") != c || strings.Count(string(r.raw), "deal_to_company_unlabeled") != 2 || strings.Count(string(r.raw), `"deal_to_company"`) != 1 {
		t.Errorf("%s", r.raw)
	}
	if r := b.do(200, "GET", "/crm/v4/objects/companies/"+c+"/associations/deals", ""); r.at("results", 0, "associationTypes", 0, "typeId") != "6" {
		t.Errorf("%s", r.raw)
	}
	b.do(204, "POST", "/crm/v4/associations/deals/companies/batch/labels/archive", `{"inputs":[{"from":{"id":%q},"to":{"id":%q},"types":[{"associationTypeId":5}]}]}`, deal, c)
	if r := b.do(200, "GET", v4, ""); strings.Contains(string(r.raw), "Primary") || r.at("results", 1, "toObjectId") != c {
		t.Errorf("%s", r.raw)
	}
	b.do(204, "DELETE", v4+"/"+a, "")
	b.do(204, "POST", "/crm/v4/associations/deals/companies/batch/archive", `{"inputs":[{"from":{"id":%q},"to":[{"id":%q}]}]}`, deal, c)
	if r := b.do(200, "GET", v4, ""); r.at("results", 0) != "<none>" {
		t.Errorf("%s", r.raw)
	}
	r = b.do(207, "POST", "/crm/v4/associations/deals/companies/batch/read", `{"inputs":[{"id":%q}]}`, deal)
	if r.at("errors", 0, "context", "fromObjectId", 0) != deal || r.at("errors", 0, "category") != "OBJECT_NOT_FOUND" {
		t.Errorf("%s", r.raw)
	}
	b.do(200, "PUT", "/crm/v4/objects/deals/"+deal+"/associations/default/companies/"+a, "")
	b.do(200, "POST", "/crm/v4/associations/deals/companies/batch/associate/default", `{"inputs":[{"from":{"id":%q},"to":{"id":%q}}]}`, deal, c)
	b.do(207, "POST", "/crm/v4/associations/deals/companies/batch/create", `{"inputs":[{"from":{"id":%q},"to":{"id":%q},"types":[{"associationTypeId":5}]},{"from":{"id":"7"},"to":{"id":%q},"types":[{"associationTypeId":5}]}]}`, deal, a, a)
	if r := b.do(200, "GET", "/crm/v4/associations/deals/line_items/labels", ""); r.at("results", 0, "typeId") != "19" {
		t.Errorf("%s", r.raw)
	}
	b.do(400, "PUT", v4+"/"+a, `[{"associationTypeId":3}]`)
	b.do(404, "PUT", v4+"/77", `[{"associationTypeId":5}]`)
	b.do(400, "POST", "/crm/v3/objects/deals", `{"properties":{"dealname":"x"},"associations":[%s]}`, to(a, 999))
	b.do(404, "POST", "/crm/v3/objects/deals", `{"properties":{"dealname":"x"},"associations":[%s]}`, to("77", 5))
}

func TestMergeMakesANewID(t *testing.T) {
	b := open(t, "")
	a, c := b.make("contacts", `{"email":"a@x.example","firstname":"A"}`), b.make("contacts", `{"email":"c@x.example","lastname":"C"}`)
	deal := b.make("deals", `{"dealname":"d"}`, to(c, 3))
	r := b.do(200, "POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":%q,"objectIdToMerge":%q}`, a, c)
	id := r.at("id")
	if id == a || id == c || r.at("properties", "firstname") != "A" || r.at("properties", "lastname") != "C" || r.at("properties", "email") != "a@x.example" {
		t.Errorf("%s", r.raw)
	}
	for _, old := range []string{a, c} {
		if r := b.do(200, "GET", "/crm/v3/objects/contacts/"+old+"?properties=hs_merged_object_ids", ""); r.at("id") != id || r.at("properties", "hs_merged_object_ids") != a+";"+c {
			t.Errorf("%s", r.raw)
		}
	}
	if r := b.do(200, "GET", "/crm/v4/objects/deals/"+deal+"/associations/contacts", ""); r.at("results", 0, "toObjectId") != id || r.at("results", 1) != "<none>" {
		t.Errorf("%s", r.raw)
	}
	for _, archived := range []string{"", "&archived=true"} {
		if r := b.do(200, "GET", "/crm/v3/objects/contacts?limit=100"+archived, ""); strings.Contains(string(r.raw), `"id":"`+a+`"`) {
			t.Errorf("%s", r.raw)
		}
	}
	b.do(409, "POST", "/crm/v3/objects/contacts", `{"properties":{"email":"a@x.example"}}`)
	again := b.make("contacts", `{"email":"e@x.example"}`)
	if r := b.do(200, "POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":%q,"objectIdToMerge":%q}`, a, again); r.at("properties", "hs_merged_object_ids") != strings.Join([]string{a, c, id, again}, ";") {
		t.Errorf("%s", r.raw)
	}
	b.do(404, "POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":%q,"objectIdToMerge":"77"}`, again)
	b.do(400, "POST", "/crm/v3/objects/products/merge", `{"primaryObjectId":"1","objectIdToMerge":"2"}`)
}

func TestSearch(t *testing.T) {
	b := open(t, "")
	b.unlimited()
	ids := map[string]string{}
	for name, props := range map[string]string{
		"a": `{"dealname":"Alpha","amount":"9.5"}`, "b": `{"dealname":"Beta","amount":"10"}`, "c": `{"dealname":"Gamma"}`,
	} {
		ids[name] = b.make("deals", props)
	}
	for filters, want := range map[string]string{
		`{"propertyName":"dealname","operator":"EQ","value":"alpha"}`:                                                    "a",
		`{"propertyName":"dealname","operator":"NEQ","value":"Alpha"}`:                                                   "bc",
		`{"propertyName":"amount","operator":"GT","value":"9.50"}`:                                                       "b",
		`{"propertyName":"amount","operator":"GTE","value":"9.50"}`:                                                      "ab",
		`{"propertyName":"amount","operator":"LT","value":"10.0"}`:                                                       "a",
		`{"propertyName":"amount","operator":"LTE","value":"10.0"}`:                                                      "ab",
		`{"propertyName":"amount","operator":"BETWEEN","value":"9","highValue":"9.9"}`:                                   "a",
		`{"propertyName":"amount","operator":"HAS_PROPERTY"}`:                                                            "ab",
		`{"propertyName":"amount","operator":"NOT_HAS_PROPERTY"}`:                                                        "c",
		`{"propertyName":"dealname","operator":"IN","values":["beta","gamma"]}`:                                          "bc",
		`{"propertyName":"dealname","operator":"NOT_IN","values":["beta","gamma"]}`:                                      "a",
		`{"propertyName":"dealname","operator":"CONTAINS_TOKEN","value":"*amm*"}`:                                        "c",
		`{"propertyName":"hs_lastmodifieddate","operator":"GTE","value":"1763985600000"}`:                                "abc",
		`{"propertyName":"hs_lastmodifieddate","operator":"GT","value":"2026-11-24T12:00:00Z"}`:                          "",
		`{"propertyName":"amount","operator":"HAS_PROPERTY"},{"propertyName":"dealname","operator":"EQ","value":"Beta"}`: "b",
	} {
		r := b.do(200, "POST", "/crm/v3/objects/deals/search", `{"filterGroups":[{"filters":[%s]}],"limit":200}`, filters)
		for name, id := range ids {
			if strings.Contains(string(r.raw), `"id":"`+id+`"`) != strings.Contains(want, name) {
				t.Errorf("%s: %s", filters, r.raw)
			}
		}
		if r.at("total") != fmt.Sprint(len(want)) {
			t.Errorf("%s: total %s", filters, r.at("total"))
		}
	}
	r := b.do(200, "POST", "/crm/v3/objects/deals/search", `{"sorts":["-dealname"],"limit":1,"after":"1"}`)
	if r.at("results", 0, "id") != ids["b"] || r.at("paging", "next", "after") != "2" {
		t.Errorf("%s", r.raw)
	}
	for _, bad := range []string{
		`{"limit":201}`, `{"limit":1,"after":"10000"}`, `{"sorts":["a","b"]}`, `{"sorts":["no_such"]}`, `not json`,
		`{"filterGroups":[{"filters":[{"propertyName":"amount","operator":"LIKE","value":"1"}]}]}`,
		`{"filterGroups":[{"filters":[{"propertyName":"amount","operator":"BETWEEN","value":"1"}]}]}`,
	} {
		if r := b.send("POST", "/crm/v3/objects/deals/search", bad); r.status != 400 || r.at("category") != "VALIDATION_ERROR" {
			t.Errorf("%s: %d %s", bad, r.status, r.raw)
		}
	}
}

func TestTheIndexLags(t *testing.T) {
	b := open(t, "")
	b.do(200, "POST", "/_sandbox/settings", `{"search_lag":"30s"}`)
	id := b.make("deals", `{"dealname":"old"}`)
	total := func(name string) string {
		return b.do(200, "POST", "/crm/v3/objects/deals/search", `{"filterGroups":[{"filters":[{"propertyName":"dealname","operator":"EQ","value":%q}]}]}`, name).at("total")
	}
	if total("old") != "0" {
		t.Error("seen at once")
	}
	b.clock.move(31 * time.Second)
	b.do(200, "PATCH", "/crm/v3/objects/deals/"+id, `{"properties":{"dealname":"new"}}`)
	if total("old") != "1" || total("new") != "0" {
		t.Error("the index does not show what held a while ago")
	}
	b.clock.move(31 * time.Second)
	if total("old") != "0" || total("new") != "1" {
		t.Error("the index does not catch up")
	}
}

func TestPropertiesOfThePortal(t *testing.T) {
	b := open(t, "")
	for _, plural := range []string{"companies", "contacts", "deals", "line_items", "products"} {
		r := b.do(200, "GET", "/crm/v3/properties/"+plural, "")
		if len(r.body["results"].([]any)) < 10 {
			t.Errorf("%s: %s", plural, r.raw)
		}
	}
	const vat = `{"name":"vat_number","label":"VAT","type":"string","fieldType":"text","groupName":"companyinformation"}`
	b.do(201, "POST", "/crm/v3/properties/companies", vat)
	b.make("companies", `{"name":"A","vat_number":"IE1"}`)
	if r := b.do(200, "GET", "/crm/v3/properties/companies/vat_number", ""); r.at("hubspotDefined") != "false" {
		t.Errorf("%s", r.raw)
	}
	if r := b.do(200, "GET", "/crm/v3/properties/deals/deal_currency_code", ""); r.at("options", 4, "value") != "KWD" {
		t.Errorf("%s", r.raw)
	}
	for _, bad := range []string{`{"name":"Upper","label":"x","type":"string","fieldType":"text","groupName":"companyinformation"}`,
		`{"name":"x","label":"x","type":"money","fieldType":"text","groupName":"companyinformation"}`,
		`{"name":"x","label":"x","type":"string","fieldType":"text","groupName":"nogroup"}`} {
		b.do(400, "POST", "/crm/v3/properties/companies", "%s", bad)
	}
	b.do(200, "GET", "/crm/v3/properties/deals/groups", "")
}

func TestOAuth(t *testing.T) {
	b := open(t, "")
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {b.portal.ClientID}, "client_secret": {b.portal.AppSecret}, "refresh_token": {b.portal.RefreshToken}}
	r := b.do(200, "POST", "/oauth/v1/token", "%s", form.Encode())
	if r.at("expires_in") != "1800" || r.at("refresh_token") != b.portal.RefreshToken {
		t.Errorf("%s", r.raw)
	}
	b.token = r.at("access_token")
	b.do(200, "GET", "/account-info/v3/details", "")
	if r := b.do(200, "GET", "/oauth/v1/access-tokens/"+b.token, ""); r.at("hub_id") != "48213" {
		t.Errorf("%s", r.raw)
	}
	b.clock.move(31 * time.Minute)
	if r := b.do(401, "GET", "/account-info/v3/details", ""); r.at("category") != "EXPIRED_AUTHENTICATION" {
		t.Errorf("%s", r.raw)
	}
	for key, status := range map[string]string{"refresh_token": "BAD_REFRESH_TOKEN", "client_secret": "BAD_CLIENT_SECRET", "grant_type": "BAD_GRANT_TYPE"} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong.Set(key, "x")
		if r := b.do(400, "POST", "/oauth/v1/token", "%s", wrong.Encode()); r.at("status") != status {
			t.Errorf("%s: %s", key, r.raw)
		}
	}
}
