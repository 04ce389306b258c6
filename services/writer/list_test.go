package writer

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/writer/protocol"
)

// A list says whether it was cut, and goes on where it stopped, also among
// exceptions of one moment; nothing is shown twice or left out.
func TestExceptionsAreListedToTheEnd(t *testing.T) {
	d := newDesk(t)
	const all = 7
	for i := range all {
		d.open(fmt.Sprintf("w-%d", i), exception.Match, "", 0)
		if i%3 == 0 {
			d.now = d.now.Add(time.Second)
		}
	}
	seen, next := []string{}, ""
	for pages := 0; pages == 0 || next != ""; pages++ {
		res, err := d.server.ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{Limit: 2, Next: next})
		if err != nil || pages > all {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, e := range res.GetItems() {
			seen = append(seen, e.GetId())
		}
		next = res.GetNext()
	}
	if fmt.Sprint(seen) != "[w-0 w-1 w-2 w-3 w-4 w-5 w-6]" {
		t.Errorf("seen were %v", seen)
	}
	if _, err := d.server.ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{Limit: -1}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("at most -1: %v", err)
	}
}

func TestLanesAreListedToTheEnd(t *testing.T) {
	d := newDesk(t)
	for i := range 3 {
		d.queue(fmt.Sprintf("crm/1/company/%d", i), 1, "crm/1/deal/1", money.Amount{Minor: 1, Currency: "EUR"})
	}
	first, err := d.server.ListLanes(t.Context(), &controlv1.ListLanesRequest{Ref: "crm/1/deal/1", Limit: 2})
	if err != nil || len(first.GetItems()) != 2 || first.GetNext() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	rest, err := d.server.ListLanes(t.Context(), &controlv1.ListLanesRequest{Ref: "crm/1/deal/1", Limit: 2, Next: first.GetNext()})
	if err != nil || len(rest.GetItems()) != 1 || rest.GetNext() != "" || rest.GetItems()[0].GetLane() != "crm/1/company/2" {
		t.Errorf("%v, %v", rest, err)
	}
}

// A tenant acts on its own exceptions, by their ids and all at once, and another's
// is not there for it.
func TestATenantActsOnItsOwn(t *testing.T) {
	d := newDesk(t)
	reg := d.server.w.deps.Registry
	reg.Connections[1].Tenant = "other"
	d.open("w-1", exception.Connection, "", 0)
	acts := func(tenant string, r *controlv1.ActRequest) ([]string, codes.Code) {
		r.Action, r.Reason, r.DryRun = protocol.Retry, "mended", true
		res, err := d.server.Act(metadata.NewIncomingContext(t.Context(), metadata.Pairs("tieout-tenant", tenant)), r)
		return res.GetExceptions(), status.Code(err)
	}
	if ids, code := acts("acme", &controlv1.ActRequest{Id: "w-1"}); code != codes.OK || len(ids) != 1 {
		t.Errorf("its own: %v, %v", ids, code)
	}
	if ids, code := acts("other", &controlv1.ActRequest{Id: "w-1"}); code != codes.NotFound {
		t.Errorf("another's: %v, %v", ids, code)
	}
	if ids, code := acts("other", &controlv1.ActRequest{All: true}); code != codes.OK || len(ids) != 0 {
		t.Errorf("all of the other: %v, %v", ids, code)
	}
	if ids, code := acts("nope", &controlv1.ActRequest{All: true}); code != codes.NotFound {
		t.Errorf("all of nobody: %v, %v", ids, code)
	}
}
