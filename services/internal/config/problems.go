package config

import (
	"fmt"
	"strings"
)

// Problem is one mistake.
type Problem struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Key      string `json:"key"`
	Value    string `json:"value"`
	Expected string `json:"expected"`
}

// String is the problem on one line.
func (p Problem) String() string {
	where := ""
	if p.File != "" {
		where = p.File + ": "
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d: ", p.File, p.Line)
		}
	}
	if p.Value == "" {
		return fmt.Sprintf("%s%s is missing; expected %s", where, p.Key, p.Expected)
	}
	return fmt.Sprintf("%s%s is %q; expected %s", where, p.Key, p.Value, p.Expected)
}

// Problems are all mistakes of a configuration.
type Problems []Problem

// Error lists them, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
