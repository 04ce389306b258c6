package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

const (
	appID       = 310687
	webhookMax  = 100 // events in one delivery
	formTyped   = "typed"
	formGeneric = "generic"
)

// hooks is how the app gets its webhooks.
type hooks struct {
	form   string // deal.creation, or object.creation with an objectTypeId
	secret string // of the app, known once the world is open
}

// Settings are the portal's own.
func (v *vendor) Settings() []string { return []string{"webhook_form", "consent"} }

// Configure takes webhook_form and consent.
func (v *vendor) Configure(settings map[string]json.RawMessage) error {
	next := map[string]string{"webhook_form": formTyped, "consent": consentAgree}
	words := map[string][]string{"webhook_form": {formTyped, formGeneric}, "consent": {consentAgree, consentDeny}}
	for key, raw := range settings {
		word := ""
		if err := json.Unmarshal(raw, &word); err != nil || !slices.Contains(words[key], word) {
			return fmt.Errorf("setting %s is %q or %q, not %s", key, words[key][0], words[key][1], raw)
		}
		next[key] = word
	}
	v.hooks.form, v.consent = next["webhook_form"], next["consent"]
	return nil
}

// Opened reads what Sign needs.
func (v *vendor) Opened(tx *engine.Tx) { v.hooks.secret = tx.Fact(factSecret) }

// Deliveries are the events of one request, up to 100 in each delivery.
func (v *vendor) Deliveries(changes []engine.Change, r *engine.Request) [][]byte {
	var events []map[string]any
	for _, c := range changes {
		events = append(events, v.events(c, r)...)
	}
	for i, e := range events {
		e["eventId"] = (r.N*1000 + int64(i)) % (1 << 32) // not promised to be unique
		e["portalId"], e["appId"], e["occurredAt"], e["attemptNumber"] = v.portal, appID, r.Now.UnixMilli(), 0
		e["subscriptionId"] = subscription(e["subscriptionType"])
		e["changeSource"], e["sourceId"] = "INTEGRATION", strconv.Itoa(appID)
	}
	var bodies [][]byte
	for chunk := range slices.Chunk(events, webhookMax) {
		if body, err := json.Marshal(chunk); err == nil {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func subscription(name any) int {
	h := sha256.Sum256(fmt.Append(nil, name))
	return 1000000 + int(h[0])<<8 + int(h[1])
}

func (v *vendor) events(c engine.Change, r *engine.Request) []map[string]any {
	before, after := lastBefore(c.Object, r.N), decode(c.Object.Last().Data)
	if c.Object.Type == "association" {
		return v.associationEvents(c.Object, before, after)
	}
	k := v.catalogue.kind(c.Object.Type)
	if k == nil {
		return nil
	}
	now := read(k, c.Object, after)
	switch {
	case now.mergedInto != "":
		return nil // the new record tells it
	case c.Object.Deleted:
		return []map[string]any{v.event(k, "deletion", c.Object.ID, "changeFlag", "DELETED")}
	}
	out := v.propertyEvents(k, before, now)
	if c.Created {
		first := v.event(k, "creation", c.Object.ID, "changeFlag", "NEW")
		if merged := now.merged(); len(merged) > 0 {
			first = v.mergeEvent(k, now, changesOf(r))
		}
		return append([]map[string]any{first}, out...)
	}
	return out
}

// lastBefore is what the object said before the request, nil if it was not.
func lastBefore(o *engine.Object, n int64) map[string]any {
	for i := len(o.Versions) - 1; i >= 0; i-- {
		if o.Versions[i].Request != n {
			return decode(o.Versions[i].Data)
		}
	}
	return nil
}

func decode(raw []byte) map[string]any {
	m, err := engine.Decode(raw)
	if err != nil {
		return map[string]any{}
	}
	return m
}

// event is one item of a delivery, in the form the app asked for.
func (v *vendor) event(k *kind, what, id string, more ...any) map[string]any {
	e := map[string]any{}
	if id != "" {
		e["objectId"] = json.Number(id)
	}
	for i := 0; i+1 < len(more); i += 2 {
		e[more[i].(string)] = more[i+1]
	}
	e["subscriptionType"] = k.name + "." + what
	if v.hooks.form == formGeneric {
		e["subscriptionType"], e["objectTypeId"] = "object."+what, k.typeID
	}
	return e
}

// propertyEvents tell of every property a person or an app may set; what the
// portal computes is not subscribed to.
func (v *vendor) propertyEvents(k *kind, before map[string]any, now *record) []map[string]any {
	old, _ := before["properties"].(map[string]any)
	names := slices.Sorted(maps.Keys(now.props))
	for name := range old {
		if _, ok := now.props[name]; !ok {
			names = append(names, name)
		}
	}
	var out []map[string]any
	for _, name := range names {
		was, _ := old[name].(string)
		if was == now.props[name] || k.computes(name) {
			continue
		}
		out = append(out, v.event(k, "propertyChange", now.id, "propertyName", name, "propertyValue", now.props[name]))
	}
	return out
}

func (k *kind) computes(name string) bool {
	for i := range k.builtin {
		if k.builtin[i].Name == name {
			return k.builtin[i].ReadOnly
		}
	}
	return false
}

// mergeInput is the request that merged, read again for its event.
type mergeInput struct {
	Primary string `json:"primaryObjectId"`
	Other   string `json:"objectIdToMerge"`
}

func changesOf(r *engine.Request) mergeInput {
	var in mergeInput
	_ = json.Unmarshal(r.Body, &in) // it was read once already
	return in
}

func (v *vendor) mergeEvent(k *kind, made *record, in mergeInput) map[string]any {
	return v.event(k, "merge", "",
		"primaryObjectId", json.Number(in.Primary), "mergedObjectIds", []json.Number{json.Number(in.Other)},
		"newObjectId", json.Number(made.id), "numberOfPropertiesMoved", 0)
}

// associationEvents fire on both sides and name no object, only the two ends.
func (v *vendor) associationEvents(o *engine.Object, before, after map[string]any) []map[string]any {
	fromRef, _ := after["from"].(string)
	toRef, _ := after["to"].(string)
	fromName, fromID := splitRef(fromRef)
	toName, toID := splitRef(toRef)
	from, to := v.catalogue.kind(fromName), v.catalogue.kind(toName)
	if from == nil || to == nil {
		return nil
	}
	primary := after["primary"] == true
	return []map[string]any{
		v.associationEvent(from, to, fromID, toID, o.Deleted, primary),
		v.associationEvent(to, from, toID, fromID, o.Deleted, primary),
	}
}

func (v *vendor) associationEvent(from, to *kind, fromID, toID string, removed, primary bool) map[string]any {
	e := v.event(from, "associationChange", "",
		"fromObjectId", json.Number(fromID), "toObjectId", json.Number(toID),
		"associationType", strings.ToUpper(from.name+"_to_"+to.name),
		"associationRemoved", removed, "isPrimaryAssociation", primary)
	if v.hooks.form == formGeneric {
		rel, _ := related(from, to)
		delete(e, "objectTypeId")
		e["fromObjectTypeId"], e["toObjectTypeId"] = from.typeID, to.typeID
		e["associationCategory"], e["associationTypeId"] = "HUBSPOT_DEFINED", rel.types(primary)[0]
	}
	return e
}

// Again counts the attempts in the events of a delivery.
func (v *vendor) Again(body []byte, try int) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var events []map[string]any
	if err := d.Decode(&events); err != nil {
		return body // it is ours and can be read
	}
	for _, e := range events {
		e["attemptNumber"] = try
	}
	again, err := json.Marshal(events)
	if err != nil {
		return body
	}
	return again
}

// Sign gives a delivery HubSpot's signatures, the old one and v3.
func (v *vendor) Sign(target string, body []byte, at time.Time) http.Header {
	secret := v.hooks.secret
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(http.MethodPost + unescaped(target)))
	mac.Write(body)
	mac.Write([]byte(ms))
	old := sha256.Sum256(append([]byte(secret), body...))
	return http.Header{
		"Content-Type":                {"application/json"},
		"X-Hubspot-Signature-V3":      {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		"X-Hubspot-Request-Timestamp": {ms},
		"X-Hubspot-Signature":         {hex.EncodeToString(old[:])},
		"X-Hubspot-Signature-Version": {"v1"},
	}
}

// unescaped is the URI with the characters decoded that HubSpot decodes before
// it signs.
func unescaped(uri string) string {
	return strings.NewReplacer(
		"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$",
		"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
		"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";",
	).Replace(uri)
}

func hmacHex(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
