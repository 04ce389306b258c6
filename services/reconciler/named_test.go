package reconciler

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A break is named by the beginning of its id, as long as that is of one.
func TestABreakIsNamedByItsBeginning(t *testing.T) {
	open := []found{{id: "abc123def"}, {id: "abc999def"}, {id: "fff"}}
	for _, c := range []struct {
		ids  []string
		want string
		code codes.Code
	}{
		{[]string{"abc1", "fff"}, "abc123def fff", codes.OK}, {[]string{"fff", "fff"}, "fff", codes.OK}, {[]string{"abc"}, "", codes.InvalidArgument},
		{[]string{"abd"}, "", codes.NotFound}, {[]string{""}, "", codes.NotFound},
	} {
		out, err := named(open, c.ids)
		got := ""
		for _, b := range out {
			got = strings.TrimSpace(got + " " + b.id)
		}
		if got != c.want || status.Code(err) != c.code {
			t.Errorf("%v: %q, %v", c.ids, got, err)
		}
	}
}
