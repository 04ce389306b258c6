package reconciler

import (
	"context"
	"fmt"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// customers reads who is linked to a customer, whether the record still is at
// its source, and who is in the books. It reads no record: only whether it is there.
func (r *Reconciler) customers(ctx context.Context, entity string, in *match.Input) error {
	var err error
	if in.Customers, err = patiently(ctx, r, func() ([]string, error) { return r.inBooks(ctx, in.Target) }); err != nil {
		return err
	}
	links, err := r.links(ctx, in.Target, entity)
	if err != nil {
		return err
	}
	there := map[string]map[string]bool{} // by account and type of the source
	for _, l := range links {
		ref, err := event.ParseRef(l.SourceRef)
		if err != nil {
			return err
		}
		list := ref.AccountRef() + "/" + ref.Type
		if there[list] == nil {
			if there[list], err = r.live(ctx, ref); err != nil {
				return err
			}
		}
		l.Gone = !there[list][l.SourceRef]
		in.Links = append(in.Links, l)
	}
	return nil
}

// inBooks are the customers of the books.
func (r *Reconciler) inBooks(ctx context.Context, target string) (out []string, err error) {
	for p, err := range r.deps.Targets[target].List(ctx, document.CustomerKind, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list customers of %s: %w", target, err)
		}
		out = append(out, p.Ref.String())
	}
	return out, nil
}

// live are the records like one, of its type and account, that the source has, and
// those that were pushed or that such a record names as its customer.
func (r *Reconciler) live(ctx context.Context, like event.Ref) (map[string]bool, error) {
	conn, ok := r.deps.Registry.ByAccount(like.AccountRef())
	src := r.deps.Sources[conn.ID]
	if !ok || src == nil {
		return nil, fmt.Errorf("no connection reads %s, whose records have customers in the books", like.AccountRef())
	}
	refs, err := r.listed(ctx, src, conn.ID, like.Type)
	out := map[string]bool{}
	for _, ref := range refs {
		out[ref.String()] = true
	}
	if err != nil {
		return nil, err
	}
	pushed, err := r.deps.Pushed(ctx, conn.Account, "")
	for _, rec := range pushed {
		out[rec.Ref.String()], out[rec.Customer.String()] = true, true
	}
	return out, err
}

// links are the journal's customers.
func (r *Reconciler) links(ctx context.Context, target, entity string) ([]match.Link, error) {
	var out []match.Link
	err := r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT source_ref, other_ref FROM journal WHERE target = $1 AND entity = $2 AND kind = 'CUSTOMER' ORDER BY source_ref, part, n`, target, entity)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l match.Link
			if err := rows.Scan(&l.SourceRef, &l.OtherRef); err != nil {
				return err
			}
			out = append(out, l)
		}
		return rows.Err()
	})
	return out, err
}
