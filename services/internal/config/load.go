package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is what was told for a key, and where.
type value struct {
	text string
	file string
	line int
}

// Load reads a file ("" for none) and the environment, which wins, for a
// service; with "" what any of them would refuse is a problem. Problems are
// returned as such.
func Load(path, service string, environment []string) (*Config, error) {
	var problems Problems
	told, err := readFile(path, &problems)
	if err != nil {
		return nil, err
	}
	readEnvironment(environment, told, &problems)
	c := &Config{Peers: map[string]string{}}
	for _, k := range keys() {
		if k.readBy(service) {
			k.apply(c, told, &problems)
		}
	}
	c.check(told, service, &problems)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

func (k *key) apply(c *Config, told map[string]value, problems *Problems) {
	v, ok := told[k.name]
	if !ok || v.text == "" {
		if k.required {
			*problems = append(*problems, Problem{v.file, v.line, k.String(), "", k.expected})
			return
		}
		if k.preset == "" || strings.Contains(k.preset, " ") { // in words: somebody else fills it in
			return
		}
		v.text = k.preset
	}
	if k.set != nil && !k.set(c, v.text) {
		*problems = append(*problems, Problem{v.file, v.line, k.String(), shown(k, v.text), k.expected})
	}
}

// shown leaves out what may be secret.
func shown(k *key, text string) string {
	if k.name == "postgres.url" {
		if at := strings.LastIndexByte(text, '@'); at >= 0 {
			return "…" + text[at:]
		}
	}
	return text
}

// check looks at what several keys say together, and at the installation.
func (c *Config) check(told map[string]value, service string, problems *Problems) {
	switch {
	case told["postgres.url"].text == "" && c.SQLiteDir == "":
		*problems = append(*problems, Problem{Key: "postgres.url (" + Env("postgres.url") + ")", Expected: "postgres://user@host:port/database, or sqlite.dir"})
	case told["postgres.url"].text != "" && c.SQLiteDir != "":
		v := told["sqlite.dir"]
		*problems = append(*problems, Problem{v.file, v.line, "sqlite.dir", v.text, "either this or postgres.url"})
	}
	c.checkSecured(told, service, problems)
	if v := told["installation"]; v.text != "" {
		path := v.text
		if v.file != "" && !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(v.file), path)
		}
		c.Install = readInstallation(path, service, problems)
	}
}

func readEnvironment(environment []string, told map[string]value, problems *Problems) {
	known := map[string]string{}
	for _, k := range keys() {
		known[Env(k.name)] = k.name
	}
	for _, entry := range environment {
		name, text, _ := strings.Cut(entry, "=")
		if key, ok := known[name]; ok {
			told[key] = value{text: text}
			continue
		}
		for _, group := range []string{"LISTEN", "KAFKA", "POSTGRES", "SQLITE", "REDIS", "CONTROL", "PEERS", "API", "SEAL", "OTLP", "LOG", "SHUTDOWN", "RECONCILE", "APPROVAL"} {
			if strings.HasPrefix(name, "TIEOUT_"+group+"_") {
				*problems = append(*problems, Problem{Key: name, Value: text, Expected: "a variable of a key; there is none of this name" + similarVariable(name)})
			}
		}
	}
}

// readFile flattens the file: kafka: {brokers: …} -> kafka.brokers. Relative
// paths of files are meant from the file's own folder.
func readFile(path string, problems *Problems) (map[string]value, error) {
	told := map[string]value{}
	if path == "" {
		return told, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w: name a file that is there with --config", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		*problems = append(*problems, Problem{File: path, Key: "the file", Value: err.Error(), Expected: "YAML"})
		return told, nil
	}
	if len(doc.Content) == 0 {
		return told, nil
	}
	known := map[string]*key{}
	for _, k := range keys() {
		known[k.name] = &k
	}
	flatten(path, "", doc.Content[0], func(name string, n *yaml.Node, v value) {
		k := known[name]
		switch {
		case k == nil && blank(n) && isGroup(name): // nothing is told, of a group that there is
		case k == nil:
			*problems = append(*problems, Problem{v.file, v.line, name, written(n, v.text), "a key that is listed in docs/configuration.md" + similar(name)})
		case n.Kind == yaml.MappingNode:
			*problems = append(*problems, Problem{v.file, v.line, k.String(), written(n, v.text), k.expected})
		default:
			if strings.HasSuffix(name, "_file") && v.text != "" && !filepath.IsAbs(v.text) {
				v.text = filepath.Join(filepath.Dir(path), v.text)
			}
			told[name] = v
		}
	})
	return told, nil
}

// flatten visits whatever has no keys below it; a mapping without any is such.
func flatten(path, prefix string, n *yaml.Node, visit func(string, *yaml.Node, value)) {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if prefix != "" {
				name = prefix + "." + name
			}
			flatten(path, name, n.Content[i+1], visit)
		}
	case n.Kind == yaml.MappingNode && prefix == "": // {}: an empty file
	case n.Kind == yaml.SequenceNode:
		var parts []string
		for _, item := range n.Content {
			parts = append(parts, item.Value)
		}
		visit(prefix, n, value{strings.Join(parts, ","), path, n.Line})
	case n.Kind == yaml.AliasNode: // it might contain itself
		visit(prefix, n, value{"*" + n.Value, path, n.Line})
	case n.ShortTag() == "!!null", n.Kind == yaml.MappingNode:
		visit(prefix, n, value{"", path, n.Line})
	default:
		visit(prefix, n, value{n.Value, path, n.Line})
	}
}

// blank: a name is written and nothing behind it.
func blank(n *yaml.Node) bool {
	return n.ShortTag() == "!!null" || n.Kind == yaml.MappingNode && len(n.Content) == 0
}

// written is a value as it stands in the file, also where it is none: a problem
// without a value would be taken for something that is missing.
func written(n *yaml.Node, text string) string {
	switch {
	case text != "":
		return text
	case n.Kind == yaml.MappingNode:
		return "{}"
	case n.Kind == yaml.SequenceNode:
		return "[]"
	case n.ShortTag() == "!!null":
		return "null"
	}
	return `""`
}

// IsProblems tells mistakes in a configuration from other failures.
func IsProblems(err error) (Problems, bool) {
	var ps Problems
	ok := errors.As(err, &ps)
	return slices.Clone(ps), ok
}
