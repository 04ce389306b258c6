package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
)

// maxFile bounds a mapping's text, maxRule an expression's.
const (
	maxFile = 256 << 10
	maxRule = 4 << 10
)

// Load reads and checks a mapping; name is the file's, for problems. What is
// wrong is returned whole, as Problems.
func Load(name string, b []byte) (*Mapping, error) {
	l := &loader{file: name, m: &Mapping{values: map[string]*rule{}}, canon: map[*yaml.Node]string{}}
	root := l.read(b)
	if root != nil {
		l.load(root)
	}
	if len(l.problems) > 0 {
		l.problems.sort()
		return nil, l.problems
	}
	l.m.Hash = event.Digest("mapping/v1", string(l.canonical(root)))
	return l.m, nil
}

// loader collects what is wrong while it builds.
type loader struct {
	file     string
	m        *Mapping
	problems Problems
	main     string // the record that the event carries
	env      *cel.Env
	canon    map[*yaml.Node]string // expressions, without their layout
}

func (l *loader) problem(n *yaml.Node, rule, format string, args ...any) {
	p := Problem{File: l.file, Line: 1, Column: 1, Rule: rule, Message: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		p.Line, p.Column = n.Line, n.Column
	}
	l.problems = append(l.problems, p)
}

func (l *loader) read(b []byte) *yaml.Node {
	if len(b) > maxFile {
		l.problem(nil, "", "the file has more than %d bytes", maxFile)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil || len(doc.Content) != 1 {
		at := &yaml.Node{Column: 1}
		if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(fmt.Sprint(err)); m != nil {
			_, _ = fmt.Sscan(m[1], &at.Line)
		}
		l.problem(at, "", "the file is not YAML: %v", err)
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		l.problem(nil, "", "the file holds more than one document")
	}
	return doc.Content[0]
}

func (l *loader) load(root *yaml.Node) {
	top := l.keys(root, "", "mapping", "version", "source", "target", "schema", "values", "parts")
	l.m.Name = l.word(top["mapping"], root, "mapping")
	l.m.Version = l.word(top["version"], root, "version")
	source := l.keys(l.required(top["source"], root, "source"), "source", "system", "type")
	l.m.System = l.word(source["system"], top["source"], "source.system")
	l.m.Type = l.word(source["type"], top["source"], "source.type")
	l.main = l.m.Type
	l.kinds(l.required(top["target"], root, "target"))
	if !l.loadSchema(l.required(top["schema"], root, "schema")) {
		return // rules would only repeat what is wrong with it
	}
	l.loadValues(top["values"])
	l.loadParts(l.required(top["parts"], root, "parts"))
}

func (l *loader) kinds(n *yaml.Node) {
	for _, k := range l.items(n, "target") {
		kind := document.Kind(l.scalar(k, "target"))
		if fieldsOf(kind) == nil {
			l.problem(k, "target", "%q is no kind of document: CUSTOMER, ITEM, INVOICE or MARKER", clip(string(kind)))
		}
		l.m.Kinds = append(l.m.Kinds, kind)
	}
}

// loadSchema declares the source's records to CEL.
func (l *loader) loadSchema(n *yaml.Node) bool {
	if n == nil {
		return false // that it is missing was said
	}
	s, err := newSchema()
	if err != nil {
		l.problem(n, "schema", "the schema cannot be read: %v", err)
		return false
	}
	before := len(l.problems)
	l.m.schema = s
	records := l.pairs(n, "schema")
	for _, p := range records {
		name := "schema." + p.key.Value
		if !isName(p.key.Value) || s.records[p.key.Value] != nil || p.key.Value == relatedName || p.key.Value == "decimal" {
			l.problem(p.key, name, "a record cannot be called %q", clip(p.key.Value))
			continue
		}
		s.records[p.key.Value] = &recordType{name: p.key.Value, fields: map[string]fieldType{}}
	}
	for _, p := range records {
		if r := s.records[p.key.Value]; r != nil && len(r.fields) == 0 {
			l.loadRecord(r, p.value)
		}
	}
	if r := s.records[l.main]; r == nil || l.main == eventRecord || l.main == entityRecord {
		l.problem(n, "schema", "the schema does not declare %q, the source's type", clip(l.main))
	}
	if len(l.problems) > before {
		return false
	}
	return l.environment(n)
}

func (l *loader) loadRecord(r *recordType, n *yaml.Node) {
	for _, p := range l.pairs(n, "schema."+r.name) {
		name := "schema." + r.name + "." + p.key.Value
		t := fieldType{kind: fieldKind(l.scalar(p.value, name))}
		if of, ok := strings.CutPrefix(string(t.kind), "list of "); ok {
			t = fieldType{kind: list, of: of}
		}
		own := t.of == eventRecord || t.of == entityRecord
		switch {
		case !isName(p.key.Value):
			l.problem(p.key, name, "a field cannot be called %q", clip(p.key.Value))
		case t.kind == list && (own || t.of != string(text) && l.m.schema.records[t.of] == nil):
			l.problem(p.value, name, "a list holds text or records of the schema, not %q", clip(t.of))
		case t.kind != list && !slices.Contains([]fieldKind{text, decimal, boolean, instant}, t.kind):
			l.problem(p.value, name, "%q is no type: text, decimal, bool, instant, or list of one of the records or of text", clip(string(t.kind)))
		}
		r.fields[p.key.Value] = t
	}
}

func (l *loader) environment(n *yaml.Node) bool {
	options := []cel.EnvOption{
		cel.CustomTypeProvider(l.m.schema), cel.EnableMacroCallTracking(), cel.ParserExpressionSizeLimit(maxRule), cel.ParserRecursionLimit(32),
		cel.Variable(l.main, cel.ObjectType(l.main)), cel.Variable(eventRecord, cel.ObjectType(eventRecord)),
		cel.Variable(entityRecord, cel.ObjectType(entityRecord)), cel.Variable(relatedName, snapshotsType()),
	}
	env, err := cel.NewEnv(append(append(options, operatorsOfDecimals()...), functions(l.m.schema)...)...)
	if err != nil {
		l.problem(n, "schema", "the names of the schema collide: %v", err)
		return false
	}
	l.env = env
	return true
}

// loadValues compiles the named values, each of which may use those above it.
func (l *loader) loadValues(n *yaml.Node) {
	if n == nil {
		return
	}
	for _, p := range l.pairs(n, "values") {
		name := p.key.Value
		if !isName(name) || slices.Contains([]string{l.main, eventRecord, entityRecord, relatedName}, name) {
			l.problem(p.key, "values."+name, "a value cannot be called %q", clip(name))
			continue
		}
		r, typ := l.compile(l.env, p.value, "values."+name, nil)
		if r == nil {
			typ = cel.DynType // what reads it is not wrong for that
		}
		env, err := l.env.Extend(cel.Variable(name, typ))
		if err != nil {
			l.problem(p.key, "values."+name, "%v", err)
			continue
		}
		l.env = env
		if r != nil {
			l.m.values[name] = r
		}
	}
}

// compile checks one expression; want nil takes any type that is not a float's.
func (l *loader) compile(env *cel.Env, n *yaml.Node, name string, want *cel.Type) (*rule, *cel.Type) {
	expr := l.scalar(n, name)
	if strings.TrimSpace(expr) == "" {
		if n != nil && n.Kind == yaml.ScalarNode {
			l.problem(n, name, "the rule is empty")
		}
		return nil, nil
	}
	checked, issues := env.Compile(expr)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			l.problem(l.at(n, e.Location.Line(), e.Location.Column()), name, "%s", clipTo(e.Message, 300))
		}
		return nil, nil
	}
	r := &rule{name: name, sources: []string{}}
	if r.inspect(checked, l.m.schema) {
		l.problem(n, name, "floating-point numbers are refused: write decimal('0.5')")
		return nil, nil
	}
	typ := checked.OutputType()
	if want != nil && !typ.IsExactType(want) {
		l.problem(n, name, "the rule gives %s, %s is wanted", typ, want)
		return nil, nil
	}
	var err error
	if r.text, err = cel.AstToString(checked); err == nil {
		r.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost), cel.CostLimit(ruleCost))
	}
	if err != nil {
		l.problem(n, name, "the rule cannot be computed: %s", clipTo(err.Error(), 300))
		return nil, nil
	}
	l.canon[n] = r.text
	l.through(r)
	return r, typ
}

// through adds what the values that a rule reads were made of.
func (l *loader) through(r *rule) {
	for _, name := range r.reads {
		if v := l.m.values[name]; v != nil {
			for _, s := range v.sources {
				r.addSource(s)
			}
		}
	}
}

// at is the place of an expression's character in the file.
func (l *loader) at(n *yaml.Node, line, column int) *yaml.Node {
	at := &yaml.Node{Line: n.Line + line - 1, Column: n.Column + column}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		at.Line, at.Column = n.Line+line, column+1
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		at.Column++
	}
	return at
}
