package control

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAPageNamesWhereTheNextOneGoesOn(t *testing.T) {
	at := func(n int) (int64, string) { return int64(n), "x/y" }
	p, err := PageOf(2, "", 0)
	if err != nil || p.Limit != 2 || p.At != 0 || p.ID != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	if items, next := CutPage(p, []int{1, 2}, at); len(items) != 2 || next != "" {
		t.Errorf("the last page: %v, %q", items, next)
	}
	items, next := CutPage(p, []int{1, 2, 3}, at)
	if len(items) != 2 || next == "" {
		t.Fatalf("a page before others: %v, %q", items, next)
	}
	if p, err = PageOf(0, next, 0); err != nil || p.Limit != pageUsual || p.At != 2 || p.ID != "x/y" {
		t.Errorf("the next page is %+v (%v)", p, err)
	}
	if p, err = PageOf(1<<30, "", 9); err != nil || p.Limit != PageMost || p.At != 9 {
		t.Errorf("the longest page is %+v (%v)", p, err)
	}
	for _, bad := range []struct {
		limit int32
		next  string
	}{{-1, ""}, {1, "x"}, {1, "x/y"}} {
		if _, err := PageOf(bad.limit, bad.next, 0); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
