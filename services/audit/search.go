package audit

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
)

const (
	searchPage = 100
	searchMost = 1000
)

// happened is the order of time; what a stream tells of one instant has its
// numbers. The newest are those that were taken last: what comes in late is new.
const (
	happened    = "(at, stream, incarnation, seq)"
	inOrder     = " ORDER BY at, stream, incarnation, seq"
	newestFirst = " ORDER BY taken_at DESC, event_id DESC"
)

// Search lists entries that match, in the order in which they happened. A token
// names the last one of a page, which keeps its place while entries come in.
func (s *Server) Search(ctx context.Context, r *controlv1.SearchRequest) (*controlv1.SearchResponse, error) {
	limit := int64(r.GetLimit())
	if limit <= 0 {
		limit = searchPage
	}
	limit = min(limit, searchMost)
	scope, err := control.Scope(ctx, s.a.deps.Registry)
	if err != nil {
		return nil, err
	}
	where, args := conditions(r, scope)
	args = append(args, limit)
	most := " LIMIT $" + strconv.Itoa(len(args))
	query := selected + where + inOrder + most
	if r.GetNewest() {
		query = selected + " WHERE event_id IN (SELECT event_id FROM entry" + where + newestFirst + most + ")" + inOrder
	}
	out := &controlv1.SearchResponse{}
	err = s.a.deps.DB.Read(ctx, func(tx *store.Tx) error {
		if err := known(tx, r.GetNext()); err != nil {
			return err
		}
		out.Items, err = entries(tx, query, args)
		return err
	})
	if n := len(out.Items); int64(n) == limit && !r.GetNewest() {
		out.Next = out.Items[n-1].GetEventId()
	}
	return out, err
}

// known: a token that names no entry would look like the end of the list.
func known(tx *store.Tx, token string) error {
	var n int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM entry WHERE event_id = $1`, last(token)).Scan(&n); err != nil {
		return err
	}
	if n == 0 && token != "" {
		return status.Errorf(codes.InvalidArgument, "%q is no token of a page", token)
	}
	return nil
}

// last is the entry that a token names; older tokens have an instant before it.
func last(token string) string {
	return token[strings.LastIndex(token, "/")+1:]
}

// conditions are the filters that are set, within what is asked about.
func conditions(r *controlv1.SearchRequest, scope registry.Scope) (string, []any) {
	theirs, args := store.Under("tenant", scope.Tenants, nil)
	parts := []string{theirs}
	add := func(text string, arg any) {
		args = append(args, arg)
		parts = append(parts, strings.ReplaceAll(text, "?", "$"+strconv.Itoa(len(args))))
	}
	for column, value := range map[string]string{"customer": r.GetCustomer(), "number": r.GetInvoice(), "trace_id": r.GetTrace()} {
		if value != "" {
			add(column+" = ?", value)
		}
	}
	if r.GetRef() != "" {
		add("(subject = ? OR source_ref = ?)", r.GetRef())
	}
	if r.GetOp() != "" {
		add("event_id IN (SELECT event_id FROM entry_op WHERE op_id = ?)", r.GetOp())
	}
	if r.GetSince() != nil {
		add("at >= ?", r.GetSince().AsTime().UnixMicro())
	}
	if r.GetNext() != "" {
		add(happened+" > (SELECT at, stream, incarnation, seq FROM entry WHERE event_id = ?)", last(r.GetNext()))
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

const selected = `SELECT event_id, at, stream, seq, type, subject, customer, number, outcome, detail, trace_id, actor,
	COALESCE((SELECT MIN(op_id) FROM entry_op o WHERE o.event_id = entry.event_id), ''), exception FROM entry`

func entries(tx *store.Tx, query string, args []any) ([]*controlv1.Entry, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*controlv1.Entry
	for rows.Next() {
		e := &controlv1.Entry{}
		var at int64
		if err := rows.Scan(&e.EventId, &at, &e.Stream, &e.Seq, &e.What, &e.Ref, &e.Customer, &e.Invoice, &e.Outcome, &e.Detail, &e.TraceId, &e.Actor, &e.OpId, &e.Exception); err != nil {
			return nil, err
		}
		e.At = timestamppb.New(store.Time(at))
		e.Service, _, _ = strings.Cut(e.GetStream(), "/")
		out = append(out, e)
	}
	return out, rows.Err()
}
