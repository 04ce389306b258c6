package ingest

import (
	"database/sql"
	"encoding/json"
	"errors"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// relate takes what the caller says of other records: its customer, its
// products. It belongs to the record, so other words are another revision.
func (p *pushed) relate(i int, v any) *problem {
	given, ok := v.(map[string]any)
	if !ok {
		return wrong(i, "related", `write an object such as {"company/5": {"name": "Acme"}}`)
	}
	all := map[string]any{}
	for key, data := range given {
		ref, err := customerRef(p.record.Ref.AccountRef(), key)
		record, object := data.(map[string]any)
		if err != nil || !object {
			return wrong(i, "related", "%.80q is not a ref such as company/5 with an object", key)
		}
		identify(record, ref.ID)
		all[ref.String()] = record
	}
	b, err := canonical(all)
	if err != nil {
		return wrong(i, "related", "%v", err)
	}
	if n := len(p.record.Data) + len(b); n > maxEvent {
		return wrong(i, "related", "the record has %d bytes with it; %d is the most", n, maxEvent)
	}
	p.record.Related = b
	p.record.Hash = event.Digest("push related/v1", p.record.Hash, string(b))
	return nil
}

// acquaint adds what is known of the customer that a record names, as it was
// last admitted, where the caller says nothing of it.
func (p *pushed) acquaint(tx *store.Tx) error {
	if p.record.Customer == (event.Ref{}) {
		return nil
	}
	all := map[string]json.RawMessage{}
	if len(p.record.Related) > 0 {
		if err := json.Unmarshal(p.record.Related, &all); err != nil {
			return err
		}
	}
	named := p.record.Customer.String()
	customer, err := survivor(tx, named)
	if err != nil {
		return err
	}
	if said := all[named]; said != nil && all[customer] == nil {
		all[customer] = said
	}
	if all[customer] == nil {
		if all[customer], err = knownOf(tx, customer); err != nil || all[customer] == nil {
			return err
		}
	}
	b, err := canonical(all)
	if err == nil && len(p.record.Data)+len(b) <= maxEvent {
		p.record.Related = b
	}
	return err
}

// knownOf is a record's data as it was last admitted, nil if it never was.
func knownOf(tx *store.Tx, ref string) (json.RawMessage, error) {
	var body []byte
	err := tx.QueryRow(`SELECT body FROM event WHERE ref = $1 AND rev > 0 ORDER BY rev DESC, slot_no DESC LIMIT 1`, ref).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := event.Decode(body)
	if err != nil || e.Type == event.Delete || len(e.Data) == 0 {
		return nil, err
	}
	return e.Data, nil
}
