package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindOf(t *testing.T) {
	wrapped := fmt.Errorf("post invoice: %w", New(Conflict, "stale"))
	cases := []struct {
		err  error
		want Kind
	}{{nil, OK}, {wrapped, Conflict}, {errors.New("boom"), Internal}}
	for _, c := range cases {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("KindOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestErrorSaysCodeAndText(t *testing.T) {
	e := &Error{Kind: Rejected, Code: "6240", Text: "name exists", Err: errors.New("x")}
	if got := e.Error(); got != "rejected 6240: name exists: x" {
		t.Fatalf("got %q", got)
	}
	if As(fmt.Errorf("w: %w", e)) != e || As(nil) != nil || As(errors.New("y")).Kind != Internal {
		t.Fatal("As does not find the fault")
	}
	if Kind(99).String() != "kind(99)" || InDoubt.OfConnection() || !RateLimited.OfConnection() {
		t.Fatal("kind names or scopes are wrong")
	}
}
