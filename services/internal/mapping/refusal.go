package mapping

import (
	"errors"
	"strings"

	"cel.dev/cel-go/interpreter"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/exception"
)

// refusal is why a record cannot be rendered: it becomes the rejection's
// reason. Its words never hold a value of the record.
type refusal struct {
	kind    exception.Kind
	field   string
	detail  string
	rule    string
	place   string // "line 2"
	missing bool   // the field has no value: no fault where the rule is optional
	whole   bool   // the detail is a sentence of its own
}

// Error is the reason in one line.
func (r *refusal) Error() string { return r.reason().Detail }

func (r *refusal) reason() document.Reason {
	detail := r.detail
	if r.field != "" && !r.whole {
		detail = r.field + " " + detail
	}
	if r.place != "" {
		detail = r.place + ": " + detail
	}
	return document.Reason{Kind: string(r.kind), Field: r.field, Detail: strings.ToValidUTF8(detail, "?"), Rule: r.rule}
}

// refused turns whatever a rule ended with into a refusal by that rule.
func refused(r *rule, err error) *refusal {
	out := &refusal{}
	var known *refusal
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &known):
		*out = *known
	case errors.As(err, &cancelled):
		*out = refusal{kind: exception.Size, detail: "the record is too large for the rule"}
	default:
		*out = refusal{kind: exception.Mapping, detail: "the rule cannot be computed for this record"}
	}
	if out.rule == "" {
		out.rule = r.name
	}
	if out.field == "" && len(r.sources) > 0 {
		out.field = r.sources[0]
	}
	return out
}
