package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// notified are the entities the vendor sends webhooks for.
const notified = "customer vendor employee item invoice payment creditmemo account term"

// Deliveries makes one body of all a request changed: ids only, no content.
func (c *company) Deliveries(changes []engine.Change, r *engine.Request) [][]byte {
	var told []engine.Change
	for _, change := range changes {
		if slices.Contains(strings.Fields(notified), change.Object.Type) {
			told = append(told, change)
		}
	}
	if told == nil {
		return nil
	}
	var content any = c.cloudEvents(told, r)
	if c.settings.WebhookForm == formLegacy {
		content = c.legacyEvents(told)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil
	}
	return [][]byte{body}
}

// cloudEvents is the form since 2026.
func (c *company) cloudEvents(changes []engine.Change, r *engine.Request) []any {
	var events []any
	for i, change := range changes {
		o := change.Object
		events = append(events, fields{
			"specversion": "1.0", "id": eventID(c.realm, r.N, i, o.Version), "source": "intuit." + c.realm,
			"type":            fmt.Sprintf("qbo.%s.%s.v1", o.Type, happened(change)),
			"datacontenttype": "application/json", "time": o.UpdatedAt().UTC().Format("2006-01-02T15:04:05.000Z"),
			"intuitentityid": o.ID, "intuitaccountid": c.realm, "data": fields{},
		})
	}
	return events
}

// legacyEvents is the form before.
func (c *company) legacyEvents(changes []engine.Change) fields {
	operations := map[string]string{"created": "Create", "updated": "Update", "deleted": "Delete", "voided": "Void"}
	var entities []any
	for _, change := range changes {
		o := change.Object
		entities = append(entities, fields{
			"name": c.kinds[o.Type].name, "id": o.ID, "operation": operations[happened(change)],
			"lastUpdated": o.UpdatedAt().UTC().Format("2006-01-02T15:04:05.000Z"),
		})
	}
	return fields{"eventNotifications": []any{fields{"realmId": c.realm, "dataChangeEvent": fields{"entities": entities}}}}
}

// happened names the operation.
func happened(change engine.Change) string {
	o := change.Object
	switch {
	case change.Created:
		return "created"
	case o.Deleted:
		return "deleted"
	}
	now, _ := engine.Decode(o.Last().Data)
	if strings.HasPrefix(text(now, "PrivateNote"), "Voided") && len(o.Versions) > 1 {
		was, _ := engine.Decode(o.Versions[len(o.Versions)-2].Data)
		if !strings.HasPrefix(text(was, "PrivateNote"), "Voided") {
			return "voided"
		}
	}
	return "updated"
}

// eventID is a UUID that is the same whenever the same write is delivered.
func eventID(realm string, n int64, i int, version int64) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%d", realm, n, i, version))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// Sign is the vendor's signature: HMAC-SHA256 of the body with the verifier
// token, in base64.
func (c *company) Sign(_ string, body []byte, at time.Time) http.Header {
	m := hmac.New(sha256.New, []byte(c.verifier))
	m.Write(body)
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Intuit-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil)))
	h.Set("Intuit-Created-Time", at.UTC().Format(time.RFC3339))
	return h
}
