package audit

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

// The statements of a search. Each reads an index and nothing else; a test asks
// the database.
const (
	byKey       = `SELECT ref FROM search_key WHERE search = $1 ORDER BY ref LIMIT $2`
	byEvent     = `SELECT subject FROM entry WHERE event_id = $1 AND subject <> '' LIMIT $2`
	byOp        = `SELECT DISTINCT e.subject FROM entry_op o JOIN entry e ON e.event_id = o.event_id WHERE o.op_id = $1 AND e.subject <> '' AND e.type <> 'call.sent' LIMIT $2`
	byCall      = `SELECT DISTINCT e.subject FROM entry_op o JOIN entry e ON e.event_id = o.event_id WHERE o.op_id = $1 AND e.subject <> '' LIMIT $2`
	bySource    = `SELECT DISTINCT source_ref FROM document WHERE other_ref = $1 ORDER BY source_ref LIMIT $2`
	ofSubject   = `SELECT event_id, taken_at, body FROM entry WHERE subject = $1 ORDER BY at LIMIT $2`
	ofCustomer  = `SELECT event_id, taken_at, body FROM entry WHERE customer = $1 ORDER BY at LIMIT $2`
	ofSource    = `SELECT event_id, taken_at, body FROM entry WHERE source_ref = $1 AND source_ref <> '' ORDER BY at LIMIT $2`
	ofBooks     = `SELECT e.event_id, e.taken_at, e.body FROM document d JOIN entry e ON e.subject = d.other_ref WHERE d.source_ref = $1 LIMIT $2`
	ofOp        = `SELECT e.event_id, e.taken_at, e.body FROM entry_op o JOIN entry e ON e.event_id = o.event_id WHERE o.op_id = $1 LIMIT $2`
	ofException = `SELECT event_id, taken_at, body FROM entry WHERE exception = $1 AND exception <> '' ORDER BY at LIMIT $2`
	ofEvent     = `SELECT event_id, taken_at, body FROM entry WHERE event_id = $1 LIMIT $2`
	docsOf      = `SELECT other_ref, number, status, currency, net, tax, gross, source_ref FROM document WHERE source_ref = $1 AND kind IN ('INVOICE', 'CREDIT_NOTE') ORDER BY n, part DESC LIMIT $2`
	docsFor     = `SELECT other_ref, number, status, currency, net, tax, gross, source_ref FROM document WHERE customer = $1 AND kind IN ('INVOICE', 'CREDIT_NOTE') ORDER BY source_ref, n, part DESC LIMIT $2`
)

// maxRefs bounds how many records one id may lead to.
const maxRefs = 50

// find returns the records at the source that an id leads to, none where only
// entries without a record know it.
func find(tx *store.Tx, id string, scope registry.Scope) ([]string, error) {
	if strings.HasPrefix(strings.ToUpper(id), "TO-") {
		id = strings.ToUpper(id)
	}
	refs, err := column(tx, byKey, id)
	for _, query := range []string{byEvent, byOp, byCall} {
		if err == nil && len(refs) == 0 {
			refs, err = column(tx, query, id)
		}
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ref := range refs {
		sources, err := column(tx, bySource, ref) // a document in the books belongs to the record it was made of
		if err != nil {
			return nil, err
		}
		if len(sources) == 0 {
			sources = []string{ref}
		}
		out = append(out, sources...)
	}
	slices.Sort(out)
	out = slices.DeleteFunc(slices.Compact(out), func(ref string) bool { return !scope.Under(ref) })
	if len(out) > 1 && written(id) {
		return nil, status.Errorf(codes.InvalidArgument, "%s is not unique; it may mean %s", id, strings.Join(out, ", "))
	}
	return out, nil
}

// written reports whether an id is one that a person made up, a ref or a
// number, which must mean one record. Ids of ours, which are hashes, may lead to
// several: a trace, a call.
func written(id string) bool {
	return strings.Contains(id, "/") || len(id) < 16
}

func column(tx *store.Tx, query, arg string) ([]string, error) {
	rows, err := tx.Query(query, arg, maxRefs)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
