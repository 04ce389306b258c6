package mapping

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pair is a key with its value, in the order of the file.
type pair struct{ key, value *yaml.Node }

// pairs reads a YAML mapping and refuses duplicate keys.
func (l *loader) pairs(n *yaml.Node, name string) []pair {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode || len(n.Content)%2 != 0 {
		l.problem(n, name, "keys with values are wanted here")
		return nil
	}
	var out []pair
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			l.problem(k, name, "a key must be a word")
		case seen[k.Value]:
			l.problem(k, name, "the key %q stands here twice", clip(k.Value))
		default:
			seen[k.Value] = true
			out = append(out, pair{k, v})
		}
	}
	return out
}

// keys reads a YAML mapping whose keys are known.
func (l *loader) keys(n *yaml.Node, name string, allowed ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for _, p := range l.pairs(n, name) {
		if !slices.Contains(allowed, p.key.Value) {
			l.problem(p.key, name, "unknown key %q; known are %s", clip(p.key.Value), strings.Join(allowed, ", "))
			continue
		}
		out[p.key.Value] = p.value
	}
	return out
}

func (l *loader) items(n *yaml.Node, name string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		l.problem(n, name, "a list is wanted here")
		return nil
	}
	return n.Content
}

func (l *loader) required(n, parent *yaml.Node, name string) *yaml.Node {
	if n == nil && parent != nil {
		l.problem(parent, name, "%s is missing", name)
	}
	return n
}

func (l *loader) scalar(n *yaml.Node, name string) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		l.problem(n, name, "a text is wanted here")
		return ""
	}
	return n.Value
}

// word is a required name without spaces.
func (l *loader) word(n, parent *yaml.Node, name string) string {
	if l.required(n, parent, name) == nil {
		return ""
	}
	s := l.scalar(n, name)
	if n.Kind == yaml.ScalarNode && !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`).MatchString(s) {
		l.problem(n, name, "%q is no word", clip(s))
	}
	return s
}

// canonical is the content as JSON with sorted keys: expressions without their
// layout, every other scalar as it is written.
func (l *loader) canonical(n *yaml.Node) []byte {
	b, err := json.Marshal(l.plain(n))
	if err != nil {
		return nil // texts, lists and maps of texts always marshal
	}
	return b
}

func (l *loader) plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = l.plain(n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, l.plain(c))
		}
		return out
	}
	if expr, ok := l.canon[n]; ok {
		return expr
	}
	return n.Value
}

func isName(s string) bool { return regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`).MatchString(s) }

func clip(s string) string { return clipTo(s, 40) }

func clipTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
