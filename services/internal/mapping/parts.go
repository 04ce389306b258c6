package mapping

import (
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/document"
)

// sayMax bounds what a mapping says about a record that it refuses.
const sayMax = 300

func (l *loader) loadParts(n *yaml.Node) {
	for _, item := range l.items(n, "parts") {
		if p := l.loadPart(item); p != nil {
			l.m.parts = append(l.m.parts, p)
		}
	}
}

func (l *loader) loadPart(n *yaml.Node) *part {
	keys := l.keys(n, "parts", "name", "kind", "mode", "each", "subject", "when", "refused_when", "voided_when", "needs", "customer", "fields", "lines", "otherwise")
	p := &part{name: l.word(keys["name"], n, "parts.name")}
	p.kind = document.Kind(l.word(keys["kind"], n, p.name+".kind"))
	p.mode = document.Mode(l.word(keys["mode"], n, p.name+".mode"))
	known := fieldsOf(p.kind) != nil && slices.Contains(l.m.Kinds, p.kind)
	if keys["kind"] != nil && !known {
		l.problem(keys["kind"], p.name+".kind", "%q is not among the target's kinds", clip(string(p.kind)))
	}
	if keys["mode"] != nil && p.mode != document.Own && p.mode != document.Ensure {
		l.problem(keys["mode"], p.name+".mode", "%q is neither own nor ensure", clip(string(p.mode)))
	}
	if l.part(p.name) != nil {
		l.problem(n, p.name, "two parts are called %q", clip(p.name))
	}
	if !known {
		return nil
	}
	env := l.env
	if keys["each"] != nil {
		p.each, env = l.loadEach(keys["each"], p.name)
	}
	if env == nil {
		return p
	}
	p.subject = l.needed(env, keys["subject"], n, p.name+".subject", cel.StringType)
	if keys["when"] != nil {
		p.when, _ = l.compile(l.env, keys["when"], p.name+".when", cel.BoolType)
	}
	p.fields = l.loadBlock(env, l.required(keys["fields"], n, p.name+".fields"), p.name, fieldsOf(p.kind))
	if p.kind == document.CustomerKind && p.mode == document.Ensure && p.fields != nil && p.fields.rules["currency"] == nil {
		l.problem(keys["fields"], p.name+".currency", "currency is missing: the books give a customer one")
	}
	l.loadRefusing(p, keys["refused_when"])
	l.loadVoiding(p, keys["voided_when"])
	l.loadOtherwise(p, keys["otherwise"])
	l.loadNeeds(p, keys["needs"])
	l.loadInvoice(p, n, keys)
	return p
}

func (l *loader) part(name string) *part {
	for _, p := range l.m.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

// loadEach reads {item: list} and returns the rules' environment for an item.
func (l *loader) loadEach(n *yaml.Node, name string) (*each, *cel.Env) {
	pairs := l.pairs(n, name+".each")
	if len(pairs) != 1 || !isName(pairs[0].key.Value) {
		l.problem(n, name+".each", "write {line: deal.line_items}: what one item is called, and the list")
		return nil, nil
	}
	e := &each{item: pairs[0].key.Value}
	r, typ := l.compile(l.env, pairs[0].value, name+".each", nil)
	if r == nil {
		return nil, nil
	}
	if typ.Kind() != cel.ListKind || l.m.schema.records[typ.Parameters()[0].TypeName()] == nil {
		l.problem(pairs[0].value, name+".each", "the rule gives %s, a list of records is wanted", typ)
		return nil, nil
	}
	e.list = r
	env, err := l.env.Extend(cel.Variable(e.item, typ.Parameters()[0]))
	if err != nil || l.m.values[e.item] != nil || l.m.schema.records[e.item] != nil || e.item == relatedName {
		l.problem(pairs[0].key, name+".each", "%q is taken already", e.item)
		return nil, nil
	}
	return e, env
}

func (l *loader) needed(env *cel.Env, n, parent *yaml.Node, name string, want *cel.Type) *rule {
	if l.required(n, parent, name) == nil {
		return nil
	}
	r, _ := l.compile(env, n, name, want)
	return r
}

// loadBlock reads the fields of a document or line.
func (l *loader) loadBlock(env *cel.Env, n *yaml.Node, name string, fields []field) *block {
	if n == nil {
		return nil
	}
	b := &block{name: name, rules: map[string]*rule{}, symbols: map[string]string{}}
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	given := l.keys(n, name, names...)
	for _, f := range fields {
		at := name + "." + f.name
		v := given[f.name]
		switch {
		case v == nil && f.required:
			l.problem(n, at, "%s is missing", f.name)
		case v == nil:
		case f.kind == symbol:
			b.symbols[f.name] = l.word(v, n, at)
			l.m.rules = append(l.m.rules, Rule{Name: at, Sources: []string{}, Expression: b.symbols[f.name]})
		default:
			if r, _ := l.compile(env, v, at, fieldType{kind: f.kind}.celType()); r != nil {
				b.rules[f.name] = r
				l.m.rules = append(l.m.rules, Rule{Name: at, Sources: r.sources, Expression: r.text, Calculated: !r.bare})
			}
		}
	}
	return b
}

// loadRefusing reads which records a person must complete before the part can
// be made, and the sentence that tells them so.
func (l *loader) loadRefusing(p *part, n *yaml.Node) {
	if n == nil {
		return
	}
	name := p.name + ".refused_when"
	for _, item := range l.items(n, name) {
		keys := l.keys(item, name, "when", "say")
		r := refusing{say: strings.TrimSpace(l.scalar(l.required(keys["say"], item, name+".say"), name+".say"))}
		if r.say == "" || len(r.say) > sayMax {
			l.problem(item, name+".say", "say what is missing and what to do, in up to %d characters", sayMax)
		}
		if r.when = l.needed(l.env, keys["when"], item, name, cel.BoolType); r.when != nil {
			p.refused = append(p.refused, r)
		}
	}
}

func (l *loader) loadVoiding(p *part, n *yaml.Node) {
	if n == nil {
		return
	}
	if p.mode != document.Own || p.each != nil {
		l.problem(n, p.name+".voided_when", "only a single own part can be voided")
	}
	for _, item := range l.items(n, p.name+".voided_when") {
		keys := l.keys(item, p.name+".voided_when", "cause", "when")
		v := voiding{cause: document.VoidCause(l.word(keys["cause"], item, p.name+".voided_when.cause"))}
		if keys["cause"] != nil && !slices.Contains([]document.VoidCause{document.Lost, document.Reopened, document.Cancelled, document.Deleted}, v.cause) {
			l.problem(keys["cause"], p.name+".voided_when", "%q is no cause: LOST, REOPENED, CANCELLED or DELETED", clip(string(v.cause)))
		}
		if v.when = l.needed(l.env, keys["when"], item, p.name+".voided_when."+string(v.cause), cel.BoolType); v.when != nil {
			p.voided = append(p.voided, v)
		}
	}
}

// loadOtherwise reads the one document that stands where a list is empty.
func (l *loader) loadOtherwise(p *part, n *yaml.Node) {
	if n == nil {
		return
	}
	if p.each == nil {
		l.problem(n, p.name+".otherwise", "otherwise belongs to a part with each")
	}
	keys := l.keys(n, p.name+".otherwise", "subject", "fields")
	p.otherwise = &part{name: p.name, kind: p.kind, mode: p.mode}
	p.otherwise.subject = l.needed(l.env, keys["subject"], n, p.name+".otherwise.subject", cel.StringType)
	p.otherwise.fields = l.loadBlock(l.env, l.required(keys["fields"], n, p.name+".otherwise.fields"), p.name+".otherwise", fieldsOf(p.kind))
}

func (l *loader) loadNeeds(p *part, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, item := range l.items(n, p.name+".needs") {
		need := l.scalar(item, p.name+".needs")
		if l.part(need) == nil {
			l.problem(item, p.name+".needs", "no part above is called %q", clip(need))
		}
		p.needs = append(p.needs, need)
	}
}

// loadInvoice reads what only an invoice has: its customer and its lines.
func (l *loader) loadInvoice(p *part, n *yaml.Node, keys map[string]*yaml.Node) {
	if p.kind != document.InvoiceKind {
		for _, k := range []string{"customer", "lines"} {
			if keys[k] != nil {
				l.problem(keys[k], p.name+"."+k, "only an invoice has a %s", k)
			}
		}
		return
	}
	p.customer = l.word(keys["customer"], n, p.name+".customer")
	if c := l.part(p.customer); keys["customer"] != nil && (c == nil || c.kind != document.CustomerKind || c.each != nil) {
		l.problem(keys["customer"], p.name+".customer", "%q is no single CUSTOMER part above", clip(p.customer))
	}
	at := l.required(keys["lines"], n, p.name+".lines")
	if at == nil {
		return
	}
	k := l.keys(at, p.name+".lines", "each", "item", "fields", "otherwise", "split")
	p.lines = &lines{item: l.word(k["item"], at, p.name+".lines.item")}
	var env *cel.Env
	if l.required(k["each"], at, p.name+".lines.each") != nil {
		p.lines.each, env = l.loadEach(k["each"], p.name+".lines")
	}
	if env == nil {
		return
	}
	p.lines.fields = l.loadBlock(env, l.required(k["fields"], at, p.name+".lines.fields"), p.name+".lines", lineFields())
	if k["otherwise"] != nil {
		p.lines.otherwise = l.loadBlock(l.env, k["otherwise"], p.name+".lines.otherwise", lineFields())
	}
	l.loadSplit(p, k["split"])
	l.checkItem(p, k["item"])
}

// loadSplit reads over how many lines, and in which shares, the amount of a
// record without lines is split.
func (l *loader) loadSplit(p *part, n *yaml.Node) {
	if n == nil {
		return
	}
	name := p.name + ".lines.split"
	if p.lines.otherwise == nil {
		l.problem(n, name, "split says how the one line of otherwise is split, and there is no otherwise")
	}
	total := int64(0)
	for _, item := range l.items(n, name) {
		k := l.keys(item, name, "weight", "description")
		w, err := strconv.ParseInt(l.scalar(l.required(k["weight"], item, name+".weight"), name+".weight"), 10, 64)
		if err != nil || w < 0 || w > maxWeight {
			l.problem(item, name, "a weight is a whole number from 0 to %d", int64(maxWeight))
			continue
		}
		s := share{weight: w}
		if k["description"] != nil {
			s.description, _ = l.compile(l.env, k["description"], name+".description", cel.StringType)
		}
		total += w
		p.lines.split = append(p.lines.split, s)
	}
	if total == 0 && len(p.lines.split) > 0 {
		l.problem(n, name, "all weights are 0: there is nothing to split by")
	}
}

// checkItem: a line's item is the part made of the same list, item by item.
func (l *loader) checkItem(p *part, n *yaml.Node) {
	item := l.part(p.lines.item)
	switch {
	case n == nil:
	case item == nil || item.kind != document.ItemKind || item.each == nil:
		l.problem(n, p.name+".lines.item", "%q is no ITEM part with each above", clip(p.lines.item))
	case item.each.list.text != p.lines.each.list.text:
		l.problem(n, p.name+".lines.item", "part %s goes through %s, the lines through %s", item.name, item.each.list.text, p.lines.each.list.text)
	case (item.otherwise == nil) != (p.lines.otherwise == nil):
		l.problem(n, p.name+".lines.item", "part %s and the lines must both say what stands otherwise, or neither", item.name)
	}
}
