package mapping

import (
	"fmt"
	"math/big"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
)

// decimalPlaces is the most that a computed decimal keeps.
const decimalPlaces = 12

// decimalType is CEL's view of money.Decimal.
func decimalType() *cel.Type {
	return types.NewObjectType("decimal", traits.AdderType, traits.SubtractorType, traits.MultiplierType, traits.NegatorType, traits.ComparerType)
}

// decimalVal is an exact decimal in a rule. What does not fit is an error;
// nothing is ever rounded here.
type decimalVal struct{ money.Decimal }

func (d decimalVal) compute(other ref.Val, op func(z, x, y *big.Rat) *big.Rat) ref.Val {
	o, ok := other.(decimalVal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	out, ok := money.DecimalOf(op(new(big.Rat), d.Rat(), o.Rat()), decimalPlaces)
	if !ok {
		return types.WrapErr(&refusal{kind: exception.Amount, detail: "a number does not fit"})
	}
	return decimalVal{out}
}

// Add is +.
func (d decimalVal) Add(o ref.Val) ref.Val { return d.compute(o, (*big.Rat).Add) }

// Subtract is -.
func (d decimalVal) Subtract(o ref.Val) ref.Val { return d.compute(o, (*big.Rat).Sub) }

// Multiply is *.
func (d decimalVal) Multiply(o ref.Val) ref.Val { return d.compute(o, (*big.Rat).Mul) }

// Negate is the unary -.
func (d decimalVal) Negate() ref.Val { return decimalVal{}.Subtract(d) }

// Compare is < <= > >=.
func (d decimalVal) Compare(other ref.Val) ref.Val {
	o, ok := other.(decimalVal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(d.Rat().Cmp(o.Rat()))
}

// Equal is ==.
func (d decimalVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(decimalVal)
	return types.Bool(ok && d.Decimal == o.Decimal)
}

// ConvertToNative gives the Decimal and nothing else.
func (d decimalVal) ConvertToNative(t reflect.Type) (any, error) {
	if t == reflect.TypeFor[money.Decimal]() {
		return d.Decimal, nil
	}
	return nil, fmt.Errorf("a decimal does not convert to %v", t)
}

// ConvertToType gives text and nothing else.
func (d decimalVal) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(d.String())
	case types.TypeType:
		return decimalType()
	}
	return types.NewErr("a decimal does not convert to %s", t.TypeName())
}

// Type is decimal.
func (d decimalVal) Type() ref.Type { return decimalType() }

// Value is the Decimal.
func (d decimalVal) Value() any { return d.Decimal }

// operatorsOfDecimals are declared here and bound by the traits above.
func operatorsOfDecimals() []cel.EnvOption {
	var out []cel.EnvOption
	d := decimalType()
	for op, name := range map[string]string{operators.Add: "add", operators.Subtract: "subtract", operators.Multiply: "multiply"} {
		out = append(out, cel.Function(op, cel.Overload(name+"_decimal", []*cel.Type{d, d}, d)))
	}
	for op, name := range map[string]string{operators.Less: "less", operators.LessEquals: "less_equals", operators.Greater: "greater", operators.GreaterEquals: "greater_equals"} {
		out = append(out, cel.Function(op, cel.Overload(name+"_decimal", []*cel.Type{d, d}, cel.BoolType)))
	}
	return append(out, cel.Function(operators.Negate, cel.Overload("negate_decimal", []*cel.Type{d}, d)))
}
