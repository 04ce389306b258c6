package sandbox

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
)

// fields is an entity as JSON has it; numbers are json.Number.
type fields = map[string]any

// decimalText is a number as JSON may write it, of bounded size: an exponent
// of a million must not become a million digits.
var decimalText = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?$`)

// at walks a path of objects; nil where it ends early.
func at(f fields, path ...string) any {
	var v any = f
	for _, name := range path {
		m, ok := v.(fields)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// text is a string or number at the path, "" if there is neither.
func text(f fields, path ...string) string {
	switch v := at(f, path...).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// ref is the id a reference field points to.
func ref(f fields, name string) string { return text(f, name, "value") }

// refTo makes a reference.
func refTo(id, name string) fields {
	if name == "" {
		return fields{"value": id}
	}
	return fields{"value": id, "name": name}
}

func flag(f fields, path ...string) bool {
	b, _ := at(f, path...).(bool)
	return b
}

// setDefault fills a field that was not sent.
func setDefault(f fields, name string, v any) {
	if f[name] == nil {
		f[name] = v
	}
}

// decimal reads an exact number; ok is false if the field is absent.
func decimal(f fields, path ...string) (r *big.Rat, ok bool, err error) {
	v := at(f, path...)
	if v == nil {
		return new(big.Rat), false, nil
	}
	s := text(f, path...)
	if !decimalText.MatchString(s) {
		return new(big.Rat), true, invalidProperty(strings.Join(path, "."))
	}
	r, ok = new(big.Rat).SetString(s)
	if !ok {
		return new(big.Rat), true, invalidProperty(strings.Join(path, "."))
	}
	return r, true, nil
}

// stored reads a number the sandbox itself wrote.
func stored(f fields, path ...string) *big.Rat {
	r, _, err := decimal(f, path...)
	if err != nil {
		return new(big.Rat)
	}
	return r
}

// cents rounds half up, away from zero, to two digits.
func cents(r *big.Rat) *big.Rat { return digits(r, 2) }

// round is cents in the transaction's currency: yen have none.
func (x *call) round(r *big.Rat) *big.Rat {
	if x.currency == "JPY" {
		return digits(r, 0)
	}
	return cents(r)
}

func digits(r *big.Rat, n int) *big.Rat {
	out, _ := new(big.Rat).SetString(r.FloatString(n))
	return out
}

// num writes a number exactly, without needless zeros.
func num(r *big.Rat) json.Number {
	s := r.FloatString(7)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		s = "0"
	}
	return json.Number(s)
}

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

// percent is p hundredths of r.
func percent(r, p *big.Rat) *big.Rat { return mul(r, new(big.Rat).Quo(p, big.NewRat(100, 1))) }
