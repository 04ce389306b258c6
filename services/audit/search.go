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

// Search lists entries that match, in the order in which they were taken: a
// token names the last one, so a page never shifts while entries come in.
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
	where, args, err := conditions(r, scope)
	if err != nil {
		return nil, err
	}
	order := " ORDER BY taken_at, event_id"
	if r.GetNewest() {
		order = " ORDER BY taken_at DESC, event_id DESC"
	}
	out := &controlv1.SearchResponse{}
	err = s.a.deps.DB.Read(ctx, func(tx *store.Tx) error {
		args = append(args, limit)
		out.Items, out.Next, err = entries(tx, where+order+" LIMIT $"+strconv.Itoa(len(args)), args, limit)
		return err
	})
	if r.GetNewest() {
		for i, j := 0, len(out.Items)-1; i < j; i, j = i+1, j-1 {
			out.Items[i], out.Items[j] = out.Items[j], out.Items[i]
		}
	}
	return out, err
}

// conditions are the filters that are set, within what is asked about.
func conditions(r *controlv1.SearchRequest, scope registry.Scope) (string, []any, error) {
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
		add("taken_at > ?", r.GetSince().AsTime().UnixMicro())
	}
	if r.GetNext() != "" {
		at, id, ok := strings.Cut(r.GetNext(), "/")
		micros, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			return "", nil, status.Errorf(codes.InvalidArgument, "%q is no token of a page", r.GetNext())
		}
		args = append(args, micros, id)
		parts = append(parts, "(taken_at, event_id) > ($"+strconv.Itoa(len(args)-1)+", $"+strconv.Itoa(len(args))+")")
	}
	return " WHERE " + strings.Join(parts, " AND "), args, nil
}

func entries(tx *store.Tx, rest string, args []any, limit int64) ([]*controlv1.Entry, string, error) {
	rows, err := tx.Query(`SELECT event_id, taken_at, at, stream, seq, type, subject, customer, number, outcome, detail, trace_id, actor,
		COALESCE((SELECT MIN(op_id) FROM entry_op o WHERE o.event_id = entry.event_id), ''), exception FROM entry`+rest, args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var out []*controlv1.Entry
	next := ""
	for rows.Next() {
		e := &controlv1.Entry{}
		var taken, at int64
		if err := rows.Scan(&e.EventId, &taken, &at, &e.Stream, &e.Seq, &e.What, &e.Ref, &e.Customer, &e.Invoice, &e.Outcome, &e.Detail, &e.TraceId, &e.Actor, &e.OpId, &e.Exception); err != nil {
			return nil, "", err
		}
		e.At = timestamppb.New(store.Time(at))
		e.Service, _, _ = strings.Cut(e.GetStream(), "/")
		out = append(out, e)
		next = strconv.FormatInt(taken, 10) + "/" + e.GetEventId()
	}
	if int64(len(out)) < limit {
		next = ""
	}
	return out, next, rows.Err()
}
