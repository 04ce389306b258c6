package reconciler

import (
	"context"
	"fmt"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/reconciler/match"
)

// credits lists the credit notes of ours that stand in the books. Where we made
// none the books are not asked.
func (r *Reconciler) credits(ctx context.Context, target, entity string) ([]match.Credit, error) {
	invoices, err := r.creditedBy(ctx, target, entity)
	if err != nil || len(invoices) == 0 {
		return nil, err
	}
	var out []match.Credit
	for p, err := range r.deps.Targets[target].List(ctx, document.CreditNoteKind, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list credit notes of %s: %w", target, err)
		}
		if invoice := invoices[p.Ref.String()]; invoice != "" {
			out = append(out, match.Credit{Note: standing(&p), Invoice: invoice})
		}
	}
	return out, nil
}

// creditedBy leads from a credit note to the invoice that it takes back, as the
// journal has it: its part is named after the invoice's, and so is its number.
func (r *Reconciler) creditedBy(ctx context.Context, target, entity string) (map[string]string, error) {
	out := map[string]string{}
	err := r.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT c.other_ref, i.other_ref, c.part, i.part FROM journal c JOIN journal i ON i.target = c.target AND i.source_ref = c.source_ref AND i.kind = 'INVOICE' AND i.n = c.n
			WHERE c.target = $1 AND c.entity = $2 AND c.kind = 'CREDIT_NOTE' ORDER BY c.other_ref`, target, entity)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var note, invoice, part, of string
			if err := rows.Scan(&note, &invoice, &part, &of); err != nil {
				return err
			}
			if strings.TrimPrefix(part, document.CreditOf) == of {
				out[note] = invoice
			}
		}
		return rows.Err()
	})
	return out, err
}

// standing is a document as the books have it.
func standing(p *connector.Posting) match.Books {
	return match.Books{Ref: p.Ref.String(), Mark: p.Mark, Void: p.Status == connector.Voided, Net: p.Net, Gross: p.Gross, IssueDate: p.IssueDate, Content: p.Content()}
}
