package writer

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/writer/protocol"
)

// partsOf reads the links and shared ops of every part and need of a slot, and
// all financial links of its subject.
func (l *loader) partsOf(s *protocol.Slot) error {
	if _, ok := l.v.Own[s.Subject]; !ok {
		own, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND kind = 'INVOICE'`, s.Subject, l.v.Target)
		if err != nil {
			return err
		}
		l.v.Own[s.Subject] = own
		for _, x := range own {
			if err := l.same(x.Base["customer"]); err != nil {
				return err
			}
		}
	}
	for i := range s.Rendering.Parts {
		p := &s.Rendering.Parts[i]
		if err := l.partLinks(link.Key{SourceRef: p.Subject, Kind: p.Kind, Part: p.Name}); err != nil {
			return err
		}
		for _, n := range p.Needs {
			if err := l.partLinks(link.Key{SourceRef: n.Ref, Kind: n.Kind, Part: n.Part}); err != nil {
				return err
			}
		}
		if p.Mode == document.Ensure {
			if err := l.ops(`WHERE target = $1 AND subject = $2 AND part = $3`, l.v.Target, p.Subject, p.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) partLinks(k link.Key) error {
	if _, ok := l.v.Links[k]; ok {
		return nil
	}
	links, err := l.links(`WHERE source_ref = $1 AND other_target = $2 AND kind = $3 AND part = $4`, k.SourceRef, l.v.Target, string(k.Kind), k.Part)
	for i, x := range links { // one link, one object
		for _, own := range l.v.Own[k.SourceRef] {
			if own.Key == x.Key && own.N == x.N {
				links[i] = own
			}
		}
	}
	l.v.Links[k] = links
	return err
}

// answered reads who is linked to what looks found, now or before, and the
// links of the ops at hand.
func (l *loader) answered(m *protocol.Memory, in protocol.Inputs) func() error {
	looks := append([]protocol.LookAnswer(nil), in.Looks...)
	for _, a := range m.Looks {
		looks = append(looks, a)
	}
	return func() error {
		for _, a := range looks {
			for i := range a.Postings {
				if err := l.ownerOf(&a.Postings[i]); err != nil {
					return err
				}
			}
		}
		for _, op := range l.v.Ops {
			if err := l.partLinks(link.Key{SourceRef: op.Subject, Kind: op.Kind, Part: op.Part}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *loader) ownerOf(p *connector.Posting) error {
	links, err := l.links(`WHERE other_ref = $1 AND other_target = $2 AND state = 'primary'`, p.Ref.String(), l.v.Target)
	for _, x := range links {
		l.v.Owners[x.OtherRef] = x.Key
	}
	return err
}

// same follows a customer in the books that became an alias to the one that
// stands for it.
func (l *loader) same(customer string) error {
	if customer == "" {
		return nil
	}
	at := customer
	for range 16 { // merges of merges
		var next string
		err := l.tx.QueryRow(`SELECT p.other_ref FROM link a JOIN link p ON p.source_ref = a.alias_of AND p.kind = a.kind AND p.part = a.part AND p.other_target = a.other_target
			WHERE a.other_ref = $1 AND a.other_target = $2 AND a.state = 'alias' AND p.state IN ('primary', 'alias') AND p.other_ref <> a.other_ref
			ORDER BY p.n DESC LIMIT 1`, at, l.v.Target).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		at = next
	}
	if at != customer {
		l.v.Same[customer] = at
	}
	return nil
}

func (l *loader) links(where string, args ...any) ([]*link.Link, error) {
	rows, err := l.tx.Query(`SELECT source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number, alias_of, explain
		FROM link `+where+` ORDER BY source_ref, kind, part, n`, args...)
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
