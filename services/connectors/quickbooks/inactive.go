package quickbooks

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
)

// mostIDs is how many records are asked for at once: the query stands in the address.
const mostIDs = 50

// inactive names the records that a refused document uses and that are out of
// use: the books say only that some account, customer, item, vendor or employee
// is. Any other fault, and one whose cause is not found, stays as it is.
func (t *target) inactive(ctx context.Context, item connector.Item, refused error) error {
	f := fault.As(refused)
	if f.Code != codeInactive || item.Kind.Financial() && item.Effect == connector.Void {
		return refused
	}
	var said []string
	field := ""
	for _, kind := range []document.Kind{document.CustomerKind, document.ItemKind} {
		asleep, err := t.asleep(ctx, kind, uses(item, kind))
		if err != nil {
			return refused // the reason is known, only its name is not
		}
		for i := range asleep {
			said = append(said, strings.ToLower(string(kind))+" \""+asleep[i].Name+"\" ("+asleep[i].Ref.String()+")")
			if field == "" {
				field = strings.ToLower(string(kind))
			}
		}
	}
	if len(said) == 0 {
		return refused
	}
	out := *f
	out.Field = field
	out.Text = "inactive in the books: " + strings.Join(said, ", ") + ". Make it active there, then retry. The books say: " + f.Text
	return &out
}

// uses are the ids of the records of a kind that a frozen request names.
func uses(item connector.Item, kind document.Kind) []string {
	var body object
	if json.Unmarshal(item.Body, &body) != nil {
		return nil
	}
	var ids []string
	switch {
	case item.Kind == kind && body.ID != "":
		ids = append(ids, body.ID)
	case kind == document.CustomerKind && body.CustomerRef != nil:
		ids = append(ids, body.CustomerRef.Value)
	case kind == document.ItemKind:
		for _, l := range body.Lines {
			if l.Sale != nil {
				ids = append(ids, l.Sale.ItemRef.Value)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// asleep are the records of a kind, of these, that are out of use.
func (t *target) asleep(ctx context.Context, kind document.Kind, ids []string) ([]connector.Posting, error) {
	var out []connector.Posting
	for some := range slices.Chunk(ids, mostIDs) {
		quoted := make([]string, 0, len(some))
		for _, id := range some {
			quoted = append(quoted, quote(id))
		}
		found, err := t.collect(ctx, kind, "where Id in ("+strings.Join(quoted, ", ")+") and Active = false", nil)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}
