package writer

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
)

func (t tables) Links(k link.Key) ([]*link.Link, error) {
	return t.links(`source_ref = $1 AND other_target = $2 AND kind = $3 AND part = $4`, k.SourceRef, t.target, string(k.Kind), k.Part)
}

func (t tables) Invoices(subject string) ([]*link.Link, error) {
	return t.links(`source_ref = $1 AND other_target = $2 AND kind = 'INVOICE'`, subject, t.target)
}

func (t tables) PrimariesOf(subject string) ([]*link.Link, error) {
	return t.links(`source_ref = $1 AND other_target = $2 AND state = 'primary' AND kind IN ('CUSTOMER', 'ITEM', 'INVOICE')`, subject, t.target)
}

func (t tables) PrimaryAt(otherRef string) (*link.Link, error) {
	links, err := t.links(`other_ref = $1 AND other_target = $2 AND state = 'primary'`, otherRef, t.target)
	if err != nil || len(links) == 0 {
		return nil, err
	}
	return links[len(links)-1], nil
}

func (t tables) AliasAt(otherRef string) (next string, err error) {
	err = t.tx.QueryRow(`SELECT p.other_ref FROM link a JOIN link p ON p.source_ref = a.alias_of AND p.kind = a.kind AND p.part = a.part AND p.other_target = a.other_target
		WHERE a.other_ref = $1 AND a.other_target = $2 AND a.state = 'alias' AND p.state IN ('primary', 'alias') AND p.other_ref <> a.other_ref
		ORDER BY p.n DESC LIMIT 1`, otherRef, t.target).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return next, err
}

func (t tables) links(where string, args ...any) ([]*link.Link, error) {
	rows, err := t.tx.Query(`SELECT source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number, alias_of, explain
		FROM link WHERE `+where+` ORDER BY source_ref, kind, part, n`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*link.Link
	for rows.Next() {
		x := &link.Link{}
		var kind, state, base string
		if err := rows.Scan(&x.SourceRef, &kind, &x.Part, &x.N, &x.OtherTarget, &x.OtherRef, &state, &x.MappingHash, &base, &x.BaseRev, &x.Rev, &x.OtherVersion, &x.Number, &x.AliasOf, &x.Explain); err != nil {
			return nil, err
		}
		x.Kind, x.State = document.Kind(kind), link.State(state)
		if err := json.Unmarshal([]byte(base), &x.Base); err != nil {
			return nil, fmt.Errorf("base of link %s: %w", x.SourceRef, err)
		}
		out = append(out, x)
	}
	return out, rows.Err()
}
