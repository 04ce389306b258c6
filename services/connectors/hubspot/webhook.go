package hubspot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

const (
	webhookMax    = 1 << 20         // bytes of one delivery
	webhookAge    = 5 * time.Minute // and as much into the future, which HubSpot's own client lets pass
	webhookEvents = 1000            // events of one delivery; HubSpot sends 100
)

// webhook reads deliveries of one app, for all portals that installed it.
type webhook struct {
	secret connector.Secret
	now    func() time.Time
}

// Receive checks signature v3 and turns events into hints. Events about line
// items are hints of type line_item, which Fetch answers with their deals;
// events about an association are hints for the deal, or for the contact.
func (w *webhook) Receive(r *http.Request, public string, body []byte) ([]connector.Hint, error) {
	if len(body) > webhookMax {
		return nil, fault.New(fault.Rejected, "webhook larger than %d bytes", webhookMax)
	}
	if err := w.verify(r, public, body); err != nil {
		return nil, err
	}
	var events []notice
	if err := decode(body, &events); err != nil {
		return nil, &fault.Error{Kind: fault.Rejected, Text: "webhook body is not readable", Err: err}
	}
	if events == nil { // null is no list of none
		return nil, fault.New(fault.Rejected, "webhook body is no list of events")
	}
	if len(events) > webhookEvents {
		return nil, fault.New(fault.Rejected, "webhook with %d events", len(events))
	}
	var hints []connector.Hint
	for _, e := range events {
		if ref, ok := e.about(); ok {
			hints = append(hints, connector.Hint{Ref: ref, DeliveryID: e.delivery()})
		}
	}
	return hints, nil
}

// verify is https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests, version 3.
func (w *webhook) verify(r *http.Request, public string, body []byte) error {
	stamp := r.Header.Get("X-HubSpot-Request-Timestamp")
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fault.New(fault.Unauthorized, "webhook without a timestamp")
	}
	if age := w.now().Sub(time.UnixMilli(ms)); age > webhookAge || age < -webhookAge {
		return fault.New(fault.Unauthorized, "webhook signed %s ago", age.Round(time.Second))
	}
	sent, err := base64.StdEncoding.DecodeString(r.Header.Get("X-HubSpot-Signature-v3"))
	if err != nil || len(sent) == 0 {
		return fault.New(fault.Unauthorized, "webhook without a version 3 signature")
	}
	mac := hmac.New(sha256.New, []byte(w.secret.Reveal()))
	mac.Write([]byte(r.Method))
	mac.Write([]byte(decodedURI(public)))
	mac.Write(body)
	mac.Write([]byte(stamp))
	if !hmac.Equal(sent, mac.Sum(nil)) {
		return fault.New(fault.Unauthorized, "webhook signature does not match")
	}
	return nil
}

// decodedURI decodes the characters that HubSpot lists and no others: %20 stays.
func decodedURI(uri string) string {
	const listed = ":/?@!$'()*,;"
	var b strings.Builder
	for i := 0; i < len(uri); i++ {
		if uri[i] == '%' && i+2 < len(uri) {
			if n, err := strconv.ParseUint(uri[i+1:i+3], 16, 8); err == nil && strings.IndexByte(listed, byte(n)) >= 0 {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(uri[i])
	}
	return b.String()
}

// notice is one event of a delivery, in the form of typed or of generic
// subscriptions.
type notice struct {
	EventID        json.Number `json:"eventId"`
	SubscriptionID json.Number `json:"subscriptionId"`
	PortalID       flexID      `json:"portalId"`
	OccurredAt     json.Number `json:"occurredAt"`
	Type           string      `json:"subscriptionType"`
	ObjectTypeID   string      `json:"objectTypeId"`
	ObjectID       flexID      `json:"objectId"`
	Property       string      `json:"propertyName"`
	Value          any         `json:"propertyValue"`

	FromTypeID  string `json:"fromObjectTypeId"`
	ToTypeID    string `json:"toObjectTypeId"`
	Association string `json:"associationType"`
	From        flexID `json:"fromObjectId"`
	To          flexID `json:"toObjectId"`
	Removed     bool   `json:"associationRemoved"`

	Primary   flexID `json:"primaryObjectId"`
	NewObject flexID `json:"newObjectId"`
}

// about is the record that the event is a hint for, false for events that are
// none of ours.
func (n *notice) about() (event.Ref, bool) {
	subject, what, _ := strings.Cut(n.Type, ".")
	typ := typeOf(subject, n.ObjectTypeID)
	id := n.ObjectID
	switch what {
	case "associationChange":
		typ, id = n.owner(subject)
	case "merge":
		// the object that came of it; where no new one was made, the primary
		for _, candidate := range []flexID{n.NewObject, n.Primary, n.ObjectID} {
			if candidate != "" && candidate != "0" {
				id = candidate
				break
			}
		}
	}
	if typ == "" || id == "" || n.PortalID == "" {
		return event.Ref{}, false
	}
	return event.Ref{System: System, Account: string(n.PortalID), Type: typ, ID: string(id)}, true
}

// owner is the end of an association that the association belongs to: the
// deal, else the contact of a company.
func (n *notice) owner(subject string) (string, flexID) {
	from, to := typeOf(subject, n.FromTypeID), typeOf("", n.ToTypeID)
	if f, t, ok := strings.Cut(strings.ToLower(n.Association), "_to_"); ok && to == "" {
		from, to = typeOf(f, ""), typeOf(t, "")
	}
	for _, typ := range []string{typeDeal, typeContact} {
		switch typ {
		case from:
			return from, n.From
		case to:
			return to, n.To
		}
	}
	return "", ""
}

// typeOf is our word for the type that an event names in either form.
func typeOf(subject, typeID string) string {
	for _, typ := range []string{typeDeal, typeCompany, typeContact, typeProduct, typeLineItem} {
		if subject == typ || (typeID != "" && typeID == objectTypeID(typ)) {
			return typ
		}
	}
	return ""
}

// delivery is the same for a retry of the same event and for nothing else.
// The event's id alone is not promised to be unique.
func (n *notice) delivery() string {
	value, _ := json.Marshal(n.Value)
	return event.Digest(n.EventID.String(), n.SubscriptionID.String(), string(n.PortalID), n.OccurredAt.String(), n.Type,
		string(n.ObjectID), n.Property, string(value), string(n.From), string(n.To), strconv.FormatBool(n.Removed), string(n.Primary), string(n.NewObject))
}
