package ingest

import (
	"context"
	"database/sql"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// asPushed is a record that its source does not know, as its caller last handed it
// over. Where the database was set back since, that may not be what was said last.
func asPushed(tx *store.Tx, ref event.Ref, o admission.Object) (connector.Record, error) {
	r := connector.Record{Ref: ref, Version: o.Version, Hash: o.Hash}
	var body []byte
	err := tx.QueryRow(`SELECT body FROM event WHERE ref = $1 AND rev = $2 ORDER BY slot_no DESC LIMIT 1`, ref.String(), o.Rev).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) || err == nil && o.Hash == "" {
		r.Problem = "it was pushed, and what was said of it last is not here any more: have it pushed again"
		return r, nil
	}
	if err != nil {
		return r, err
	}
	e, err := event.Decode(body)
	if err != nil {
		return r, err
	}
	r.ChangedAt, r.Data, r.Related = e.OccurredAt, e.Data, e.Related
	if e.Customer != ref.String() { // else it has none, and stands in its own lane
		r.Customer, err = event.ParseRef(e.Customer)
	}
	return r, err
}

// ListPushed lists the records that stand in no source: whoever compares what is to be
// billed with the books has no other witness of them.
func (s *Server) ListPushed(ctx context.Context, r *controlv1.ListPushedRequest) (*controlv1.ListPushedResponse, error) {
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	page, err := control.PageOf(r.GetLimit(), r.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	of := r.GetAccount()
	if r.GetType() != "" {
		of += "/" + r.GetType()
	}
	theirs, args := store.Under("o.ref", scope.Accounts, []any{page.ID, page.Limit + 1})
	asked, args := store.Under("o.ref", []string{of}, args)
	out := &controlv1.ListPushedResponse{}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT o.ref, (SELECT body FROM event e WHERE e.ref = o.ref AND e.rev = o.rev ORDER BY slot_no DESC LIMIT 1) FROM object o
			WHERE o.pushed = 1 AND o.ref > $1 AND `+theirs+` AND `+asked+` ORDER BY o.ref LIMIT $2`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var ref string
			var body []byte
			if err := rows.Scan(&ref, &body); err != nil {
				return err
			}
			if len(out.Items) == page.Limit {
				out.Next = control.PageToken(0, out.Items[page.Limit-1].Ref)
				break
			}
			item, err := toPushed(ref, body)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, item)
		}
		return rows.Err()
	})
	return out, err
}

// toPushed is a record of whose revision no event may stand: no route takes it yet.
func toPushed(ref string, body []byte) (*controlv1.PushedRecord, error) {
	out := &controlv1.PushedRecord{Ref: ref, Customer: ref}
	if body == nil {
		return out, nil
	}
	e, err := event.Decode(body)
	if err != nil {
		return nil, err
	}
	out.Customer, out.Data, out.Related, out.OccurredAt = e.Customer, e.Data, e.Related, timestamppb.New(e.OccurredAt)
	return out, nil
}
