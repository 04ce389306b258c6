package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
)

const (
	// takeBackWithin bounds how long is tried to take back what was made.
	takeBackWithin = 2 * time.Minute
	takeBackTries  = 3
)

// thing is a record in the books that is to be taken back.
type thing struct {
	posting connector.Posting
	mark    string
}

// takeBack voids what was made, then takes out of use what it named. It goes on
// when the probe is cancelled: nobody else knows what there is.
func (r *run) takeBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackWithin)
	defer cancel()
	things := r.things(ctx)
	r.report.Made = len(things)
	stays := false
	for _, level := range [][]document.Kind{{document.CreditNoteKind}, {document.InvoiceKind}, {document.MarkerKind, document.ItemKind, document.CustomerKind}} {
		before := len(r.report.Left)
		for _, t := range slices.Backward(things) {
			if !slices.Contains(level, t.posting.Kind) {
				continue
			}
			err := errStandsOn
			if !stays {
				err = r.takeOne(ctx, t)
			}
			if err != nil {
				r.report.Left = append(r.report.Left, Left{Ref: t.posting.Ref.String(), Mark: t.mark, Why: err.Error()})
			}
		}
		stays = stays || len(r.report.Left) > before
	}
	r.unseen()
}

var errStandsOn = errors.New("a document that stays stands on it")

// things are what is in the books of this run: what was answered, and what lost
// answers and repeats left behind.
func (r *run) things(ctx context.Context) (out []thing) {
	add := func(p connector.Posting, mark string) {
		if !slices.ContainsFunc(out, func(t thing) bool { return t.posting.Ref == p.Ref }) {
			out = append(out, thing{p, mark})
		}
	}
	copied := r.twice == unclear || r.other == unclear || r.later == unclear // perhaps
	for _, x := range r.shots {
		if x.posting != nil {
			add(*x.posting, x.mark)
		}
		if !x.lost && !(copied && x.kind == r.kind) {
			continue // one answer, one record
		}
		found, err := r.look(ctx, x)
		for _, p := range found {
			add(p, x.mark)
			x.posting = &p
		}
		if err != nil && x.posting == nil {
			r.report.Left = append(r.report.Left, Left{Mark: x.mark, Why: "whether it was made is not known: " + err.Error()})
		}
	}
	for _, p := range r.extra {
		add(p, p.Mark)
	}
	return out
}

// unseen names what may still come: its answer was lost and nothing shows it.
func (r *run) unseen() {
	for _, x := range r.shots {
		named := slices.ContainsFunc(r.report.Left, func(l Left) bool { return l.Mark == x.mark })
		if x.lost && x.posting == nil && !named {
			r.report.Left = append(r.report.Left, Left{Mark: x.mark, Why: "its answer was lost and it was never seen; should it come late, it stays"})
		}
	}
}

// takeOne voids or retires one record, on a fresh read each time.
func (r *run) takeOne(ctx context.Context, t thing) error {
	var err error
	for try := range takeBackTries {
		if try > 0 && !idle.For(ctx, time.Second) {
			break
		}
		var now connector.Posting
		if now, err = r.Target.Get(ctx, t.posting.Kind, t.posting.Ref); err == nil && gone(&now) {
			return nil
		}
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		if err != nil {
			continue
		}
		if err = r.void(ctx, t, &now); err == nil {
			return nil
		}
		if fault.KindOf(err) == fault.Rejected {
			break
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (r *run) void(ctx context.Context, t thing, now *connector.Posting) error {
	part := &document.Part{Name: string(now.Kind), Kind: now.Kind, Subject: t.posting.Ref.String()}
	e, err := r.Target.Encode(connector.Draft{Part: part, Effect: connector.Void, Mark: t.mark, Current: now})
	if err != nil {
		return err
	}
	out := r.put(ctx, connector.Call{Key: r.key(), Items: []connector.Item{{OpID: t.mark, Kind: now.Kind, Effect: connector.Void, Mark: t.mark, Body: e.Body}}}, 0, &shot{})
	if out.Err != nil {
		return out.Err
	}
	if !gone(out.Posting) {
		return fmt.Errorf("it was asked for and is not gone: it is %s", out.Posting.Status)
	}
	return nil
}

// gone: a document is void, a customer or an item out of use, a marker empty.
func gone(p *connector.Posting) bool {
	switch {
	case p.Kind == document.MarkerKind:
		return blank(p.Fields)
	case p.Kind.Financial():
		return p.Status == connector.Voided
	}
	return !p.Active
}
