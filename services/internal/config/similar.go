package config

import (
	"slices"
	"strings"
)

// similar names the key, or the group of keys, that was probably meant.
func similar(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, k := range keys() {
		if strings.HasSuffix(k.name, "."+last) || strings.HasPrefix(k.name, name+".") || strings.HasPrefix(name, k.name+".") {
			return ", perhaps " + k.name
		}
	}
	return nearest(name, names())
}

// similarVariable is similar for a variable of the environment.
func similarVariable(name string) string {
	var variables []string
	for _, k := range keys() {
		variables = append(variables, Env(k.name))
	}
	return nearest(name, variables)
}

// names are all keys and the groups that they stand in.
func names() []string {
	var out []string
	for _, k := range keys() {
		out = append(out, k.name)
		for i, r := range k.name {
			if group := k.name[:i]; r == '.' && !slices.Contains(out, group) {
				out = append(out, group)
			}
		}
	}
	return out
}

// isGroup: keys stand below the name.
func isGroup(name string) bool {
	return slices.ContainsFunc(keys(), func(k key) bool { return strings.HasPrefix(k.name, name+".") })
}

// nearest is the known name with the fewest letters to change, if they are few.
func nearest(name string, known []string) string {
	best, fewest := "", len(name)/4+2
	for _, k := range known {
		if n := changes(name, k); n < fewest {
			best, fewest = k, n
		}
	}
	if best == "" {
		return ""
	}
	return ", perhaps " + best
}

// changes counts the letters to put in, to leave out or to replace until a is b.
func changes(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
