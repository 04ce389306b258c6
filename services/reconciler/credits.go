package reconciler

import (
	"context"
	"fmt"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// credits are the credit notes that we made, with what stands of them in the books.
// Where we made none the books are not asked.
func (r *Reconciler) credits(ctx context.Context, target, entity string) ([]match.Credit, error) {
	out, err := r.made(ctx, target, entity)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	byRef, byMark := map[string]*match.Credit{}, map[string]*match.Credit{}
	for i := range out {
		byRef[out[i].Was.OtherRef], byMark[out[i].Mark] = &out[i], &out[i]
	}
	for p, err := range r.deps.Targets[target].List(ctx, document.CreditNoteKind, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list credit notes of %s: %w", target, err)
		}
		credit := byRef[p.Ref.String()]
		if credit == nil {
			credit = byMark[p.Mark] // a person entered it again
		}
		if credit != nil && (credit.Note == nil || p.Ref.String() == credit.Was.OtherRef) {
			b := standing(&p)
			credit.Note = &b
		}
	}
	return out, nil
}

// made reads the credit notes of the journal. The part of one is named after that of
// the invoice that it takes back, and so is its number.
func (r *Reconciler) made(ctx context.Context, target, entity string) (out []match.Credit, err error) {
	err = r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT c.source_ref, c.part, c.n, c.other_ref, c.currency, c.net, c.gross, c.issue_date, c.content, i.other_ref, i.part
			FROM journal c JOIN journal i ON i.target = c.target AND i.source_ref = c.source_ref AND i.kind = 'INVOICE' AND i.n = c.n
			WHERE c.target = $1 AND c.entity = $2 AND c.kind = 'CREDIT_NOTE' ORDER BY c.other_ref`, target, entity)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x match.Credit
			var currency, of string
			var net, gross int64
			if err := rows.Scan(&x.Was.SourceRef, &x.Was.Part, &x.Was.N, &x.Was.OtherRef, &currency, &net, &gross, &x.Was.IssueDate, &x.Was.Content, &x.Invoice, &of); err != nil {
				return err
			}
			if strings.TrimPrefix(x.Was.Part, document.CreditOf) != of {
				continue // of another part's invoice
			}
			x.Was.Net, x.Was.Gross = money.Amount{Minor: net, Currency: currency}, money.Amount{Minor: gross, Currency: currency}
			x.Mark = document.Mark(target, x.Was.SourceRef, x.Was.Part, x.Was.N)
			out = append(out, x)
		}
		return rows.Err()
	})
	return out, err
}

// standing is a document as the books have it.
func standing(p *connector.Posting) match.Books {
	return match.Books{Ref: p.Ref.String(), Mark: p.Mark, Void: p.IsVoid(), Net: p.Net, Gross: p.Gross, IssueDate: p.IssueDate, Content: p.Content()}
}
