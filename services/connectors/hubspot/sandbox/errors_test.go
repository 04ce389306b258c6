package sandbox

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestErrorShapes(t *testing.T) {
	b := open(t, "")
	b.unlimited()
	deal := b.make("deals", `{"dealname":"d"}`)
	contact := b.make("contacts", `{"email":"a@x.example"}`)
	b.do(201, "POST", "/crm/v3/properties/deals", `{"name":"ext","label":"x","type":"string","fieldType":"text","groupName":"dealinformation","hasUniqueValue":true}`)
	b.make("deals", `{"ext":"1"}`)
	id := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		category, text     string
	}{
		"unknown object":   {"GET", "/crm/v3/objects/deals/77", "", 404, "OBJECT_NOT_FOUND", "resource not found"},
		"unknown path":     {"GET", "/crm/v3/nothing", "", 404, "OBJECT_NOT_FOUND", ""},
		"unknown type":     {"GET", "/crm/v3/objects/spaceships", "", 400, "VALIDATION_ERROR", "Unable to infer object type from: spaceships"},
		"wrong method":     {"PUT", "/crm/v3/objects/deals", "", 405, "METHOD_NOT_ALLOWED", ""},
		"no JSON":          {"POST", "/crm/v3/objects/deals", "{", 400, "VALIDATION_ERROR", "Invalid input JSON"},
		"unknown property": {"POST", "/crm/v3/objects/deals", `{"properties":{"nope":"1"}}`, 400, "VALIDATION_ERROR", `"error":"PROPERTY_DOESNT_EXIST","name":"nope"`},
		"stage":            {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"dealstage":"x"}}`, 400, "VALIDATION_ERROR", "x was not one of the allowed options"},
		"pipeline":         {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"pipeline":"x"}}`, 400, "VALIDATION_ERROR", "INVALID_OPTION"},
		"currency":         {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"deal_currency_code":"SEK"}}`, 400, "VALIDATION_ERROR", "INVALID_OPTION"},
		"number":           {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"amount":"1,5"}}`, 400, "VALIDATION_ERROR", "INVALID_LONG"},
		"date":             {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"closedate":"soon"}}`, 400, "VALIDATION_ERROR", "INVALID_DATE"},
		"read only":        {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"hs_tcv":"1"}}`, 400, "VALIDATION_ERROR", "READ_ONLY_VALUE"},
		"unique":           {"PATCH", "/crm/v3/objects/deals/" + deal, `{"properties":{"ext":"1"}}`, 400, "VALIDATION_ERROR", "already has that value"},
		"e-mail":           {"POST", "/crm/v3/objects/contacts", `{"properties":{"email":"nobody"}}`, 400, "VALIDATION_ERROR", "INVALID_EMAIL"},
		"e-mail taken":     {"POST", "/crm/v3/objects/contacts", `{"properties":{"email":"A@X.example"}}`, 409, "CONFLICT", "Contact already exists. Existing ID: " + contact},
		"property exists":  {"POST", "/crm/v3/properties/deals", `{"name":"ext","label":"x","type":"string","fieldType":"text","groupName":"dealinformation"}`, 409, "OBJECT_ALREADY_EXISTS", ""},
	} {
		r := b.send(c.method, c.path, c.body)
		if r.status != c.status || r.at("status") != "error" || r.at("category") != c.category || !strings.Contains(r.at("message"), c.text) || !id.MatchString(r.at("correlationId")) {
			t.Errorf("%s: %d %s", name, r.status, r.raw)
		}
	}
	r := b.send("POST", "/crm/v3/objects/deals", `{"properties":{"nope":"1","amount":"x"}}`)
	if r.at("errors", 0, "code") != "INVALID_LONG" || r.at("errors", 1, "context", "propertyName", 0) != "nope" {
		t.Errorf("not all faults at once: %s", r.raw)
	}
	b.token = ""
	if r := b.do(401, "GET", "/crm/v3/objects/deals", ""); r.at("category") != "INVALID_AUTHENTICATION" {
		t.Errorf("%s", r.raw)
	}
}

func TestNothingOfARefusedRequestRemains(t *testing.T) {
	b := open(t, "")
	b.send("POST", "/crm/v3/objects/deals", fmt.Sprintf(`{"properties":{"dealname":"x"},"associations":[%s]}`, to("77", 5)))
	if r := b.do(200, "GET", "/crm/v3/objects/deals", ""); r.at("results", 0) != "<none>" {
		t.Errorf("%s", r.raw)
	}
}

func TestQuotas(t *testing.T) {
	b := open(t, "")
	for i := range 5 {
		if r := b.do(200, "POST", "/crm/v3/objects/deals/search", `{}`); r.header.Get("X-HubSpot-RateLimit-Max") != "" {
			t.Errorf("search %d has rate headers", i)
		}
	}
	r := b.do(429, "POST", "/crm/v3/objects/deals/search", `{}`)
	if r.at("message") != "You have reached your secondly limit." || r.at("policyName") != "SECONDLY" || r.at("errorType") != "RATE_LIMIT" {
		t.Errorf("%s", r.raw)
	}
	for i := range 95 {
		r = b.do(200, "GET", "/crm/v3/objects/deals", "")
		if want := fmt.Sprint(94 - i); r.header.Get("X-HubSpot-RateLimit-Remaining") != want {
			t.Fatalf("remaining %s, want %s", r.header.Get("X-HubSpot-RateLimit-Remaining"), want)
		}
	}
	r = b.do(429, "GET", "/crm/v3/objects/deals", "")
	if r.at("policyName") != "TEN_SECONDLY_ROLLING" || r.at("message") != "You have reached your ten_secondly_rolling limit." || r.header.Get("X-HubSpot-RateLimit-Interval-Milliseconds") != "10000" {
		t.Errorf("%s %v", r.raw, r.header)
	}
	main := b.token
	b.token = b.portal.ReaderToken
	b.do(200, "GET", "/crm/v3/objects/deals", "") // another app has its own
	b.token = main
	b.clock.move(10 * time.Second)
	b.do(200, "GET", "/crm/v3/objects/deals", "")
}

func TestVendorFaults(t *testing.T) {
	b := open(t, "")
	b.do(200, "POST", "/_sandbox/faults", `{"effect":"expire_token","times":1}`)
	if r := b.do(401, "GET", "/crm/v3/objects/deals", ""); r.at("category") != "EXPIRED_AUTHENTICATION" {
		t.Errorf("%s", r.raw)
	}
	b.do(200, "POST", "/_sandbox/faults", `{"effect":"partial_batch","times":1}`)
	r := b.do(207, "POST", "/crm/v3/objects/deals/batch/create", `{"inputs":[{"properties":{}},{"properties":{}},{"properties":{}}]}`)
	if len(r.body["results"].([]any)) != 2 || r.at("errors", 0, "category") != "INTERNAL_ERROR" {
		t.Errorf("%s", r.raw)
	}
	for status, want := range map[int]string{500: `"category":"INTERNAL_ERROR"`, 502: "<html>", 403: "MISSING_SCOPES", 423: "LOCKED"} {
		b.do(200, "POST", "/_sandbox/faults", `{"effect":"status","status":%d,"times":1}`, status)
		if r := b.do(status, "GET", "/crm/v3/objects/deals", ""); !strings.Contains(string(r.raw), want) {
			t.Errorf("%d: %s", status, r.raw)
		}
	}
}
