package store

import (
	"strconv"
	"strings"
)

// Under is a condition: a column is one of these, or lies under one of them
// (a/b lies under a). Nil asks for nothing, an empty list for what is not there.
// The arguments it needs are appended.
func Under(column string, these []string, args []any) (string, []any) {
	if these == nil {
		return "1 = 1", args
	}
	parts := []string{"1 = 0"}
	for _, x := range these {
		args = append(args, x)
		n := "$" + strconv.Itoa(len(args))
		parts = append(parts, column+" = "+n, "substr("+column+", 1, length("+n+") + 1) = "+n+" || '/'")
	}
	return "(" + strings.Join(parts, " OR ") + ")", args
}
