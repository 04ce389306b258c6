package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
)

const (
	maxPush      = 5 << 20
	maxPushItems = 100
	maxPushDepth = 32
)

// pushed is one record that a caller hands over.
type pushed struct {
	source *source
	record connector.Record
}

// decodePush reads one record or an array of up to 100. A number stays as it is
// written; nothing is guessed.
func (in *Ingest) decodePush(body []byte) ([]pushed, *problem) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err := wellFormed(body)
	var v any
	if err == nil {
		v, err = value(d, 0)
	}
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is text after the JSON value")
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends before it is complete")
	}
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "the body is not usable JSON", "%v", err)
	}
	items, many := v.([]any)
	if !many {
		items = []any{v}
	}
	if len(items) == 0 || len(items) > maxPushItems {
		return nil, refusal(http.StatusBadRequest, "wrong number of items", "send 1 to %d items, not %d", maxPushItems, len(items))
	}
	out := make([]pushed, 0, len(items))
	for i, item := range items {
		p, why := in.pushedItem(i, item)
		if why != nil {
			return nil, why
		}
		out = append(out, p)
	}
	return out, nil
}

// value reads a JSON value: no key twice, no number that is no plain decimal,
// numbers as decimal strings.
func value(d *json.Decoder, depth int) (any, error) {
	if depth > maxPushDepth {
		return nil, fmt.Errorf("it is nested more than %d levels deep", maxPushDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return object(d, depth)
		}
		return array(d, depth)
	case json.Number:
		n, err := money.ParseDecimal(t.String())
		if err != nil {
			return nil, fmt.Errorf("number %.40s is no decimal with at most 12 places", t)
		}
		return n.String(), nil
	case string:
		if strings.ContainsRune(t, 0) {
			return nil, fmt.Errorf(`text %.80q holds the character \u0000, which no books can hold`, t)
		}
	}
	return t, nil
}

func object(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := k.(string)
		if !plain(key) {
			return nil, fmt.Errorf("key %.80q holds a control character", key)
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("key %.80q stands there twice", key)
		}
		if out[key], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

func array(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func (in *Ingest) pushedItem(i int, item any) (pushed, *problem) {
	m, ok := item.(map[string]any)
	if !ok {
		return pushed{}, wrong(i, "item", "an item is an object")
	}
	text := map[string]string{}
	for key, v := range m {
		switch key {
		case "connection", "type", "id", "occurred_at":
			s, ok := v.(string)
			if !ok || strings.TrimSpace(s) == "" || !plain(s) {
				return pushed{}, wrong(i, key, "write a text on one line that is not empty and has no control characters")
			}
			text[key] = s
		case "data", "related":
		default:
			return pushed{}, wrong(i, key, "there is no such field; an item has connection, type, id, occurred_at, data and related")
		}
	}
	data, ok := m["data"].(map[string]any)
	if !ok {
		return pushed{}, wrong(i, "data", "the whole record is wanted, as an object")
	}
	s, why := in.pushSource(i, text["connection"], text["type"])
	if why != nil {
		return pushed{}, why
	}
	if text["id"] == "" || len(text["id"]) > 200 {
		return pushed{}, wrong(i, "id", "your own id of the record is wanted, 1 to 200 bytes")
	}
	p, why := in.pushedRecord(i, s, text, data)
	if related, given := m["related"]; given && why == nil {
		why = p.relate(i, related)
	}
	return p, why
}

// pushSource is the configured source that a pushed record belongs to.
func (in *Ingest) pushSource(i int, connection, typ string) (*source, *problem) {
	var known []string
	for _, s := range in.sources {
		for _, t := range s.types() {
			known = append(known, s.config.ID+" "+t)
			if s.config.ID == connection && t == typ {
				return s, nil
			}
		}
	}
	return nil, wrong(i, "connection", "no route leads from connection %.80q and type %.80q; may be pushed: %s", connection, typ, strings.Join(known, ", "))
}

func (in *Ingest) pushedRecord(i int, s *source, text map[string]string, data map[string]any) (pushed, *problem) {
	account, err := event.ParseRef(s.config.Account + "/" + text["type"] + "/" + text["id"])
	if err != nil {
		return pushed{}, wrong(i, "id", "%v", err)
	}
	r := connector.Record{Ref: account, ChangedAt: in.deps.Now().UTC()}
	if at := text["occurred_at"]; at != "" {
		if r.ChangedAt, err = time.Parse(time.RFC3339, at); err != nil {
			return pushed{}, wrong(i, "occurred_at", "%.40q is no RFC 3339 instant such as 2026-11-25T09:30:00Z", at)
		}
	}
	if c, given := data["customer"]; given {
		if r.Customer, err = customerRef(s.config.Account, c); err != nil {
			return pushed{}, wrong(i, "data.customer", "%v", err)
		}
	}
	identify(data, text["id"])
	if r.Data, err = canonical(data); err != nil {
		return pushed{}, wrong(i, "data", "%v", err)
	}
	if len(r.Data) > maxEvent {
		return pushed{}, wrong(i, "data", "the record has %d bytes; %d is the most", len(r.Data), maxEvent)
	}
	r.Hash = event.Digest("push/v1", string(r.Data))
	return pushed{s, r}, nil
}

// identify has a record know its own id, as one that is read does.
func identify(data map[string]any, id string) {
	if _, given := data["id"]; !given {
		data["id"] = id
	}
}

// customerRef reads "company/5" or a whole ref: the lane of the record.
func customerRef(account string, v any) (event.Ref, error) {
	s, ok := v.(string)
	if !ok || !plain(s) {
		return event.Ref{}, errors.New("write the customer's ref, such as company/5")
	}
	if strings.Count(s, "/") == 1 {
		s = account + "/" + s
	}
	return event.ParseRef(s)
}
