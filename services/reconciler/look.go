package reconciler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// fetchBatch is how many records of a source are read at once.
const fetchBatch = 100

// bounds are the days of a period YYYY-MM, the second exclusive.
func bounds(period string) (from, to string, err error) {
	if period == "" {
		return "", "", nil
	}
	first, err := time.Parse("2006-01", period)
	if err != nil {
		return "", "", fmt.Errorf("period %q is not YYYY-MM", period)
	}
	return first.Format(time.DateOnly), first.AddDate(0, 1, 0).Format(time.DateOnly), nil
}

// look reads the three lists of one target, whole. Any scan that ends early is
// an error: nothing is inferred from half a list.
func (r *Reconciler) look(ctx context.Context, entity, target, period string, seen map[string]bool) (*match.Report, error) {
	from, to, err := bounds(period)
	if err != nil {
		return nil, err
	}
	in := match.Input{Entity: entity, Target: target, Period: period, From: from, To: to, Seen: seen}
	if in.Books, err = patiently(ctx, r, func() ([]match.Books, error) { return r.books(ctx, target) }); err != nil {
		return nil, err
	}
	for _, route := range r.deps.Registry.Routes {
		if route.WriteBack || route.UpdateOnly || route.Target != target || route.Entity != entity {
			continue // routes that only keep customers and items up to date ask for no document
		}
		records, err := r.records(ctx, route)
		if err != nil {
			return nil, err
		}
		in.Sources = append(in.Sources, records...)
	}
	if in.Journal, err = r.journal(ctx, target, entity); err != nil {
		return nil, err
	}
	if in.Credits, err = patiently(ctx, r, func() ([]match.Credit, error) { return r.credits(ctx, target, entity) }); err != nil {
		return nil, err
	}
	if err := r.customers(ctx, entity, &in); err != nil {
		return nil, err
	}
	if in.Accepted, err = r.accepted(ctx); err != nil {
		return nil, err
	}
	if in.Open, err = r.open(ctx, target); err != nil {
		return nil, fmt.Errorf("ask what is on its way: %w", err)
	}
	crash.At(crash.ReconcilerListsRead)
	return match.Compare(in)
}

// open are the records that have not come to rest in a target's books, and why.
func (r *Reconciler) open(ctx context.Context, target string) (map[string]string, error) {
	all, err := r.deps.Open(ctx)
	out := map[string]string{}
	for _, x := range all {
		if x.Target == "" || x.Target == target {
			out[x.Ref] = x.Cause
		}
	}
	return out, err
}

// records are the source's, as the approved mapping renders them.
func (r *Reconciler) records(ctx context.Context, route registry.Route) ([]match.Source, error) {
	src := r.deps.Sources[route.Connection]
	if src == nil {
		return nil, fmt.Errorf("connection %s of route %s is not read here", route.Connection, route.ID)
	}
	refs, err := r.listed(ctx, src, route.Connection, route.Type)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(refs))
	for _, ref := range refs {
		ids = append(ids, ref.ID)
	}
	var out []match.Source
	for chunk := range slices.Chunk(ids, fetchBatch) {
		records, err := r.fetch(ctx, src, route.Type, chunk)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", route.Type, route.Connection, err)
		}
		for _, rec := range records {
			wants, err := r.wants(ctx, route, rec)
			if err != nil {
				return nil, err
			}
			out = append(out, wants...)
		}
	}
	pushed, err := r.pushed(ctx, route, refs)
	return append(out, pushed...), err
}

// pushed are the records of a route's type that the source does not have.
func (r *Reconciler) pushed(ctx context.Context, route registry.Route, listed []event.Ref) ([]match.Source, error) {
	conn, _ := r.deps.Registry.Connection(route.Connection)
	records, err := r.deps.Pushed(ctx, conn.Account, route.Type)
	if err != nil {
		return nil, fmt.Errorf("ask what was pushed of %s: %w", route.Connection, err)
	}
	there := map[event.Ref]bool{}
	for _, ref := range listed {
		there[ref] = true
	}
	var out []match.Source
	for _, rec := range records {
		if there[rec.Ref] {
			continue // the source has it by now
		}
		wants, err := r.wants(ctx, route, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, wants...)
	}
	return out, nil
}

// listed are the records of a type that the source has.
func (r *Reconciler) listed(ctx context.Context, src connector.Source, connection, typ string) ([]event.Ref, error) {
	return patiently(ctx, r, func() (out []event.Ref, err error) {
		for ref, err := range src.List(ctx, typ) {
			if err != nil {
				return nil, fmt.Errorf("list %s of %s: %w", typ, connection, err)
			}
			out = append(out, ref)
		}
		return out, nil
	})
}

// fetch reads records. A record that is left out of the answer makes the list
// half a list.
func (r *Reconciler) fetch(ctx context.Context, src connector.Source, typ string, ids []string) ([]connector.Record, error) {
	records, err := patiently(ctx, r, func() ([]connector.Record, error) { return src.Fetch(ctx, typ, ids) })
	if err != nil {
		return nil, err
	}
	return records, whole(records, ids)
}

func whole(records []connector.Record, ids []string) error {
	answered := map[string]bool{}
	for _, r := range records {
		answered[r.Ref.ID] = true
		for _, m := range r.MergedFrom {
			answered[m.ID] = true
		}
	}
	for _, id := range ids {
		if !answered[id] {
			return fmt.Errorf("record %s was listed and is not in the answer", id)
		}
	}
	return nil
}

// wants is what one record asks for, part by part.
func (r *Reconciler) wants(ctx context.Context, route registry.Route, rec connector.Record) ([]match.Source, error) {
	if rec.Deleted {
		return nil, nil
	}
	if rec.Problem != "" {
		return r.rejected(route, rec), nil
	}
	d, err := r.deps.Render(ctx, route, rec)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", rec.Ref, err)
	}
	if d.Verdict == document.Rejected {
		return r.rejected(route, rec), nil
	}
	var out []match.Source
	for _, p := range d.Parts {
		switch {
		case p.Kind != document.InvoiceKind || p.Mode != document.Own:
		case p.Desired == document.Issued && p.Invoice != nil:
			out = append(out, match.Source{Ref: rec.Ref.String(), Part: p.Name, Want: match.Issued, Net: p.Invoice.Totals.Net, IssueDate: p.Invoice.IssueDate})
		default:
			out = append(out, match.Source{Ref: rec.Ref.String(), Part: p.Name, Want: match.Nothing})
		}
	}
	if out == nil {
		out = []match.Source{{Ref: rec.Ref.String(), Want: match.Nothing}}
	}
	return out, nil
}

// rejected: what is to be booked has the day on which it became so, since no
// rendering says its date; what is not has none, and asks for nothing yet.
func (r *Reconciler) rejected(route registry.Route, rec connector.Record) []match.Source {
	s := match.Source{Ref: rec.Ref.String(), Want: match.Rejected}
	if at := rec.QualifiedAt; !at.IsZero() {
		entity, _ := r.deps.Registry.Entity(route.Entity)
		if zone, err := time.LoadLocation(entity.Zone); err == nil {
			at = at.In(zone)
		}
		s.IssueDate = at.Format(time.DateOnly)
	}
	return []match.Source{s}
}

func (r *Reconciler) books(ctx context.Context, target string) ([]match.Books, error) {
	books := r.deps.Targets[target]
	if books == nil {
		return nil, fmt.Errorf("the books of %s are not read here", target)
	}
	var out []match.Books
	for p, err := range books.List(ctx, document.InvoiceKind, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list invoices of %s: %w", target, err)
		}
		out = append(out, standing(&p))
	}
	return out, nil
}

func (r *Reconciler) journal(ctx context.Context, target, entity string) ([]match.Journal, error) {
	var out []match.Journal
	err := r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT source_ref, part, n, other_ref, status, currency, net, gross, issue_date, content FROM journal WHERE target = $1 AND entity = $2 AND kind = 'INVOICE' ORDER BY source_ref, part, n`, target, entity)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var j match.Journal
			var status, currency string
			var net, gross int64
			if err := rows.Scan(&j.SourceRef, &j.Part, &j.N, &j.OtherRef, &status, &currency, &net, &gross, &j.IssueDate, &j.Content); err != nil {
				return err
			}
			j.Void, j.Credited = status == string(connector.Voided), status == string(connector.Credited)
			j.Net, j.Gross = money.Amount{Minor: net, Currency: currency}, money.Amount{Minor: gross, Currency: currency}
			out = append(out, j)
		}
		return rows.Err()
	})
	return out, err
}
