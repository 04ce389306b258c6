package mapping

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// What a rule, and all rules of one rendering, may cost, in CEL's units.
const (
	ruleCost   = 200_000
	renderCost = 2_000_000
)

// rule is one compiled expression.
type rule struct {
	name    string
	text    string // canonical: spaces and quotes do not count
	sources []string
	reads   []string // the values of the mapping that it refers to
	bare    bool     // one field as it is
	program cel.Program
}

// inspect notes what a checked expression reads, and where it has a float.
func (r *rule) inspect(checked *cel.Ast, s *schema) (float bool) {
	rep := checked.NativeRep()
	ast.PreOrderVisit(rep.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if rep.GetType(e.ID()).Kind() == types.DoubleKind {
			float = true
		}
		switch e.Kind() {
		case ast.SelectKind:
			operand := rep.GetType(e.AsSelect().Operand().ID()).TypeName()
			if s.records[operand] != nil {
				r.addSource(operand + "." + e.AsSelect().FieldName())
			}
		case ast.IdentKind:
			if !slices.Contains(r.reads, e.AsIdent()) {
				r.reads = append(r.reads, e.AsIdent())
			}
		}
	}))
	r.bare = rep.Expr().Kind() == ast.SelectKind && rep.Expr().AsSelect().Operand().Kind() == ast.IdentKind && !rep.Expr().AsSelect().IsTestOnly()
	return float
}

func (r *rule) addSource(path string) {
	if !slices.Contains(r.sources, path) {
		r.sources = append(r.sources, path)
	}
}

// scope is what one rendering's rules see. Values are computed when a rule
// first reads them, and once.
type scope struct {
	m      *Mapping
	vars   map[string]any
	values map[string]any
	spent  *uint64
	outer  *scope
}

// ResolveName finds a variable or a value of the mapping.
func (s *scope) ResolveName(name string) (any, bool) {
	if v, ok := s.vars[name]; ok {
		return v, true
	}
	if s.outer != nil {
		return s.outer.ResolveName(name)
	}
	if v, ok := s.values[name]; ok {
		return v, true
	}
	r := s.m.values[name]
	if r == nil {
		return nil, false
	}
	v, err := s.eval(r)
	s.values[name] = any(v)
	if err != nil {
		s.values[name] = types.WrapErr(err)
	}
	return s.values[name], true
}

// Parent is nil: a scope asks the outer one itself.
func (s *scope) Parent() cel.Activation { return nil }

// with is the scope of one item of a list.
func (s *scope) with(name string, item any) *scope {
	return &scope{m: s.m, vars: map[string]any{name: item}, spent: s.spent, outer: s}
}

func (s *scope) eval(r *rule) (ref.Val, error) {
	if *s.spent > renderCost {
		return nil, &refusal{kind: exception.Size, detail: "the record is too large for the mapping"}
	}
	out, details, err := r.program.Eval(s)
	if details != nil && details.ActualCost() != nil {
		*s.spent += *details.ActualCost()
	}
	return out, err
}

func (s *scope) text(r *rule) (string, *refusal) {
	if r == nil {
		return "", nil
	}
	v, err := s.eval(r)
	if err != nil {
		return "", refused(r, err)
	}
	return textOf(v), nil
}

func (s *scope) truth(r *rule) (bool, *refusal) {
	v, err := s.eval(r)
	if err != nil {
		return false, refused(r, err)
	}
	return v == types.True, nil
}

// number is a rule's decimal; present is false where the rule's field has no value.
func (s *scope) number(r *rule) (d money.Decimal, present bool, why *refusal) {
	if r == nil {
		return money.Decimal{}, false, nil
	}
	v, err := s.eval(r)
	if err != nil {
		why := refused(r, err)
		if why.missing {
			return money.Decimal{}, false, nil
		}
		return money.Decimal{}, false, why
	}
	n, ok := v.(decimalVal)
	return n.Decimal, ok, nil
}
