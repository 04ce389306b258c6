package hubspot

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

const hookURL = "https://tieout.example/webhooks/hubspot"

// hook is a receiver with a secret of its own.
func hook(now time.Time) *webhook {
	return &webhook{secret: "shh", now: func() time.Time { return now }}
}

// signed is a delivery signed at a moment for a URI as HubSpot sees it.
func signed(uri, body string, at time.Time) *http.Request {
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte("shh"))
	mac.Write([]byte("POST" + uri + body + ms))
	r := httptest.NewRequest(http.MethodPost, "/webhooks/hubspot", nil)
	r.Header.Set("X-HubSpot-Request-Timestamp", ms)
	r.Header.Set("X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return r
}

func TestSignatureVersion3(t *testing.T) {
	now := newClock().Now()
	const body = `[]`
	for name, c := range map[string]struct {
		uri, public string
		at          time.Time
		body        string
		kind        fault.Kind
	}{
		"good":              {hookURL, hookURL, now, body, fault.OK},
		"four minutes old":  {hookURL, hookURL, now.Add(-4 * time.Minute), body, fault.OK},
		"six minutes old":   {hookURL, hookURL, now.Add(-6 * time.Minute), body, fault.Unauthorized},
		"from the future":   {hookURL, hookURL, now.Add(6 * time.Minute), body, fault.Unauthorized},
		"another URL":       {hookURL + "2", hookURL, now, body, fault.Unauthorized},
		"another body":      {hookURL, hookURL, now, `[ ]`, fault.Unauthorized},
		"encoded in config": {hookURL + "?a=x:/@!$'()*,;y", hookURL + "?a=x%3A%2f%40%21%24%27%28%29%2A%2C%3by", now, body, fault.OK},
		"space stays":       {hookURL + "?a=x%20y%26", hookURL + "?a=x%20y%26", now, body, fault.OK},
	} {
		_, err := hook(now).Receive(signed(c.uri, body, c.at), c.public, []byte(c.body))
		if fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, header := range []string{"X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"} {
		for _, value := range []string{"", "!!"} {
			r := signed(hookURL, body, now)
			r.Header.Set(header, value)
			if _, err := hook(now).Receive(r, hookURL, []byte(body)); fault.KindOf(err) != fault.Unauthorized {
				t.Errorf("%s %q: %v", header, value, err)
			}
		}
	}
	drill.Injected(t, 8, 88) // what was refused above
}

func receive(t *testing.T, body string) ([]connector.Hint, error) {
	t.Helper()
	now := newClock().Now()
	return hook(now).Receive(signed(hookURL, body, now), hookURL, []byte(body))
}

func TestEventsBecomeHints(t *testing.T) {
	for name, c := range map[string]struct{ body, ref string }{
		"typed":           {`[{"subscriptionType":"deal.propertyChange","portalId":48213,"objectId":7,"eventId":1}]`, "hubspot/48213/deal/7"},
		"generic":         {`[{"subscriptionType":"object.creation","objectTypeId":"0-2","portalId":48213,"objectId":7}]`, "hubspot/48213/company/7"},
		"another portal":  {`[{"subscriptionType":"contact.deletion","portalId":1,"objectId":"7"}]`, "hubspot/1/contact/7"},
		"child":           {`[{"subscriptionType":"line_item.propertyChange","portalId":48213,"objectId":7}]`, "hubspot/48213/line_item/7"},
		"deal to company": {`[{"subscriptionType":"deal.associationChange","associationType":"DEAL_TO_COMPANY","portalId":48213,"fromObjectId":7,"toObjectId":8}]`, "hubspot/48213/deal/7"},
		"line to deal":    {`[{"subscriptionType":"line_item.associationChange","associationType":"LINE_ITEM_TO_DEAL","portalId":48213,"fromObjectId":8,"toObjectId":7}]`, "hubspot/48213/deal/7"},
		"contact company": {`[{"subscriptionType":"company.associationChange","associationType":"COMPANY_TO_CONTACT","portalId":48213,"fromObjectId":8,"toObjectId":7}]`, "hubspot/48213/contact/7"},
		"generic ends":    {`[{"subscriptionType":"object.associationChange","fromObjectTypeId":"0-2","toObjectTypeId":"0-3","portalId":48213,"fromObjectId":8,"toObjectId":7}]`, "hubspot/48213/deal/7"},
		"merge":           {`[{"subscriptionType":"company.merge","portalId":48213,"primaryObjectId":5,"mergedObjectIds":[6],"newObjectId":7}]`, "hubspot/48213/company/7"},
		"merge in place":  {`[{"subscriptionType":"company.merge","portalId":48213,"primaryObjectId":7,"mergedObjectIds":[6],"newObjectId":null}]`, "hubspot/48213/company/7"},
		"ticket":          {`[{"subscriptionType":"ticket.creation","portalId":48213,"objectId":7}]`, ""},
		"conversation":    {`[{"subscriptionType":"conversation.newMessage","portalId":48213,"objectId":7}]`, ""},
	} {
		hints, err := receive(t, c.body)
		got := ""
		if len(hints) == 1 {
			got = hints[0].Ref.String()
		}
		if err != nil || got != c.ref {
			t.Errorf("%s: %v %v, want %q", name, hints, err, c.ref)
		}
	}
}

func TestARetryIsTheSameDeliveryAndNothingElseIs(t *testing.T) {
	id := func(body string) string {
		hints, err := receive(t, body)
		if err != nil || len(hints) != 1 {
			t.Fatal(hints, err)
		}
		return hints[0].DeliveryID
	}
	first := id(`[{"eventId":1,"subscriptionType":"deal.propertyChange","portalId":1,"objectId":7,"occurredAt":5,"propertyName":"amount","propertyValue":"1","attemptNumber":0}]`)
	if id(`[{"eventId":1,"subscriptionType":"deal.propertyChange","portalId":1,"objectId":7,"occurredAt":5,"propertyName":"amount","propertyValue":"1","attemptNumber":3}]`) != first {
		t.Error("a retry is another delivery")
	}
	if id(`[{"eventId":1,"subscriptionType":"deal.propertyChange","portalId":1,"objectId":7,"occurredAt":5,"propertyName":"amount","propertyValue":"2","attemptNumber":0}]`) == first {
		t.Error("event ids are not unique, and another value was taken for the same delivery")
	}
}

func TestBadBodiesAreRejected(t *testing.T) {
	for _, body := range []string{`{}`, `[{"objectId":"1; DROP"}]`, `[{"objectId":1,"objectId":2}]`, `[`, ``, `null`, `"x"`} {
		if _, err := receive(t, body); fault.KindOf(err) != fault.Rejected {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestSandboxDeliveriesAreUnderstood runs both forms through the wire.
func TestSandboxDeliveriesAreUnderstood(t *testing.T) {
	for _, form := range []string{"typed", "generic"} {
		t.Run(form, func(t *testing.T) {
			s := newStage(t, nil)
			got := make(chan connector.Hint, 1000)
			var public string
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				hints, err := s.conn.Webhook.Receive(r, public, body)
				if err != nil {
					t.Error(err)
				}
				for _, h := range hints {
					got <- h
				}
			}))
			defer srv.Close()
			public = srv.URL + "/webhooks/hubspot"
			s.control("settings", map[string]any{"webhook_form": form, "webhooks": map[string]any{"target": public}})
			w := s.world()
			other := s.create("companies", props{"name": "B"})
			merged := s.call("POST", "/crm/v3/objects/companies/merge", map[string]string{"primaryObjectId": w.company, "objectIdToMerge": other})["id"].(string)
			want := []string{
				s.ref("company", w.company).String(), s.ref("contact", w.contact).String(), s.ref("product", w.product).String(),
				s.ref("line_item", w.line).String(), s.ref("deal", w.deal).String(), s.ref("company", merged).String(),
			}
			for end := time.After(10 * time.Second); len(want) > 0; {
				select {
				case h := <-got:
					want = slices.DeleteFunc(want, func(r string) bool { return r == h.Ref.String() })
				case <-end:
					t.Fatalf("no hint for %v", want)
				}
			}
		})
	}
}

// No delivery makes the decoder panic; each hint names a record that can be
// read and stored, and what is forged is refused before it is read.
func FuzzWebhook(f *testing.F) {
	for _, s := range []string{
		`[{"subscriptionType":"deal.propertyChange","portalId":48213,"objectId":7,"eventId":1,"propertyValue":{"a":[1,null]}}]`,
		`[{"subscriptionType":"object.associationChange","fromObjectTypeId":"0-2","toObjectTypeId":"0-3","portalId":48213,"fromObjectId":8,"toObjectId":7}]`,
		`[{"subscriptionType":"company.merge","portalId":48213,"primaryObjectId":5,"mergedObjectIds":[6],"newObjectId":null}]`,
		`[null]`, `[[]]`, `null`, `[{"portalId":"1/2","objectId":"7","subscriptionType":"deal.creation"}]`, `[{"portalId":1,"objectId":1e9,"subscriptionType":"deal.creation"}]`, `[{}`,
	} {
		f.Add([]byte(s))
	}
	now := newClock().Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		hints, err := hook(now).Receive(signed(hookURL, string(body), now), hookURL, body)
		if err != nil && (fault.KindOf(err) != fault.Rejected || hints != nil) {
			t.Fatalf("%v, %v", hints, err)
		}
		if err == nil && !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
			t.Fatalf("%q was taken", body)
		}
		for _, h := range hints {
			if again, err := event.ParseRef(h.Ref.String()); err != nil || again != h.Ref || h.DeliveryID == "" {
				t.Fatalf("hint %+v of %q: %v", h, body, err)
			}
		}
		if _, err := hook(now).Receive(signed(hookURL, string(body)+" ", now), hookURL, body); fault.KindOf(err) != fault.Unauthorized {
			t.Fatalf("forged: %v", err)
		}
	})
}
