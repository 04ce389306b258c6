package audit

import (
	"strings"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// insertEntry stores the fact as a row of the index and reports whether it is new.
func insertEntry(tx *store.Tx, f *trail.Fact) (bool, error) {
	body, err := trail.Encode(f)
	if err != nil {
		return false, err
	}
	p := trail.Posting{}
	if f.Posting != nil {
		p = *f.Posting
	}
	n, err := tx.Exec(`INSERT INTO entry (event_id, stream, incarnation, seq, type, at, occurred_at, taken_at, actor, tenant, entity, target, lane, slot_seq,
		subject, customer, rev, route, outcome, detail, trace_id, source_event_id, exception,
		other_ref, number, kind, part, n, status, currency, net, tax, gross, source_ref, customer_ref, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
		$24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36) ON CONFLICT (event_id) DO NOTHING`,
		f.EventID, f.Stream, f.Incarnation, f.Seq, f.Type, store.Micros(f.Time), store.Micros(f.OccurredAt), tx.Now(), f.Actor, f.Tenant, f.Entity,
		f.Target, f.Lane, f.SlotSeq, f.Subject, f.Customer, f.Rev, f.Route, f.Outcome, f.Detail, f.TraceID, f.SourceEventID, f.Exception,
		p.OtherRef, p.Number, p.Kind, p.Part, p.N, p.Status, currency(&p), p.Net.Minor, p.Tax.Minor, p.Gross.Minor, p.SourceRef, p.CustomerRef, body)
	return n == 1, err
}

func currency(p *trail.Posting) string {
	for _, a := range []string{p.Gross.Currency, p.Net.Currency, p.Tax.Currency} {
		if a != "" {
			return a
		}
	}
	return ""
}

// index makes the entry findable and moves the documents it is about.
func index(tx *store.Tx, f *trail.Fact) error {
	for _, op := range f.OpIDs {
		if _, err := tx.Exec(`INSERT INTO entry_op (op_id, event_id) VALUES ($1, $2) ON CONFLICT (op_id, event_id) DO NOTHING`, op, f.EventID); err != nil {
			return err
		}
	}
	for _, k := range keysOf(f) {
		if _, err := tx.Exec(`INSERT INTO search_key (search, ref) VALUES ($1, $2) ON CONFLICT (search, ref) DO NOTHING`, k.search, k.ref); err != nil {
			return err
		}
	}
	if f.Posting == nil || f.Posting.Kind == string(document.MarkerKind) {
		return nil
	}
	return putDocument(tx, f)
}

// putDocument keeps the newest state; a fact from before a restore does not
// overwrite one from after it.
func putDocument(tx *store.Tx, f *trail.Fact) error {
	p := f.Posting
	if f.Outcome == "merged" && document.Kind(p.Kind).Financial() { // it was another record's until now
		if _, err := tx.Exec(`DELETE FROM document WHERE target = $1 AND kind = $2 AND other_ref = $3 AND source_ref <> $4`, f.Target, p.Kind, p.OtherRef, p.SourceRef); err != nil {
			return err
		}
	}
	status := p.Status
	if status == "" {
		status = f.Outcome
	}
	_, err := tx.Exec(`INSERT INTO document (target, source_ref, kind, part, n, other_ref, number, status, currency, net, tax, gross, customer, incarnation, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (source_ref, target, kind, part, n) DO UPDATE SET other_ref = $6, number = $7, status = $8, currency = $9, net = $10, tax = $11, gross = $12,
		customer = $13, incarnation = $14, seq = $15
		WHERE document.incarnation < $14 OR (document.incarnation = $14 AND document.seq < $15)`,
		f.Target, p.SourceRef, p.Kind, p.Part, p.N, p.OtherRef, p.Number, status, currency(p), p.Net.Minor, p.Tax.Minor, p.Gross.Minor, f.Customer,
		f.Incarnation, f.Seq)
	return err
}

// key leads from what a person may type to the ref that is meant.
type key struct{ search, ref string }

// keysOf are the keys of a fact. Ops and the fact's own id have indexes of their own.
func keysOf(f *trail.Fact) []key {
	var out []key
	refs := func(list ...string) {
		for _, s := range list {
			for _, name := range names(s) {
				out = append(out, key{name, s})
			}
		}
	}
	refs(f.Subject, f.Customer)
	if f.Subject != "" {
		for _, id := range []string{f.TraceID, f.SourceEventID, f.Exception} {
			if id != "" {
				out = append(out, key{id, f.Subject})
			}
		}
	}
	p := f.Posting
	if p == nil {
		return out
	}
	refs(p.SourceRef, p.OtherRef, p.CustomerRef)
	if p.Kind == string(document.MarkerKind) {
		return out // what is written back names the document's number as its own
	}
	out = append(out, key{document.Mark(f.Target, p.SourceRef, p.Part, p.N), p.SourceRef})
	if p.Number != "" {
		out = append(out, key{p.Number, p.SourceRef})
	}
	return out
}

// names are the ways to write a ref: whole, without its account, without its
// system too.
func names(s string) []string {
	r, err := event.ParseRef(s)
	if err != nil {
		if s == "" || strings.Contains(s, " ") {
			return nil
		}
		return []string{s}
	}
	return []string{s, r.System + "/" + r.Type + "/" + r.ID, r.Type + "/" + r.ID}
}
